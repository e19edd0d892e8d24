"""Lower files that have their metadata alone, as a kernel mount with metacopy=on leaves them.

Their data is found by path. What is found by name is found by handle in a process that has seen
nothing, and goes wherever a client moves it.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach
from overlay.model.attributes import Changes
from tests.overlays import Served
from tests.property import syscalls
from tests.property.random_stack import mount_options
from tests.property.stack import Stack

_WRITTEN = b",redirect_dir=on,metacopy=on,index=off,xino=off"
_DATA = {"a": b"of b, renamed to a", "c/b": b"another file", "ch": b"changed", "c/ch": b"deep"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A base, and above it a layer that the kernel wrote: a renamed file and two changed ones."""
    stack = Stack.make(tmp_path / "layers", 2)
    top, base = stack.lowers
    (base / "c").mkdir()
    (base / "b").write_bytes(_DATA["a"])
    for name in ("c/b", "ch", "c/ch"):
        (base / name).write_bytes(_DATA[name])
    work, mount = tmp_path / "kernel", tmp_path / "mnt"
    work.mkdir()
    mount.mkdir()
    options = mount_options([base], [], (top, work)) + _WRITTEN
    syscalls.mount(b"test", os.fsencode(mount), b"overlay", options)
    try:
        (mount / "b").rename(mount / "a")
        (mount / "ch").chmod(0o600)
        (mount / "c/ch").chmod(0o600)
    finally:
        syscalls.unmount(os.fsencode(mount))
    return stack


@pytest.fixture
def served(stack: Stack) -> Iterator[Served]:
    overlay = Overlay.open(stack.config)
    yield Served(overlay)
    overlay.close()


def _kernel(stack: Stack, tmp_path: Path) -> dict[str, bytes]:
    mount = tmp_path / "mnt"
    options = mount_options(list(stack.lowers), [], (stack.upper, stack.work))
    options += b",redirect_dir=on,metacopy=on,index=on,xino=off"
    syscalls.mount(b"test", os.fsencode(mount), b"overlay", options)
    try:
        files = [path for path in mount.rglob("*") if path.is_file()]
        return {str(path.relative_to(mount)): path.read_bytes() for path in files}
    finally:
        syscalls.unmount(os.fsencode(mount))


def _by_handle(stack: Stack, handles: dict[str, bytes]) -> dict[str, bytes]:
    """What is read by handles, each in an overlay that has seen nothing."""
    found = {}
    for path, handle in handles.items():
        overlay = Overlay.open(stack.config)
        found[path] = bytes(overlay.read(overlay.resolve(handle), ROOT, 0, 100)[0])
        overlay.close()
    return found


def test_data_is_found_by_handle_alone(stack: Stack) -> None:
    overlay = Overlay.open(stack.config)
    handles = {path: Served(overlay).node(path).handle for path in _DATA}
    overlay.close()
    assert _by_handle(stack, handles) == _DATA


def test_data_goes_where_a_client_moves_the_file(stack: Stack, tmp_path: Path) -> None:
    overlay = Overlay.open(stack.config)
    served = Served(overlay)
    handles = {path: served.node(path).handle for path in _DATA}
    served.rename("a", "c/a2")
    served.rename("c/ch", "moved")
    served.link("ch", "c/linked")
    seen = {path: served.read(path) for path in ("c/a2", "moved", "ch", "c/linked", "c/b")}
    overlay.close()
    expected = [_DATA[name] for name in ("a", "c/ch", "ch", "ch", "c/b")]
    assert list(seen.values()) == expected
    assert _by_handle(stack, handles) == _DATA
    detach(stack.config, copy_data=False)
    assert _kernel(stack, tmp_path) == seen


def test_a_write_keeps_the_rest_of_the_data(served: Served) -> None:
    served.rename("a", "c/a2")
    served.write("c/a2", "OF")
    assert served.read("c/a2") == b"OF b, renamed to a"


@pytest.fixture
def without_base(stack: Stack) -> Iterator[Served]:
    """The layer with the data is left out."""
    overlay = Overlay.open(replace(stack, lowers=stack.lowers[:1]).config)
    yield Served(overlay)
    overlay.close()


def test_missing_data_hides_no_name(without_base: Served) -> None:
    assert without_base.paths() == ["", "a", "c", "c/ch", "ch"]
    assert without_base.attributes("a").size == len(_DATA["a"])
    with pytest.raises(OSError, match="Input/output") as raised:
        without_base.read("a")
    assert raised.value.errno == errno.EIO


def test_what_lacks_data_can_be_changed_and_removed(without_base: Served) -> None:
    without_base.chmod("a", 0o640)
    without_base.rename("a", "c/moved")
    assert without_base.attributes("c/moved").size == len(_DATA["a"])
    without_base.remove("c/moved")
    without_base.remove("c/ch")
    without_base.rmdir("c")
    assert without_base.paths() == ["", "ch"]


def test_what_lacks_data_can_be_emptied(without_base: Served) -> None:
    without_base.overlay.setattr(without_base.node("ch"), ROOT, Changes(size=0))
    assert without_base.read("ch") == b""
    without_base.write("ch", "new")
    assert without_base.read("ch") == b"new"


def test_data_is_there_again_with_its_layer(stack: Stack) -> None:
    overlay = Overlay.open(stack.config)
    handles = {path: Served(overlay).node(path).handle for path in _DATA}
    overlay.close()
    overlay = Overlay.open(replace(stack, lowers=stack.lowers[:1]).config)
    with pytest.raises(OSError, match="Input/output"):
        overlay.read(overlay.resolve(handles["a"]), ROOT, 0, 100)
    overlay.close()
    assert _by_handle(stack, handles) == _DATA


@pytest.fixture
def updated(stack: Stack, tmp_path: Path) -> tuple[Stack, dict[str, bytes]]:
    """A client has renamed a file that it changed; then an image update brings one of that name."""
    overlay = Overlay.open(stack.config)
    served = Served(overlay)
    served.chmod("c/b", 0o600)
    served.rename("c/b", "renamed")
    handles = {"renamed": served.node("renamed").handle}
    overlay.close()
    new = tmp_path / "layers/new"
    (new / "c").mkdir(parents=True)
    (new / "c/b").write_bytes(b"of a new image")
    return replace(stack, lowers=(new, *stack.lowers)), handles


def test_a_new_file_of_the_old_name_is_another(
    updated: tuple[Stack, dict[str, bytes]],
) -> None:
    stack, handles = updated
    assert _by_handle(stack, handles) == {"renamed": _DATA["c/b"]}


def test_it_is_another_also_where_unsealed_layers_were_copied(
    updated: tuple[Stack, dict[str, bytes]], tmp_path: Path
) -> None:
    stack, _ = updated
    Overlay.open(stack.config).close()
    shutil.move(tmp_path / "layers", tmp_path / "before")
    subprocess.run(["cp", "-a", tmp_path / "before", tmp_path / "layers"], check=True)
    overlay = Overlay.open(stack.config)
    try:
        assert Served(overlay).read("renamed") == _DATA["c/b"]
    finally:
        overlay.close()


def test_a_kernel_mount_shows_its_contents_after_detach(
    updated: tuple[Stack, dict[str, bytes]], tmp_path: Path
) -> None:
    stack, _ = updated
    Overlay.open(stack.config).close()
    detach(stack.config, copy_data=False)
    assert _kernel(stack, tmp_path)["renamed"] == _DATA["c/b"]
