"""How long changes of a large lower file take, each asked once.

Attributes and names need no copy of the data; the first write does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from nfsd.xdr.generated.nfs3 import NFS3ERR_NOENT
from tests.bench import tree
from tests.wire import NfsError, Wire

_RENAMED: Final = tree.LARGE + ".renamed"
_LINKED: Final = tree.LARGE + ".linked"


def change_large(wire: Wire) -> dict[str, float]:
    """Seconds of each change; none where the tree has no such file."""
    try:
        handle = wire.lookup(tree.LARGE)
    except NfsError as error:
        if error.status != NFS3ERR_NOENT:
            raise
        return {}
    changes: dict[str, Callable[[], None]] = {
        "chmod": lambda: wire.setattr(handle, mode=0o600),
        "rename": lambda: wire.rename(tree.LARGE, _RENAMED),
        "link": lambda: wire.link(handle, _LINKED),
        "first write": lambda: wire.write(handle, b"!"),
        "second write": lambda: wire.write(handle, b"!"),
    }
    found: dict[str, float] = {}
    for name, change in changes.items():
        begun = time.perf_counter()
        change()
        found[name] = time.perf_counter() - begun
    return found
