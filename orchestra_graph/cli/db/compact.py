"""`orchestra db compact`: give room back to the disk."""

from __future__ import annotations

from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

__all__ = ["compact"]


@command("compact")
def compact(settings: Settings) -> Report:
    """Give the room of what was removed back to the disk.

    The database is written anew: that takes as long as copying it does, needs as much room again meanwhile, and whoever
    wants to write waits.
    """
    import asyncio

    from orchestra_graph.cli.database import existing, read_store
    from orchestra_graph.cli.words import amount
    from orchestra_graph.errors import without_password
    from orchestra_graph.store.examine import size_on_disk

    async def work() -> None:
        async with read_store(settings) as store:
            await store.compact()

    url = existing(settings)
    before = size_on_disk(url)
    asyncio.run(work())
    after = size_on_disk(url)
    shown = without_password(url)
    text = f"{shown} was compacted"
    if before is not None and after is not None:
        text += f": from {amount(before)} to {amount(after)}"
    return Report(document={"url": shown, "before": before, "after": after}, text=text)
