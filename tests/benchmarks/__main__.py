"""`make bench`: measure everything, print one line each; the exit code says whether every aim was met."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import branches, chain, fan, growth, imports

__all__ = ["main"]


def main() -> int:
    """Run all benchmarks, or those named on the command line."""
    wanted = sys.argv[1:] or ["chain", "growth", "fan", "branches", "imports"]
    missed = 0
    for module in (chain, growth, fan, branches, imports):
        name = module.__name__.rsplit(".", 1)[-1]
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                for figure in asyncio.run(module.measure(Path(folder))):
                    print(figure, flush=True)
                    missed += not figure.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
