"""Attack a server, one way after another, and print the table: python -m tests.hostile."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.hostile.attacks import ATTACKS
from tests.hostile.target import serving
from tests.hostile.trial import HEAD, NONE, trial


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of each attack")
    parser.add_argument("--attack", choices=[NONE, *ATTACKS], nargs="*", default=[NONE, *ATTACKS])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory(prefix="hostile-", dir="/var/tmp") as place:
        with serving(Path(place), workers=options.workers) as (server, target):
            processes = server.processes
            print(HEAD)
            for name in options.attack:
                found = trial(server, target, name, options.seconds)
                print(found.row(), flush=True)
                failed += [f"{name}: {error}" for error in found.errors]
            if server.processes != processes:
                failed.append("a process has died")
        server.check_log()
    print(*failed, sep="\n")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
