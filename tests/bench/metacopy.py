"""How long changes of a large lower file take: `python -m tests.bench.metacopy [--gib N]`.

Mode, name and link change at once; the first write waits for the data to be copied.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.conformance.server import Server, Stack
from tests.wire import Wire

MIB = 1 << 20


def main() -> None:
    """Print the milliseconds of each change."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.metacopy", description=__doc__)
    parser.add_argument("--gib", type=int, default=4, help="size of the file (default: 4)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlay-nfsd-bench.") as scratch:
        lower = Path(scratch) / "lower"
        lower.mkdir()
        block = os.urandom(MIB)
        with (lower / "file").open("wb") as file:
            for _ in range(options.gib * 1024):
                file.write(block)
        os.sync()  # what is measured shall not wait for this file to reach the disk
        server = Server(Stack.over([lower], Path(scratch)), Path(scratch) / "log")
        server.start()
        try:
            _changes(Wire(server.port))
        finally:
            server.stop()


def _changes(wire: Wire) -> None:
    handle = wire.lookup("file")
    wire.attributes(handle)
    _time("chmod", lambda: wire.setattr(handle, mode=0o600))
    _time("rename", lambda: wire.rename("file", "renamed"))
    _time("link", lambda: wire.link(handle, "linked"))
    _time("first write", lambda: wire.write(handle, b"!"))
    _time("second write", lambda: wire.write(handle, b"!"))


def _time(what: str, change: Callable[[], None]) -> None:
    begun = time.perf_counter()
    change()
    print(f"{what:<14}{(time.perf_counter() - begun) * 1000:>12.2f} ms", flush=True)


main()
