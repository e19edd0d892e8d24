"""What is kept of overlays, by all that this process serves together, and what an entry takes.

The bytes of an entry are those of all objects that nothing else holds, as
CPython 3.11 on 64 bits lays them out; the tests hold them against what is really taken.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final, NamedTuple

from index.identity import Signer
from overlay.base.lru import SLOT_BYTES, Cache, CacheBudget
from overlay.model.listing import Listing
from overlay.model.node import KEPT_PATH_MAX, DirNode, Node

# Of the budget: half of it is for what is made of these (nfsd.rpc.reply_cache).
_NODES: Final = 1 / 8
_NAMES: Final = 1 / 8
_LISTINGS: Final = 1 / 4
_BUDGET_BYTES: Final = 256 << 20  # where nothing else is set

# Of the process's descriptors, what is left to connections and to work in progress; but no
# more than this part where there are few.
_RESERVED: Final = 2048
_RESERVED_PART: Final = 2 / 3
_DESCRIPTORS_PER_WEIGHT: Final = 3  # a file's own, its reader and its writer

_BYTES: Final = 40  # of a bytes object besides its contents, rounded
_NODE_BYTES: Final = SLOT_BYTES + 1184  # identity, attributes, dentry, descriptors
_LOWER_BYTES: Final = 112  # of each lower directory
_PATH_BYTES: Final = _BYTES + KEPT_PATH_MAX
_KNOWN_BYTES: Final = SLOT_BYTES + 112 + 2 * _BYTES  # with the number and the handle


@dataclass(slots=True, init=False)
class Known:
    """What a name in a directory was found to be, while its counter stood so."""

    generation: Final[int]
    handle: Final[bytes | None]  # None: there is no such name

    def __init__(self, generation: int, handle: bytes | None) -> None:  # (overlay.model.attributes)
        self.generation = generation
        self.handle = handle


class Listed(NamedTuple):
    """What a directory was found to show, while its counter stood so."""

    generation: int
    listing: Listing


class Caches:
    """Nodes and listings by handle, names by the directory's handle and the name."""

    def __init__(self, budget: CacheBudget | None = None) -> None:
        budget = CacheBudget(_BUDGET_BYTES) if budget is None else budget
        self.nodes: Cache[bytes, Node] = Cache(
            budget, _NODES, _node_bytes, limit=_descriptor_budget(), weight_of=_weight
        )
        self.names: Cache[bytes, Known] = Cache(budget, _NAMES, _known_bytes)
        self.listings: Cache[bytes, Listed] = Cache(budget, _LISTINGS, _listed_bytes)

    def forget(self, signer: Signer) -> None:
        """Keep nothing of one export, whose handles begin the keys."""
        for cache in (self.nodes, self.names, self.listings):
            cache.forget_all(signer.is_of)


def _descriptor_budget() -> int:
    """Return how much weight of nodes the process's descriptor limit allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = min(_RESERVED, int(soft * _RESERVED_PART))
    return max(8, (soft - reserved) // _DESCRIPTORS_PER_WEIGHT)


def _weight(node: Node) -> int:
    return len(node.lowers) + 1 if isinstance(node, DirNode) else 1


def _node_bytes(handle: bytes, node: Node) -> int:
    size = _NODE_BYTES + len(handle)
    if isinstance(node, DirNode) and node.lowers:
        size += len(node.lowers) * _LOWER_BYTES + _PATH_BYTES
    return size


def _known_bytes(key: bytes, known: Known) -> int:
    return _KNOWN_BYTES + len(key) + (0 if known.handle is None else len(known.handle))


def _listed_bytes(handle: bytes, listed: Listed) -> int:
    return SLOT_BYTES + listed.listing.size
