"""Checking and repairing an overlay: the order of it all.

Rule: a check without repair changes nothing, and after a repair a check finds
nothing that could be repaired.  The stages build on each other, so a repair
looks anew after each stage that mended something; a check that only looks tells
of each cause and not of its effects.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from typing import Final

from index.workdir import Workdir
from overlay.base.progress import Progress, silent
from overlay.check.keep import Keeper
from overlay.check.marks import mark_findings
from overlay.check.names import name_findings
from overlay.check.problem import OF_COPIES, TEXTS, Finding, Kind, Problem
from overlay.check.scan import Scan, scan
from overlay.check.structure import MISLEADING, structure_findings
from overlay.check.workdir import held, identity_findings, staging_findings, was_served
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.tree import Tree
from overlay.startup.open import Purpose, open_tree

Stage = Callable[[Tree, Scan], Iterator[Finding]]
_STAGES: Final[tuple[Stage, ...]] = (structure_findings, mark_findings, name_findings)
KERNEL_WORK: Final = frozenset(kind for kind, text in TEXTS.items() if text.by_kernel)
# What a repair of one kind can bring about for another, at most, is as long as this chain.
_ROUNDS: Final = 4


def check(
    config: OverlayConfig,
    *,
    repair: bool,
    without: Collection[bytes] = (),
    progress: Progress = silent,
    keeper: Keeper | None = None,
) -> Iterator[Problem]:
    """Yield the problems of an overlay that no server has open, mended with `repair` as they come.

    `without`: recorded layers that a repair is to do without.  What it takes away is kept
    in the work directory, by `keeper` if there is one.
    Raises ConfigError if the layers cannot be opened or are in use.
    """
    if config.upperdir is None or config.workdir is None:
        raise ConfigError(
            "nothing to check: an export without an upper layer has no index; "
            "name the layers with --upperdir and --workdir"
        )
    keeper = (keeper or Keeper(config)) if repair else None
    try:
        if not was_served(config.workdir):
            return
        first = _check_identity(config.workdir, keeper)
    except OSError as problem:
        cure = "stop the server that uses it" if problem.errno == errno.EBUSY else "look at it"
        raise ConfigError(f"cannot check the workdir: {problem.strerror}: {cure}") from problem
    yield from (finding.problem() for finding in first)
    if first and not repair:
        return  # opening the layers would mend it
    purpose = Purpose.REPAIR if repair else Purpose.LOOK
    tree = open_tree(config, purpose=purpose, without=without, progress=progress)
    try:
        kinds = frozenset(Kind) - OF_COPIES if tree.is_upper_copied else frozenset(Kind)
        yield from check_tree(tree, repair=repair, progress=progress, kinds=kinds, keeper=keeper)
        if keeper is not None:
            keeper.finish(tree.workdir)
    finally:
        tree.close()


def _check_identity(work: bytes, keeper: Keeper | None) -> list[Finding]:
    """Return what is wrong with the key and the record, mended if there is a keeper."""
    found = identity_findings(work)
    if found and keeper is not None:
        workdir = held(work)
        for finding in found:
            _mend(finding, workdir, keeper)
    return found


def check_tree(
    tree: Tree,
    *,
    repair: bool,
    progress: Progress = silent,
    kinds: Collection[Kind] = frozenset(Kind),
    keeper: Keeper | None = None,
) -> Iterator[Problem]:
    """Yield the problems of these kinds in an opened overlay that serves nobody yet.

    `keeper`: what keeps what repairs take away, if anything does.
    """
    if tree.lost_names and Kind.COPY_INCOMPLETE in kinds:
        yield Finding(Kind.COPY_INCOMPLETE, b"/", None).problem()
    staged = list(staging_findings(tree))
    for finding in [one for one in staged if one.kind in kinds]:
        if repair:
            _mend(finding, tree.workdir, keeper)
        yield finding.problem()
    if repair:
        yield from _repair(tree, progress, kinds, keeper)
    else:
        doubtful = {one.fileid for one in staged if one.fileid is not None}
        yield from _look(tree, progress, kinds, doubtful)
    tree.caches.nodes.clear()
    tree.caches.names.clear()
    tree.changed_object(tree.root.fileid)


def _look(
    tree: Tree, progress: Progress, kinds: Collection[Kind], doubtful: set[int]
) -> Iterator[Problem]:
    found = scan(tree, progress)
    for stage in _STAGES:
        told = [one for one in stage(tree, found) if one.fileid not in doubtful]
        doubtful.update(one.fileid for one in told if one.fileid is not None)
        yield from (one.problem() for one in told if one.kind in kinds)
        if any(one.kind in MISLEADING and one.mend is not None for one in told):
            return


def _repair(
    tree: Tree, progress: Progress, kinds: Collection[Kind], keeper: Keeper | None
) -> Iterator[Problem]:
    found = scan(tree, progress)
    told: set[Problem] = set()  # of those that cannot be repaired
    for _ in range(_ROUNDS):
        doubtful: set[int] = set()
        again = False
        for stage in _STAGES:
            findings = [one for one in stage(tree, found) if one.fileid not in doubtful]
            mended = False
            for finding in findings:
                problem = finding.problem()
                if finding.kind in kinds and (finding.mend is not None or problem not in told):
                    _mend(finding, tree.workdir, keeper)
                    yield problem
                if finding.mend is None:
                    told.add(problem)
                if finding.mend is None and finding.fileid is not None:
                    doubtful.add(finding.fileid)
                mended |= finding.kind in kinds and finding.mend is not None
            if any(one.kind in MISLEADING and one.kind not in kinds for one in findings):
                return
            if mended:
                found, again = scan(tree, progress), True
        if not again:
            return


def _mend(finding: Finding, workdir: Workdir, keeper: Keeper | None) -> None:
    if finding.mend is None:
        return
    if keeper is not None:
        keeper.begin(workdir)
    finding.mend()
    if keeper is not None:
        keeper.note(finding.problem())
