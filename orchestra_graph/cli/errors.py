"""What the command line itself refuses. Errors of the library pass through as they are.

CommandError (an OrchestraError)
├── NoDatabase     there is nothing to read at the URL, and reading makes no database
├── BadConfig      pyproject.toml cannot be read, or says what cannot be meant
├── BadTarget      a TARGET names no graph, or its code cannot be imported
├── NoCode         the code of the run's graph is needed, and no target has it
├── BadValue       an input or an answer cannot be read from what was typed
├── NoQuestion     the run asks nothing, or several things, and no question was named
├── NotWritable    a file cannot be written
├── NotDrawn       the picture was written in another format than the one asked for
└── Interrupted    Ctrl-C
"""

from __future__ import annotations

from orchestra_graph.errors import OrchestraError

__all__ = [
    "BadConfig",
    "BadTarget",
    "BadValue",
    "CommandError",
    "Interrupted",
    "NoCode",
    "NoDatabase",
    "NoQuestion",
    "NotDrawn",
    "NotWritable",
]


class CommandError(OrchestraError):
    """The root of what the command line refuses.

    Attributes:
        code: The exit code.
    """

    code = 1


class NoDatabase(CommandError):
    """There is nothing to read."""


class BadConfig(CommandError):
    """`pyproject.toml` cannot be used."""


class BadTarget(CommandError):
    """A TARGET names no graph.

    Attributes:
        what: What is wrong, in one line.
        where: ``path/file.py:3``, where a line is to blame.
    """

    def __init__(self, what: str, where: str = ""):
        self.what, self.where = what, where
        super().__init__(f"{what}\n    at {where}" if where else what)


class NoCode(CommandError):
    """The code of a graph is needed."""


class BadValue(CommandError):
    """Something that was typed cannot be read."""


class NoQuestion(CommandError):
    """It is not clear which question is meant."""


class NotWritable(CommandError):
    """A file cannot be written."""


class NotDrawn(CommandError):
    """A picture was written in another format.

    Attributes:
        written: The file that was written.
    """

    def __init__(self, message: str, written: str):
        self.written = written
        super().__init__(message)


class Interrupted(CommandError):
    """The user pressed Ctrl-C."""

    code = 130
