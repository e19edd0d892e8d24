"""The dashboard asks for what the server tells, all of it, by labels that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfsd.metrics.metrics import FAMILIES, WORKERS
from nfsd.xdr.generated.nfs3 import NFS3_OK, READ3args, diropargs3
from tests.client import Client
from tests.conformance.server import PROJECT, Server
from tests.scraped import OPTIONS, scrape

pytestmark = pytest.mark.once

DASHBOARD = PROJECT / "packaging" / "grafana-dashboard.json"
FROM_PROMETHEUS = {"job", "instance"}
UNSEEN = {WORKERS.name}  # shown nowhere


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def expressions(node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Every question to Prometheus, wherever it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for each in node:
            yield from expressions(each)


def test_every_metric_that_is_asked_for_exists(dashboard: dict[str, Any]) -> None:
    asked = {
        name for text in expressions(dashboard) for name in re.findall(r"overlay_nfsd_\w+", text)
    }
    told = {name for family in FAMILIES for name in family.series}
    assert asked <= told
    unasked = {family.name for family in FAMILIES if not asked & set(family.series)}
    assert unasked == UNSEEN


def test_the_labels_that_are_grouped_by_exist(dashboard: dict[str, Any], tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "clients"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "a").write_bytes(b"a")
    file = tmp_path / "overlay-nfsd.toml"
    own = f"{tmp_path}/clients/{{client}}"
    limits = 'client_space = "1G"\nclient_files = 1000\n'
    file.write_text(
        "".join(
            f'[[export]]\npath = "{path}"\nlowerdir = "{tmp_path}/lower"\n'
            f'upperdir = "{above}/upper"\nworkdir = "{above}/work"\n'
            f'clients = {{ "*" = "rw,insecure" }}\n{more}'
            for path, above, more in (("/", tmp_path, ""), ("/room", own, limits))
        )
    )
    arguments = ["--config", str(file), *OPTIONS]
    server = Server(None, tmp_path / "log", arguments=arguments)
    server.start()
    try:
        with Client(server.port) as client:
            client.nfs("GETATTR", client.mount("/room"))
            root = client.mount()
            found = client.nfs("LOOKUP", diropargs3(root, b"a")).resok.object
            assert client.nfs("READ", READ3args(found, 0, 10)).status == NFS3_OK
            assert client.nfs("LOOKUP", diropargs3(root, b"none")).status != NFS3_OK
            labels = labels_of(scrape(server).text)
        server.stop()
    finally:
        server.kill()
    for text in expressions(dashboard):
        named = set(re.findall(r"overlay_nfsd_\w+", text))
        grouped = {
            label.strip()
            for group in re.findall(r"by \(([^)]*)\)", text)
            for label in group.split(",")
        }
        for name in named:
            assert grouped <= labels[name] | FROM_PROMETHEUS, text


def labels_of(text: str) -> dict[str, set[str]]:
    """The labels of each series that was told."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(overlay_nfsd_\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_panels_do_not_overlap_and_have_titles(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
