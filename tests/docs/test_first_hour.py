"""The tutorial, typed in from the top: every file written, every command run, every output compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import blocks, write_files
from tests.docs.console import Console, commands
from tests.docs.outputs import check_prints

PAGE = "docs/first-hour.md"


@pytest.mark.kill
def test_the_first_hour_goes_as_the_page_says(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    console = Console(tmp_path)
    for block in blocks(PAGE):
        if block.language != "console":
            continue
        for command, prints in commands(block.code):
            check_prints(f"{block.where}: {command}", prints, console.type(_patient(command)))


def _patient(command: str) -> str:
    """On a busy machine, wait for what the three seconds of the page are for: that four texts have been read."""
    four = "until [ $(cat work.log 2>/dev/null | wc -l) -ge 4 ]; do sleep 0.1; done; sleep 0.4"
    return command.replace("sleep 3;", f"{four};")
