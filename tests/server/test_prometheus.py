"""What is told is what Prometheus takes: promtool finds no fault, and a real one has answers.

Both are in Debian's package prometheus, and tried where they are.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from nfsd.xdr.generated.nfs3 import NFS3_OK, READ3args, diropargs3
from tests.client import Client
from tests.conformance.ports import free_port
from tests.conformance.server import PROJECT, Server
from tests.scraped import OPTIONS, page, scrape

pytestmark = [pytest.mark.processes, pytest.mark.once]

_LIMIT = 120.0
PACKAGING = PROJECT / "packaging"
DASHBOARD = PACKAGING / "grafana-dashboard.json"
EXPORT = """
[[export]]
path = "{path}"
lowerdir = "{place}/lower"
upperdir = "{place}/{own}upper"
workdir = "{place}/{own}work"
clients = {{ "*" = "rw,insecure" }}
"""
LIMITS = 'client_space = "1G"\nclient_files = 1000\n'


def there(name: str) -> str:
    """The path of a program of Prometheus'."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: it is in Debian's package prometheus")
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that has something to tell of everything."""
    for name in ("lower", "upper", "work", "clients"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "a").write_bytes(bytes(5000))
    file = tmp_path / "overlay-nfsd.toml"
    file.write_text(
        EXPORT.format(path="/shared", place=tmp_path, own="")
        + EXPORT.format(path='/it\'s \\"own\\"', place=tmp_path, own="clients/{client}/")
        + LIMITS
    )
    running = Server(None, tmp_path / "log", arguments=["--config", str(file), *OPTIONS])
    running.start()
    try:
        call(running)
        yield running
        running.stop()
    finally:
        running.kill()


def call(server: Server) -> None:
    """Call one thing and another."""
    with Client(server.port) as client:
        for path in (b"/shared", b'/it\'s "own"'):
            root = client.mount(path)
            found = client.nfs("LOOKUP", diropargs3(root, b"a")).resok.object
            for _ in range(3):
                assert client.nfs("GETATTR", found).status == NFS3_OK
            assert client.nfs("READ", READ3args(found, 0, 10)).status == NFS3_OK
            assert client.nfs("LOOKUP", diropargs3(root, b"none")).status != NFS3_OK


def test_promtool_finds_no_fault_with_the_page(server: Server) -> None:
    promtool = there("promtool")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape(server).text,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


class Prometheus:
    """One that runs, and is asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, what: str, **arguments: str) -> Any:  # noqa: ANN401 - JSON
        """The data of an answer; None while it has not begun to answer."""
        address = f"{self._base}/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(address, timeout=_LIMIT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            if problem.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise
        except urllib.error.URLError as problem:
            if isinstance(problem.reason, ConnectionError):
                return None
            raise

    def value(self, expression: str) -> list[float]:
        """What an expression is now, for each set of labels."""
        found = self.ask("query", query=expression)
        return [] if found is None else [float(each["value"][1]) for each in found["result"]]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[Prometheus]:
    """One that scrapes the server each second, with the alerts of the package."""
    program, port = there("prometheus"), free_port()
    file = tmp_path / "prometheus.yml"
    file.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{PACKAGING}/prometheus-rules.yml]
scrape_configs:
  - job_name: overlay-nfsd
    static_configs: [{{targets: ["{urllib.parse.urlsplit(page(server)).netloc}"]}}]
""")
    log = tmp_path / "prometheus.log"
    words = [program, f"--config.file={file}", f"--storage.tsdb.path={tmp_path}/data"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait(timeout=_LIMIT)


def questions(node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """What the dashboard's panels ask for."""
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        for each in node.values():
            yield from questions(each)
    elif isinstance(node, list):
        for each in node:
            yield from questions(each)


def test_a_real_one_scrapes_and_has_answers(server: Server, prometheus: Prometheus) -> None:
    def scraped() -> bool:
        call(server)
        return prometheus.value("rate(overlay_nfsd_calls_total[10s]) > 0") != []

    wait_for(scraped, "nothing was scraped")
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    for path in ("/shared", '/it\'s \\"own\\"'):
        assert prometheus.value(f'overlay_nfsd_export_calls_total{{export="{path}"}} > 0')
    for expression in questions(json.loads(DASHBOARD.read_text())["panels"]):
        asked = expression.replace("$__rate_interval", "10s")
        asked = re.sub(r"\$(job|instance)\b", ".*", asked)
        assert "$" not in asked
        assert prometheus.ask("query", query=asked) is not None, asked
    wait_for(
        lambda: {rule["health"] for rule in rules(prometheus)} == {"ok"},
        "rules that cannot be evaluated",
    )
    alerts = re.findall(r"alert: (\w+)", (PACKAGING / "prometheus-rules.yml").read_text())
    assert [rule["name"] for rule in rules(prometheus)] == alerts


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
