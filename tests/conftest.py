"""Fixtures that every test may use: servers, layers, and what to do on a machine that lacks things.

Rule: a test whose machine lacks something says what and is skipped; with CI=true it fails, since
there everything must run.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from overlay.model import copy_up_jobs
from tests.conformance import guest_image
from tests.conformance.layers import Layers, differences, layers, manifest
from tests.conformance.machine import UnavailableError, program
from tests.conformance.server import Server, Stack
from tests.property.syscalls import private_mounts

Serve = Callable[..., Server]

# No test needs a quiet machine: an example may take long to make and to try.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def _give_up(error: UnavailableError) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"in CI this must run: {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """A fixture that lacks something of the machine skips its tests."""
    os.umask(0o022)  # who has served in this process before has set it to 0
    try:
        return (yield)
    except UnavailableError as error:
        _give_up(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """So does a test that lacks it itself."""
    try:
        return (yield)
    except UnavailableError as error:
        _give_up(error)


@pytest.fixture(autouse=True, scope="session")
def own_mounts() -> None:
    """What this process mounts is in nobody else's way.

    Another that has its mounts copied, while one of the kernel's overlays is mounted here, would
    keep its layers in use.
    """
    if os.geteuid() == 0:
        private_mounts()


@pytest.fixture(autouse=True, scope="session")
def patience() -> Iterator[None]:
    """An overlay in this process has no client that asks again when a busy disk takes long."""
    before, copy_up_jobs.PATIENCE = copy_up_jobs.PATIENCE, 60.0  # type: ignore[misc]  # Final elsewhere
    yield
    copy_up_jobs.PATIENCE = before  # type: ignore[misc]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """An overlay opened in this process sets the umask to zero, for this test alone."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(lowers)`: a running server over these layers, with a fresh upper and workdir.

    `serve(stack=...)` serves given directories. At the end every server is stopped, must end well
    and must have printed no traceback.
    """
    servers: list[Server] = []

    def start(
        lowers: Sequence[Path] = (),
        *,
        stack: Stack | None = None,
        export: str = "/",
        arguments: Sequence[str] = (),
    ) -> Server:
        place = tmp_path / f"server{len(servers)}"
        place.mkdir()
        chosen = stack if stack is not None else Stack.over(lowers, place)
        server = Server(chosen, place / "log", export=export, arguments=arguments)
        servers.append(server)
        server.start()
        return server

    yield start
    try:
        for server in servers:
            if server.running:
                server.stop()
            server.check_log()
    finally:
        for server in servers:
            server.kill()


@pytest.fixture(scope="session")
def real_layers() -> Layers:
    """A Debian root and a layer over it; read-only for every test."""
    return layers()


@pytest.fixture
def unchanged_lowers(real_layers: Layers) -> Iterator[None]:
    """Fails a test after which a lower layer is not what it was."""
    before = [manifest(layer) for layer in real_layers.lowers]
    yield
    for layer, was in zip(real_layers.lowers, before, strict=True):
        assert differences(was, manifest(layer)) == [], f"{layer.name} was written to"


@pytest.fixture(scope="session")
def guest_ready() -> None:
    """For tests that boot the guest: QEMU and the guest's kernel are there."""
    program("qemu-system-x86_64", "qemu-system-x86")
    guest_image.image()
