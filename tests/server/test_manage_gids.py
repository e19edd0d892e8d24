"""Groups of users from this machine's own database, which a mount namespace gives files for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conformance.server import PROJECT

_SCRIPT = """
import json, pathlib, sys, time
from nfsd.export import resolver
from nfsd.export.access import Access
from nfsd.export.client_match import ClientTable, Pattern
from nfsd.export.options import ExportOptions
from nfsd.rpc.program import Caller
from nfsd.export.resolver import Resolver
from overlay.base.credentials import Credentials

resolver.LIFETIME = 0.1
users, options = Resolver(), ExportOptions()
access = Access([ClientTable([(Pattern.parse("*"), options)], users)], (), users)
def groups(uid):
    caller = Caller("10.0.0.1", 1023, b"", Credentials(uid, 7, frozenset({7, 8})))
    access.basis(caller)
    return sorted(access.acting(caller, options).groups)
found = [groups(uid) for uid in (1234, 4321, 0)]
access.look_again(())
place = pathlib.Path(sys.argv[1])
place.write_text(place.read_text().replace("ada", "bob"))
end = time.monotonic() + 120
while not access.look_again(()) and time.monotonic() < end:
    time.sleep(0.05)
print(json.dumps([*found, groups(1234)]))
"""


def test_a_user_is_in_more_groups_than_a_call_can_name(tmp_path: Path) -> None:
    many = list(range(5000, 5040))
    (tmp_path / "passwd").write_text("root:x:0:0::/:\nada:x:1234:77::/:\n")
    (tmp_path / "group").write_text("".join(f"g{gid}:x:{gid}:ada\n" for gid in many))
    (tmp_path / "nsswitch").write_text("passwd: files\ngroup: files\n")
    mounts = "; ".join(
        f"mount --bind {tmp_path / source} /etc/{target}"
        for source, target in (
            ("passwd", "passwd"),
            ("group", "group"),
            ("nsswitch", "nsswitch.conf"),
        )
    )
    command = ["unshare", "-m", "sh", "-ec", mounts + '; exec "$@"', "sh"]
    command += [sys.executable, "-c", _SCRIPT, str(tmp_path / "group")]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    known, unknown, root, changed = json.loads(done.stdout)
    assert known == [77, *many]
    assert unknown == [7, 8]  # as the call says
    assert root == [7, 8]
    assert changed == [77]
