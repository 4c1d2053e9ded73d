"""`orchestra db info`: what is in the database, and how much room it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

if TYPE_CHECKING:
    from orchestra_graph.store.base import Size, Store

__all__ = ["info"]

_PAGE = 1000
_WORDS = {"blobs": "large values", "cached": "cached results"}


@command("info")
def info(settings: Settings) -> Report:
    """Say what is in the database: how many of what, how large, in which form.

    All of it is read, so it takes a while where there is much.
    """
    import asyncio

    from orchestra_graph.cli.database import existing, read_store
    from orchestra_graph.errors import without_password
    from orchestra_graph.store.examine import size_on_disk
    from orchestra_graph.store.schema import schema_of

    async def read() -> tuple[dict[str, Size], dict[str, int]]:
        async with read_store(settings) as store:
            return await store.sizes(), await _by_status(store)

    url = existing(settings)
    sizes, runs = asyncio.run(read())
    schema, on_disk = schema_of(url), size_on_disk(url)
    shown = without_password(url)
    document = {
        "url": shown,
        "schema": schema.found,
        "bytes": on_disk,
        "sizes": {kind: {"rows": size.rows, "bytes": size.bytes} for kind, size in sizes.items()},
        "runs": runs,
    }
    return Report(document=document, text="\n".join(_lines(shown, schema.found, on_disk, sizes, runs)))


async def _by_status(store: Store) -> dict[str, int]:
    """How many runs have which status, the most frequent first."""
    counts = Counter[str]()
    after: int | None = None
    while page := await store.runs(after=after, limit=_PAGE):
        counts.update(row.status for row in page)
        after = page[-1].number
    return dict(counts.most_common())


def _lines(
    url: str, schema: str | None, on_disk: int | None, sizes: Mapping[str, Size], runs: Mapping[str, int]
) -> list[str]:
    from orchestra_graph.cli.words import amount, table

    taking = "" if on_disk is None else f", {amount(on_disk)} on disk"
    cells = [
        (_WORDS.get(kind, kind), str(size.rows), "" if size.bytes is None else amount(size.bytes))
        for kind, size in sizes.items()
    ]
    statuses = ", ".join(f"{count} {status}" for status, count in runs.items())
    return [
        f"{url}: schema {schema}{taking}",
        *table(("WHAT", "ROWS", "TEXT"), cells),
        *([f"runs: {statuses}"] if runs else []),
    ]
