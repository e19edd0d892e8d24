"""What Prometheus is told of each export: room for its upper layer, and what clients have taken.

Of clients with layers of their own, the parent process knows what the workers note beside
the index once in a while (overlay.per_client).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from nfsd.config.file import ExportConfig
from nfsd.metrics.prometheus import Family, Labels, Value, gauge
from overlay import per_client

_SECONDS: Final = 0.05  # of each scrape, at most, for the notes of one export's clients


SIZE: Final = gauge("upper_size_bytes", "Size of the filesystem of the upper layer, by export.")
FREE: Final = gauge("upper_free_bytes", "What is free of it.")
FREE_FILES: Final = gauge(
    "upper_free_files", "How many objects more it may have; not told where it has no bounds."
)
LAYERS: Final = gauge("client_layers", "Clients that have layers of their own, by export.")
LAYERS_MAX: Final = gauge("client_layers_limit", "How many may have them.")
INDEX: Final = gauge("client_index_entries", "Entries in the index of a client's own layers.")
SPACE: Final = gauge("client_space_bytes", "Disk space that a client's upper layer takes.")
SPACE_MAX: Final = gauge("client_space_limit_bytes", "What it may take, by export.")
FILES: Final = gauge("client_files", "Objects that a client's upper layer has.")
FILES_MAX: Final = gauge("client_files_limit", "How many it may have, by export.")
FAMILIES: Final = (
    *(SIZE, FREE, FREE_FILES, LAYERS, LAYERS_MAX),
    *(INDEX, SPACE, SPACE_MAX, FILES, FILES_MAX),
)


def export_numbers(exports: Iterable[ExportConfig]) -> Iterator[tuple[Family, Labels, Value]]:
    """Yield the numbers of these, as far as they can be had now."""
    for export in exports:
        labels = {"export": os.fsdecode(export.path)}
        if export.layers.upperdir is None:
            continue
        is_own = per_client.is_per_client(export.layers)
        upper = per_client.above(export.layers) if is_own else export.layers.upperdir
        with suppress(OSError):  # it cannot be looked at now
            yield from _space(upper, labels)
        if is_own:
            with suppress(OSError):
                yield from _clients(export, labels)


def _space(upper: bytes, labels: Labels) -> Iterator[tuple[Family, Labels, Value]]:
    space = os.statvfs(upper)
    yield SIZE, labels, space.f_blocks * space.f_frsize
    yield FREE, labels, space.f_bavail * space.f_frsize
    if space.f_files:
        yield FREE_FILES, labels, space.f_favail


def _clients(export: ExportConfig, labels: Labels) -> Iterator[tuple[Family, Labels, Value]]:
    clients = per_client.clients(export.layers)
    yield LAYERS, labels, len(clients)
    yield LAYERS_MAX, labels, export.max_clients
    for family, limit in ((SPACE_MAX, export.limits.space), (FILES_MAX, export.limits.files)):
        if limit is not None:
            yield family, labels, limit
    until = time.monotonic() + _SECONDS
    for client in clients:
        if time.monotonic() > until:
            break
        for family, value in zip(
            (INDEX, SPACE, FILES), per_client.noted(export.layers, client), strict=True
        ):
            if value is not None:
                yield family, {**labels, "client": client}, value
