"""Sealing an overlay: from then on its layers can be copied, and every handle outlives it.

The names of the lower layers go into the seal (overlay.startup.relocate_lower), which is done
once, as lower layers never change.  Upper inodes that come from no lower one are
marked with their identity: those that are there now by one walk, later ones before
anybody has a handle of them (overlay.lookup.adopt).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from index.layers import load_record, save_record
from index.seal import Seal
from overlay.base.progress import Progress, silent
from overlay.lookup.lookup import lookup
from overlay.model.config import OverlayConfig
from overlay.model.node import DirNode
from overlay.model.tree import Tree
from overlay.startup.open import open_tree
from overlay.startup.recover import recover
from overlay.startup.relocate_lower import LowerWalk


@dataclass(frozen=True, slots=True)
class Sealing:
    """What was done."""

    lower: int  # names of lower layers that were not sealed yet
    upper: int  # names of the upper layer


def seal_overlay(config: OverlayConfig, *, progress: Progress = silent) -> Sealing:
    """Seal the layers of an overlay that no server has open.

    Raises ConfigError if they cannot be opened or are in use.
    """
    tree = open_tree(config, progress=progress)
    try:
        recover(tree)
        lower = _seal_lowers(tree, progress)
        tree.seal()
        upper = _mark_upper(tree, progress)
        record = load_record(tree.workdir)
        assert record is not None
        save_record(tree.workdir, replace(record, sealed=True))
    finally:
        tree.close()
    return Sealing(lower, upper)


def _seal_lowers(tree: Tree, progress: Progress) -> int:
    seal = tree.layers.seal or Seal.within(tree.workdir.identity)
    layers = [layer for layer in tree.layers.lowers if not seal.is_sealed(layer.id)]
    names = 0
    with seal.writer() as writer:
        writer.begin(b"seal")
        for layer in layers:
            walk = LowerWalk(layer, (layer.id,), tree.kernel, writer, progress)
            names += walk.run().names
        writer.end()
    if tree.layers.seal is None:
        seal.close()
    return names


def _mark_upper(tree: Tree, progress: Progress) -> int:
    """Meet every name of the upper layer once, which marks what it names."""
    names = 0
    way = [tree.root] if tree.root.upper is not None else []
    while way:
        parent = way.pop()
        assert parent.upper is not None
        for raw in os.listdir(parent.upper):
            node = lookup(tree, parent, os.fsencode(raw))
            names += node is not None
            if isinstance(node, DirNode) and node.upper is not None:
                way.append(node)
        progress(names)
    return names
