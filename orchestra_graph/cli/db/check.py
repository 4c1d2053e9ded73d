"""`orchestra db check`: can this release work with the database as it is?"""

from __future__ import annotations

from orchestra_graph.cli.config import url_of
from orchestra_graph.cli.report import ExitCode, Report
from orchestra_graph.cli.settings import Settings, command

__all__ = ["check"]


@command("check")
def check(settings: Settings) -> Report:
    """See whether the schema of the database is that of this release.

    Nothing is changed. The exit code is 1 where the schema is missing, older or newer, or somebody else's.
    """
    return _schema(settings)


def _schema(settings: Settings) -> Report:
    from orchestra_graph.errors import without_password
    from orchestra_graph.store.schema import schema_of

    url = url_of(settings.database)
    shown = without_password(url)
    found = schema_of(url)
    document = {"url": shown, "schema": found.state, "found": found.found, "needed": found.needed}
    match found.state:
        case "ok":
            return Report(document=document, text=f"{shown}: the schema is up to date: {found.found}")
        case "older":
            said = f"{shown}: the schema is {found.found}, and this release needs {found.needed}"
        case "missing":
            said = f"{shown}: there are no tables yet, and this release needs schema {found.needed}"
    text = f"{said}. Bring it up to date:   orchestra --db URL db upgrade"
    return Report(document=document, text=text, code=ExitCode.ERROR)
