"""`overlay-nfsd export`: exports come and go while clients are served, and files stay in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nfsd.commands.cli import main
from nfsd.config.file import load
from overlay.base.refusal import Refusal
from tests.client import Client
from tests.conformance.ports import free_port
from tests.property import syscalls
from tests.server.test_reload import Configured, Export

pytestmark = pytest.mark.once

Command = Callable[..., tuple[int, str]]
EVERYBODY = ("--clients", "*=rw,insecure")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "lower").mkdir()
    file = tmp_path / "overlay-nfsd.toml"
    file.write_text(
        f'[[export]]\npath = "/a"\nlowerdir = "{tmp_path / "lower"}"\nclients = {{ "*" = "ro" }}\n'
    )
    return file


@pytest.fixture
def command(file: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command with a configuration that nobody serves: its status and what it said."""

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["export", arguments[0], "--config", str(file), *arguments[1:]])
        return status, "".join(capsys.readouterr())

    return run


def test_added_listed_and_removed(file: Path, command: Command) -> None:
    layers = ("--lowerdir", r"/x\:y:/z::/data", "--upperdir", "/u", "--workdir", "/w")
    more = ("--set", "inode_bits=32")
    status, said = command("add", "/b/c-d", *layers, *EVERYBODY, "--clients", "h=ro", *more)
    assert (status, said) == (0, "no server runs: it counts from the next start\n")
    (added,) = [each for each in load(str(file)).exports if each.path == b"/b/c-d"]
    assert (added.layers.lowerdirs, added.layers.datadirs) == ((b"/x:y", b"/z"), (b"/data",))
    assert (added.layers.upperdir, added.layers.workdir) == (b"/u", b"/w")
    assert added.layers.inode_bits == 32
    assert [pattern.text for pattern, _ in added.clients] == ["*", "h"]
    dropped = f"{file}.d/b%2Fc-d.toml"
    _, said = command("list")
    assert [line.split() for line in said.splitlines()] == [["/a", str(file)], ["/b/c-d", dropped]]
    assert command("remove", "/b/c-d/")[0] == 0
    assert os.listdir(f"{file}.d") == []
    assert [each.path for each in load(str(file)).exports] == [b"/a"]


def test_the_only_exports_may_be_dropped_in(file: Path, command: Command) -> None:
    file.write_text("[server]\nworkers = 1\n")
    with pytest.raises(Refusal, match="nothing is exported"):
        load(str(file))
    assert command("add", "/", "--lowerdir", "/x", *EVERYBODY)[0] == 0
    assert [each.path for each in load(str(file)).exports] == [b"/"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
def test_on_a_full_filesystem_nothing_is_left(file: Path, command: Command) -> None:
    where = Path(f"{file}.d")
    where.mkdir(0o755)
    syscalls.mount(b"full", os.fsencode(where), b"tmpfs", b"size=4k,mode=755")
    try:
        (where / "filling").write_bytes(bytes(4096))
        status, said = command("add", "/b", "--lowerdir", "/x", *EVERYBODY)
        assert status == 2
        assert "No space left on device" in said
        assert os.listdir(where) == ["filling"]
    finally:
        syscalls.unmount(os.fsencode(where))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "/a", "--lowerdir", "/x", *EVERYBODY), "/a is exported twice"),
        (("add", "b", "--lowerdir", "/x", *EVERYBODY), "an absolute path"),
        (("add", "/../b", "--lowerdir", "/x", *EVERYBODY), "an absolute path"),
        (("add", "/b", *EVERYBODY), "--lowerdir"),
        (("add", "/b", "--lowerdir", "/x", "--clients", "*"), "two words with = between"),
        (("add", "/b", "--lowerdir", "/x", "--clients", "*=rx"), "rx"),
        (("add", "/b", "--lowerdir", "/x", *EVERYBODY, "--set", "port=1"), "no such setting"),
        (("add", "/b", "--lowerdir", "/\udcff", *EVERYBODY), "not UTF-8"),
        (("add", "/" + "b" * 300, "--lowerdir", "/x", *EVERYBODY), "too long"),
        (("remove", "/a"), "take it out there"),
        (("remove", "/b"), "is not exported"),
    ],
)
def test_what_is_refused_leaves_nothing(
    file: Path, command: Command, arguments: tuple[str, ...], said: str
) -> None:
    before = file.read_bytes()
    status, text = command(*arguments)
    assert status == 2
    assert said in text
    assert text.count("\n") == 1
    assert file.read_bytes() == before
    assert not list(Path(f"{file}.d").glob("*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\n", r"b\.toml:1: \[server\] stands in .*overlay-nfsd.toml alone"),
        ('[[export]]\npath = "b"\n', r"b\.toml:2: path"),
        ("x = 1\n", r"b\.toml:1: x: no such setting"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(file: Path, text: str, said: str) -> None:
    directory = Path(f"{file}.d")
    directory.mkdir()
    (directory / "b.toml").write_text(text)
    (directory / "b.toml~").write_text("no TOML")
    (directory / ".c.toml").write_text("no TOML")
    with pytest.raises(Refusal, match=said):
        load(str(file))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    listen = [f"127.0.0.1:{free_port()}"]
    one = Configured(tmp_path, [Export("/a", tmp_path / "a")], workers=1, listen=listen)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(one.run))
    try:
        yield one
        one.server.stop()
    finally:
        one.server.kill()


def test_while_clients_are_served(
    served: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(served.file)]
    for part in ("lower", "upper", "work"):
        (tmp_path / "b" / part).mkdir(parents=True)
    layers = [f"--{part}dir={tmp_path / 'b' / part}" for part in ("lower", "upper", "work")]
    with Client(served.server.port) as client:
        root = client.mount("/a")
        assert main(["export", "add", *config, "/b", *layers, *EVERYBODY]) == 0
        assert "reloaded: serving /a, /b" in capsys.readouterr().out
        client.nfs("GETATTR", client.mount("/b"))
        assert main(["export", "add", *config, "/c", "--lowerdir=/none", *EVERYBODY]) == 2
        assert "/none" in capsys.readouterr().err
        assert os.listdir(f"{served.file}.d") == ["b.toml"]
        assert main(["export", "remove", *config, "/b"]) == 0
        assert os.listdir(f"{served.file}.d") == []
        client.nfs("GETATTR", root)
        assert main(["export", "add", *config, "/b", *layers, *EVERYBODY]) == 0
