"""`orchestra doctor`: is everything here as it should be, and what to type where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.cli.checkup import Finding

__all__ = ["doctor"]

_MARKS = {"ok": "✓", "note": "·", "problem": "✗"}
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@command("doctor")
def doctor(settings: Settings) -> Report:
    """Check Python, packages, database and targets.

    What is wrong comes with the line that mends it. Nothing is changed; the whole database is read.

    The exit code is 1 where there is a problem; notes do not count.
    """
    from orchestra_graph.cli.checkup import examined

    findings = list(examined(settings))
    problems = sum(finding.level == "problem" for finding in findings)
    document = {
        "well": not problems,
        "problems": problems,
        "findings": [{"area": f.area, "level": f.level, "what": f.what, "mend": list(f.mend)} for f in findings],
    }
    lines = [line for finding in findings for line in _lines(finding)]
    lines.append("all is well" if not problems else "1 problem" if problems == 1 else f"{problems} problems")
    return Report(document=document, text="\n".join(lines), code=ExitCode.ERROR if problems else ExitCode.DONE)


def _lines(finding: Finding) -> list[str]:
    import click

    from orchestra_graph.cli.words import printable

    mark = click.style(_MARKS[finding.level], fg=_COLOURS[finding.level])
    first, *rest = printable(finding.what).splitlines() or [""]
    return [
        f"{mark} {finding.area:<9} {first}",
        *(f"{'':<12}{line}" for line in rest),
        *(f"{'':<12}  {printable(line)}" for line in finding.mend),
    ]
