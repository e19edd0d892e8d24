"""Measure a server of ours on scratch layers: `python -m tests.bench`.

The server is on one processor and the load generator on another, over loopback.  The machine may
be busy with other things: compare figures of one run only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from nfsd.xdr.nfs3 import (
    UNSTABLE,
    ACCESS3args,
    READ3args,
    WRITE3args,
    diropargs3,
)
from tests.bench.load import Workload, run
from tests.conformance.server import Server, Stack
from tests.wire import Wire

MIB = 1 << 20
FILES = 200
BIG = 64  # MiB of the file that is read and written


def main() -> None:
    """Print one figure a workload."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--outstanding", type=int, default=16, help="calls on their way at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlay-nfsd-bench.") as scratch:
        stack, log = _stack(Path(scratch)), Path(scratch) / "log"
        server = Server(stack, log, arguments=["--workers", "1"])
        server.start()
        try:
            if (os.cpu_count() or 1) > 1:
                for pid in server.workers:
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        os.sched_setaffinity(int(task.name), {0})
                os.sched_setaffinity(0, {1})
            wire = Wire(server.port)
            for workload in _workloads(wire):
                figure = run(wire.client, workload, options.outstanding)
                print(f"{workload.name:<14}{figure}", flush=True)
            wire.close()
        finally:
            server.stop()


def _stack(scratch: Path) -> Stack:
    """Two lower layers: files in a directory of both, and a big file."""
    top, bottom = scratch / "top", scratch / "bottom"
    for layer, numbers in ((top, range(0, FILES, 2)), (bottom, range(FILES))):
        (layer / "files").mkdir(parents=True)
        for number in numbers:
            (layer / "files" / f"file{number}").write_bytes(os.urandom(4096))
    (bottom / "big").write_bytes(os.urandom(BIG * MIB))
    return Stack.over([top, bottom], scratch)


def _workloads(wire: Wire) -> list[Workload]:
    files = wire.lookup("files")
    handles = [wire.lookup(b"files/" + name) for name in wire.names(files)]
    names = [diropargs3(files, name) for name in wire.names(files)]
    big, target = wire.lookup("big"), wire.create("target")
    data = os.urandom(MIB)
    reads = [READ3args(big, at * MIB, MIB) for at in range(BIG)]
    writes = [WRITE3args(target, at * MIB, MIB, UNSTABLE, data) for at in range(BIG)]
    wire.read(big)
    return [
        Workload("NULL", "NULL", [None], 200_000),
        Workload("GETATTR", "GETATTR", handles, 200_000),
        Workload("LOOKUP", "LOOKUP", names, 100_000),
        Workload("ACCESS", "ACCESS", [ACCESS3args(handle, 63) for handle in handles], 100_000),
        Workload("READ 1 MiB", "READ", reads, 4_000, MIB),
        Workload("WRITE 1 MiB", "WRITE", writes, 2_000, MIB),
    ]


main()
