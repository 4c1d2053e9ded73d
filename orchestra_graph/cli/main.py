"""`orchestra`: the group of all commands, and the one place where what they say, and what they raise, is printed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, add_completion_class

from orchestra_graph._version import __version__
from orchestra_graph.cli.answer import answer
from orchestra_graph.cli.cancel import cancel
from orchestra_graph.cli.check import check
from orchestra_graph.cli.completion import Bash, completion
from orchestra_graph.cli.db import db
from orchestra_graph.cli.diff import diff
from orchestra_graph.cli.doctor import doctor
from orchestra_graph.cli.draw import draw
from orchestra_graph.cli.errors import CommandError
from orchestra_graph.cli.fork import fork
from orchestra_graph.cli.history import history
from orchestra_graph.cli.questions import questions
from orchestra_graph.cli.replay import replay
from orchestra_graph.cli.report import ExitCode, Report, print_error, print_report
from orchestra_graph.cli.resume import resume
from orchestra_graph.cli.retry import retry
from orchestra_graph.cli.run import run
from orchestra_graph.cli.runs import runs
from orchestra_graph.cli.send import send
from orchestra_graph.cli.settings import Settings, shared_options
from orchestra_graph.cli.show import show
from orchestra_graph.cli.testcase import testcase
from orchestra_graph.cli.watch import watch
from orchestra_graph.cli.worker import worker
from orchestra_graph.errors import OrchestraError, RunKeyTaken, UnknownRun

__all__ = ["cli", "main"]

_DEMO = ("demo", "See a run survive kill -9.")


class Orchestra(click.Group):
    """A group that prints what its commands return and raise."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which one meets them."""
        return [*self.commands, "demo"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; the demonstration is imported only when somebody asks for it."""
        if cmd_name == "demo":
            from orchestra_graph.cli.demo import demo

            return demo
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What the word can become: the commands, without importing the demonstration, or an option."""
        rows = [*((name, command.get_short_help_str(70)) for name, command in self.commands.items()), _DEMO]
        found = [CompletionItem(name, help=said) for name, said in rows if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, without importing the demonstration."""
        rows = [(name, command.get_short_help_str(70)) for name, command in self.commands.items()]
        rows.append(_DEMO)
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> int:
        """Run a command, print its report, and give its exit code."""
        result = super().invoke(ctx)
        if isinstance(result, Report):
            print_report(result, as_json=ctx.ensure_object(Settings).json)
            return int(result.code)
        return result if isinstance(result, int) else ExitCode.DONE

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit; errors become a few lines and an exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        words = sys.argv[1:] if args is None else list(args)
        settings = extra.setdefault("obj", Settings())
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except BaseException as error:
            code = _tell(error, settings, words)
        sys.exit(code)


def _tell(error: BaseException, settings: Settings, words: Sequence[str]) -> int:
    """Print an error, and give the exit code; what is none is raised again."""
    # An option that is wrong ends the reading of the line, so that --json may not have been seen yet.
    as_json = settings.json or "--json" in words
    if settings.traceback and isinstance(error, Exception) and not isinstance(error, click.UsageError):
        traceback.print_exception(error)
    if isinstance(error, click.ClickException) and not as_json:
        error.show()
        return error.exit_code
    kind, message, code = _explained(error, settings)
    print_error(kind, message, _facts(error), as_json=as_json, lines=settings.lines)
    return code


def _explained(error: BaseException, settings: Settings) -> tuple[str, str, int]:
    """The name of an error's kind, what it says, and the exit code."""
    kind = type(error).__name__
    match error:
        case click.Abort():
            return "Interrupted", "interrupted", ExitCode.INTERRUPTED
        case click.ClickException():
            return kind, error.format_message(), error.exit_code
        case CommandError():
            return kind, str(error), error.code
        case UnknownRun():
            return kind, f"{error}{settings.again()}", ExitCode.ERROR
        case RunKeyTaken():
            return kind, f"{error}\n    {settings.line('show', error.key)}", ExitCode.ERROR
        case OrchestraError():
            return kind, str(error), ExitCode.ERROR
        case Exception():
            said = " ".join(f"{kind}: {error}".split())
            mend = "" if settings.traceback else "\n    To see where, run with --traceback:   orchestra --traceback ..."
            return kind, f"unexpected {said}{mend}", ExitCode.ERROR
    if kind == "Fenced":  # of the store, which is not imported for this alone
        message = f"another process has taken the run over: {error}. Nothing was lost"
        return kind, message, ExitCode.ERROR
    raise error


def _facts(error: BaseException) -> dict[str, Any]:
    """What a program can use beside the message."""
    written = getattr(error, "written", None)
    return {} if written is None else {"written": written}


_HELP = """Run typed graphs that survive crashes, look into their runs, and answer what they ask.

TARGET says where a graph is: package.module:graph or path/file.py:graph (just path/file.py where the file has one
graph only). The working directory, or the folder of the file, is where its imports are looked for. A list, a mapping
or a function named `resources` in the same module is what its nodes get: resources=... of the Engine.

\b
Database   --db URL (or a path), else $ORCHESTRA_DB, else database in
           [tool.orchestra] of the nearest pyproject.toml, else
           sqlite:///orchestra.db here.
Code       --target TARGET, else $ORCHESTRA_TARGET (with commas between
           several), else targets in [tool.orchestra]; never from the
           database. What only reads needs none.

\b
Exit codes
    0  done                    4  the run failed
    1  an error                5  a limit stopped the run
    2  a wrong command line    6  the run was cancelled
    3  waiting for a person    7  the run is dead
                               130  interrupted by Ctrl-C
"""


@click.group(
    cls=Orchestra,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="orchestra")
@click.option("--traceback", is_flag=True, help="Show where in the code an error was raised.")
@click.pass_context
def cli(ctx: click.Context, traceback: bool) -> None:
    """See `_HELP`."""
    ctx.ensure_object(Settings).traceback = traceback


cli.params += shared_options()
_READING = (runs, show, watch, history, diff, replay, testcase, questions)
_ACTING = (answer, send, resume, retry, fork, cancel, worker)
for _command in (check, draw, run, *_READING, *_ACTING, db, doctor, completion):
    cli.add_command(_command)
add_completion_class(Bash)


def main() -> None:
    """The entry point."""
    cli()
