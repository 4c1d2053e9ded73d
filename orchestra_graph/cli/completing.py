"""What a shell may put after a word that was begun: keys of runs, ids of questions, targets.

Rule 1. It changes nothing, and says nothing: where something cannot be read, there is nothing to choose from.
Rule 2. It is quick: the database is read without the store, and no code of a user is imported.
"""

from __future__ import annotations

import contextlib

import click
from click.shell_completion import CompletionItem

from orchestra_graph.cli.said import Settings

__all__ = ["question_ids", "run_keys", "targets"]

_MOST = 50


def run_keys(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The runs whose key begins so, the newest first, each with its status."""
    from orchestra_graph.store.examine import keys_in

    with contextlib.suppress(Exception):
        found = keys_in(context.ensure_object(Settings).url, begun, _MOST)
        return [CompletionItem(key, help=_plain(status)) for key, status in found if _can_be_typed(key)]
    return []


def question_ids(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The open questions of the run that stands before; nothing once one of them stands there."""
    from orchestra_graph.store.examine import questions_in

    key, words = context.params.get("key"), context.params.get("words") or ()
    if not key or words:
        return []
    with contextlib.suppress(Exception):
        found = questions_in(context.ensure_object(Settings).url, key, _MOST)
        return [
            CompletionItem(name, help=_plain(prompt))
            for name, prompt in found
            if _can_be_typed(name) and name.startswith(begun)
        ]
    return []


def _can_be_typed(name: object) -> bool:
    """Whether a name from a database is one line that a shell can put there."""
    return isinstance(name, str) and name.isprintable()


def _plain(said: object) -> str:
    """What stands beside a name: one line without what a terminal obeys."""
    from orchestra_graph.store.sealed import key_of

    text = str(said)
    return "encrypted" if key_of(text) else "".join(c if c.isprintable() else " " for c in text)


def targets(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The targets that are named anyway; else files."""
    with contextlib.suppress(Exception):
        named = [CompletionItem(place.text) for place in context.ensure_object(Settings).code]
        found = [item for item in named if item.value.startswith(begun)]
        if found:
            return found
    return [CompletionItem(begun, type="file")]
