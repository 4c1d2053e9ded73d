"""`make bench`: measure everything, print one line each; the exit code says whether every aim was met."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import (
    branches,
    chain,
    compiling,
    critical,
    fan,
    growth,
    imports,
    many,
    memory,
    messages,
    pauses,
    postgres,
    resume,
    sealing,
    takeover,
)

__all__ = ["main"]

MODULES = (
    *(chain, growth, fan, many, pauses, messages, sealing, branches, critical, compiling, imports, resume, memory),
    *(postgres, takeover),
)


def main() -> int:
    """Run all benchmarks, or those named on the command line."""
    modules = {module.__name__.rsplit(".", 1)[-1]: module for module in MODULES}
    wanted = sys.argv[1:] or list(modules)
    missed = 0
    for name, module in modules.items():
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                for figure in asyncio.run(module.measure(Path(folder))):
                    print(figure, flush=True)
                    missed += not figure.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
