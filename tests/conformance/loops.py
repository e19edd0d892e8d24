"""Work that the guest goes on with while the host does things to the server.

Rule: a loop ends at the first thing that goes wrong in it, even a word on stderr, and says what.
What shows something is a pass that began before the server went away and ended after it came back,
so the host waits for passes, never for seconds.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.guest import Guest

SHARE = "loops"  # the name under which the guest must have the directory

SCRIPT = """\
set -e -o pipefail
same() {{ [ "$2" = "$3" ] || {{ echo "$1: it was: $2"; echo "it is: $3"; exit 1; }}; }}
drop_caches() {{ echo 3 >/proc/sys/vm/drop_caches; }}
pass=0
cd /mnt
{begin}
while [ ! -e /share/loops/stop ]; do
pass=$((pass + 1))
{each}
printf . >>/share/loops/{name}.passes
done
"""

# 4: the kernel is not to log each time that it drops its caches. What it has said is forgotten.
START = """
echo 4 >/proc/sys/vm/drop_caches
dmesg -c >/dev/null
for script in /share/loops/*.sh; do
  name=${script%.sh}
  (sh $script >$name.log 2>&1; echo $? >$name.status) </dev/null >/dev/null 2>&1 &
done
"""


@dataclass(frozen=True)
class Loop:
    """A shell script in /mnt: `begin` once, then `each` as pass 1, 2, 3, ...; variables are kept.

    Every command must succeed. `same WHAT WANTED FOUND` compares; `drop_caches` makes what follows
    come over the wire.
    """

    begin: str
    each: str


class Loops:
    """Loops that run side by side in a guest that shares `directory` as "loops"."""

    def __init__(self, directory: Path, loops: Mapping[str, Loop]) -> None:
        self.directory = directory
        self.names = tuple(loops)
        directory.mkdir()
        for name, loop in loops.items():
            script = SCRIPT.format(name=name, begin=loop.begin, each=loop.each)
            (directory / f"{name}.sh").write_text(script)
            (directory / f"{name}.passes").touch()

    def start(self, guest: Guest) -> None:
        """Starts them all."""
        guest.run(START).check()

    def passes(self) -> dict[str, int]:
        """How many passes each has behind it."""
        return {name: self._file(name, "passes").stat().st_size for name in self.names}

    def await_passes(self, timeout: float) -> None:
        """Waits until each has ended one more pass."""
        before = self.passes()
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            now = self.passes()
            waiting = [name for name in self.names if now[name] == before[name]]
            if not waiting:
                return
            assert time.monotonic() < deadline, f"no pass in {timeout:.0f} s of {waiting}: {now}"
            time.sleep(0.05)

    def stop(self, timeout: float) -> dict[str, int]:
        """Ends each after the pass that it is in; returns the passes."""
        (self.directory / "stop").touch()
        deadline = time.monotonic() + timeout
        while not all(self._file(name, "status").exists() for name in self.names):
            self.check()
            assert time.monotonic() < deadline, f"not ended in {timeout:.0f} s: {self.passes()}"
            time.sleep(0.05)
        self.check()
        return self.passes()

    def check(self) -> None:
        """Fails if something went wrong in one of them."""
        ended = {name: self._text(name, "status") for name in self.names}
        logs = {name: self._text(name, "log") for name in self.names}
        wrong = [
            f"{name}, in pass {passes + 1}, exit status {ended[name] or 'none yet'}:\n{logs[name]}"
            for name, passes in self.passes().items()
            if logs[name] or ended[name] not in ("", "0\n")
        ]
        assert not wrong, "\n".join(wrong)

    def _file(self, name: str, kind: str) -> Path:
        return self.directory / f"{name}.{kind}"

    def _text(self, name: str, kind: str) -> str:
        file = self._file(name, kind)
        return file.read_text(errors="replace") if file.exists() else ""
