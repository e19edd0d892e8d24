"""The calls that are cut short: one of each kind, with what has to be there before it.

Rule: a case is one call of a client.  What prepares it goes through the same server.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nfsd.xdr.generated.nfs3 import EXCLUSIVE, FILE_SYNC, NF3CHR, NF3SOCK, UNCHECKED
from tests.torture.asking import (
    Ask,
    attributes,
    commit,
    create,
    first,
    link,
    listing,
    lookup,
    mkdir,
    mknod,
    remove,
    rename,
    rmdir,
    setattr,
    setattr_guarded,
    symlink,
    write,
)
from tests.torture.scene import USER, Scene
from tests.wire import Wire


@dataclass(frozen=True)
class Case:
    """One call, what goes before it, and what may be seen after it was cut short."""

    name: str
    ask: Ask
    prepare: Callable[[Wire], None] = lambda _: None
    # Done to the layers before any server has them, and between two servers.
    plant: Callable[[Scene], None] | None = None
    tamper: Callable[[Scene], None] | None = None
    uid: int = 0
    is_unstable: bool = False  # what is written may be lost with the power
    is_first_use: bool = False  # looking at the layers would do what the call does
    each_by_itself: bool = False  # several attributes: each is as before or as after
    words: tuple[str, ...] = ()  # options of the server
    is_stable: bool = False  # data that is written, and then may fail to be brought to the disk


_chmod: Final = attributes(0o604)
_all_at_once: Final = attributes(0o600, 77, USER, times=True)
_new_file: Final = create("new")
_new_dir: Final = mkdir("newdir")
_files_gone: Final = (remove("gone/a"), remove("gone/far/b"))
_emptied: Final = (*_files_gone, rmdir("gone/far"))

COPY_UP: Final = (
    Case("write a lower file", write("file"), is_unstable=True),
    Case("write a lower file, stable", write("file", FILE_SYNC), is_stable=True),
    Case("write a lower file, nested", write("nest/one/two/three/leaf"), is_unstable=True),
    Case("write a lower file, merged parent", write("merged/below"), is_unstable=True),
    Case(
        "write a lower file, setuid, not root",
        write("runs"),
        is_unstable=True,
        uid=USER,
        each_by_itself=True,
    ),
    Case("write a lower hard link", write("dir/hard3"), is_unstable=True),
    Case("truncate a lower file", setattr("file", attributes(size=10))),
    Case("truncate a lower file to 0", setattr("file", attributes(size=0))),
    Case("lengthen a lower file", setattr("file", attributes(size=20000))),
    Case("truncate by CREATE", create("file", attributes(size=0), UNCHECKED)),
    Case("chmod a lower file (metacopy)", setattr("file", _chmod)),
    Case("chmod a lower file, guarded", setattr_guarded("file", _chmod)),
    Case("chmod a lower file, nested", setattr("nest/one/two/three/leaf", _chmod)),
    Case("chmod a lower hard link", setattr("hard1", _chmod)),
    Case("write a metacopy", write("file"), first(setattr("file", _chmod)), is_unstable=True),
    Case(
        "truncate a metacopy", setattr("file", attributes(size=10)), first(setattr("file", _chmod))
    ),
    Case(
        "lengthen a metacopy",
        setattr("file", attributes(size=20000)),
        first(setattr("file", _chmod)),
    ),
    Case("chmod a lower file, no metacopy", setattr("file", _chmod), words=("--no-metacopy",)),
    Case(
        "truncate a lower file, no metacopy",
        setattr("file", attributes(size=10)),
        words=("--no-metacopy",),
    ),
    Case(
        "rename a lower file, no metacopy",
        rename("nest/one/two/three/leaf", "leaf"),
        words=("--no-redirect-dir",),
    ),
    Case("chown a lower symlink", setattr("symlink", attributes(uid=USER))),
    Case("chmod a lower device", setattr("device", _chmod)),
    Case("chmod a lower FIFO", setattr("fifo", _chmod)),
    Case("chmod a lower directory", setattr("dir", _chmod)),
    Case("chmod a merged directory", setattr("merged", _chmod)),
    Case("chmod a nested directory", setattr("nest/one/two/three", _chmod)),
    Case("chmod a redirected directory", setattr("shown", _chmod)),
    Case("write below a redirected directory", write("shown/sub/s"), is_unstable=True),
    Case("set times of a lower file", setattr("file", attributes(times=True))),
    Case("set all of a lower file", setattr("file", _all_at_once), each_by_itself=True),
)

CHANGE: Final = (
    Case("write an upper file", write("new"), first(_new_file), is_unstable=True),
    Case(
        "write a copied-up file, stable",
        write("file", FILE_SYNC),
        first(write("file")),
        is_stable=True,
    ),
    Case("commit", commit("file"), first(write("file"))),
    Case(
        "truncate an upper file", setattr("new", attributes(size=3)), first(_new_file, write("new"))
    ),
    Case("chmod a copied-up file", setattr("file", _chmod), first(write("file"))),
    Case(
        "set times of an upper directory",
        setattr("newdir", attributes(times=True)),
        first(_new_dir),
    ),
    Case(
        "set all of an upper file, guarded",
        setattr_guarded("new", _all_at_once),
        first(_new_file, write("new")),
        each_by_itself=True,
    ),
    Case(
        "set all of an upper file",
        setattr("new", _all_at_once),
        first(_new_file, write("new")),
        each_by_itself=True,
    ),
)

CREATE: Final = (
    Case("create", create("new")),
    Case("create in a lower directory", create("nest/one/two/new")),
    Case("create with attributes", create("new", attributes(0o4711, 77, USER, times=True))),
    Case("create, exclusive", create("new", how=EXCLUSIVE)),
    Case("create over a whiteout", create("victim"), first(remove("victim"))),
    Case(
        "create with attributes over a whiteout",
        create("victim", _all_at_once),
        first(remove("victim")),
    ),
    Case("mkdir", mkdir("newdir")),
    Case("mkdir with attributes", mkdir("newdir", attributes(0o2711, uid=USER, times=True))),
    Case("mkdir in a lower directory", mkdir("dir/deep/newdir")),
    Case("mkdir over a whiteout", mkdir("empty"), first(rmdir("empty"))),
    Case("mkdir over a file's whiteout", mkdir("victim"), first(remove("victim"))),
    Case("symlink", symlink("new")),
    Case("symlink over a whiteout", symlink("victim"), first(remove("victim"))),
    Case("mknod", mknod("new")),
    Case("mknod, device", mknod("new", NF3CHR)),
    Case("mknod, socket over a whiteout", mknod("victim", NF3SOCK), first(remove("victim"))),
    Case("link an upper file", link("new", "dir/linked"), first(_new_file)),
    Case("link a lower file", link("file", "linked")),
    Case("link a lower file, nested", link("nest/one/two/three/leaf", "other/linked")),
    Case("link a lower hard link", link("hard1", "linked")),
    Case("link a lower symlink", link("symlink", "linked")),
    Case("link a copied-up file", link("file", "linked"), first(write("file"))),
    Case("link a lower file over a whiteout", link("file", "victim"), first(remove("victim"))),
    Case(
        "link an upper file over a whiteout",
        link("new", "victim"),
        first(_new_file, remove("victim")),
    ),
)

REMOVE: Final = (
    Case("remove an upper file", remove("new"), first(_new_file)),
    Case(
        "remove one name of an upper file", remove("new"), first(_new_file, link("new", "linked"))
    ),
    Case("remove a lower file", remove("file")),
    Case("remove a lower file, nested", remove("nest/one/two/three/leaf")),
    Case("remove a lower file, merged", remove("merged/both")),
    Case("remove a lower symlink", remove("symlink")),
    Case("remove a lower device", remove("device")),
    Case("remove a copied-up file", remove("file"), first(write("file"))),
    Case("remove a metacopy", remove("file"), first(setattr("file", _chmod))),
    Case("remove a renamed lower file", remove("renamed"), first(rename("file", "renamed"))),
    Case("remove a lower hard link", remove("hard2")),
    Case("remove a lower hard link, copied up", remove("hard2"), first(write("hard1"))),
    Case(
        "remove the last lower hard link",
        remove("hard1"),
        first(remove("hard2"), remove("dir/hard3")),
    ),
    Case("remove the lower name of a linked file", remove("file"), first(link("file", "linked"))),
    Case("remove the upper name of a linked file", remove("linked"), first(link("file", "linked"))),
    Case(
        "remove the last name of a linked file",
        remove("linked"),
        first(link("file", "linked"), remove("file")),
    ),
    Case(
        "remove a file over a whiteout", remove("victim"), first(remove("victim"), create("victim"))
    ),
    Case(
        "remove a file that has its lower name alone",
        remove("file"),
        first(write("file")),
        tamper=lambda scene: _unlink(scene, "file"),
    ),
    Case("rmdir an upper directory", rmdir("newdir"), first(_new_dir)),
    Case(
        "rmdir an upper directory with a whiteout",
        rmdir("newdir"),
        first(_new_dir),
        tamper=lambda scene: _whiteout(scene, "newdir/w"),
    ),
    Case("rmdir a lower directory", rmdir("empty")),
    Case("rmdir a copied-up directory", rmdir("empty"), first(setattr("empty", _chmod))),
    Case("rmdir a renamed directory", rmdir("renamed"), first(rename("empty", "renamed"))),
    Case("rmdir a directory with whiteouts", rmdir("gone"), first(*_emptied)),
    Case(
        "rmdir a merged directory",
        rmdir("merged"),
        first(remove("merged/above"), remove("merged/both"), remove("merged/below")),
    ),
    Case(
        "rmdir a directory over a whiteout", rmdir("empty"), first(rmdir("empty"), mkdir("empty"))
    ),
)

RENAME: Final = (
    Case("rename an upper file", rename("new", "newer"), first(_new_file)),
    Case("rename a lower file", rename("file", "renamed")),
    Case("rename a lower file, nested", rename("nest/one/two/three/leaf", "dir/deep/renamed")),
    Case("rename a copied-up file", rename("file", "renamed"), first(write("file"))),
    Case(
        "rename a metacopy elsewhere",
        rename("file", "other/renamed"),
        first(setattr("file", _chmod)),
    ),
    Case("rename a renamed file", rename("renamed", "again"), first(rename("file", "renamed"))),
    Case("rename a lower symlink", rename("symlink", "renamed")),
    Case("rename a lower hard link", rename("hard1", "other/renamed")),
    Case("rename upper over upper", rename("new", "newer"), first(_new_file, create("newer"))),
    Case("rename upper over lower", rename("new", "file"), first(_new_file)),
    Case("rename upper over copied-up", rename("new", "file"), first(_new_file, write("file"))),
    Case("rename lower over lower", rename("file", "victim")),
    Case("rename lower over lower, elsewhere", rename("file", "dir/inner")),
    Case("rename lower over upper", rename("file", "new"), first(_new_file)),
    Case("rename lower over a whiteout", rename("file", "victim"), first(remove("victim"))),
    Case("rename lower over a hard link", rename("file", "hard1")),
    Case("rename lower over the last hard link", rename("file", "pair1"), first(remove("pair2"))),
    Case("rename between lower hard links", rename("pair1", "pair2")),
    Case(
        "rename between upper hard links",
        rename("new", "linked"),
        first(_new_file, link("new", "linked")),
    ),
    Case(
        "rename a file that has its lower name alone",
        rename("file", "renamed"),
        first(write("file")),
        tamper=lambda scene: _unlink(scene, "file"),
    ),
    Case(
        "rename an upper directory", rename("newdir", "newer"), first(_new_dir, create("newdir/f"))
    ),
    Case(
        "rename an upper directory into a lower one", rename("newdir", "dir/newer"), first(_new_dir)
    ),
    Case("rename a lower directory", rename("dir", "renamed")),
    Case("rename a lower directory elsewhere", rename("dir/deep", "other/renamed")),
    Case("rename a merged directory", rename("merged", "renamed")),
    Case("rename a redirected directory", rename("shown", "renamed")),
    Case("rename a renamed directory", rename("renamed", "again"), first(rename("dir", "renamed"))),
    Case(
        "rename a directory in a renamed one",
        rename("renamed/deep", "renamed/deeper"),
        first(rename("dir", "renamed")),
    ),
    Case(
        "rename an upper directory over a whiteout",
        rename("newdir", "empty"),
        first(_new_dir, rmdir("empty")),
    ),
    Case("rename a lower directory over a whiteout", rename("dir", "empty"), first(rmdir("empty"))),
    Case("rename an upper directory over a lower one", rename("newdir", "empty"), first(_new_dir)),
    Case(
        "rename an upper directory over one with whiteouts",
        rename("newdir", "gone"),
        first(_new_dir, *_emptied),
    ),
    Case(
        "rename a lower directory over one with whiteouts", rename("dir", "gone"), first(*_emptied)
    ),
    Case("rename a lower directory over an upper one", rename("dir", "newdir"), first(_new_dir)),
)

FIRST_USE: Final = (
    Case("look up a redirected directory", lookup("shown"), is_first_use=True),
    Case("list a directory with a redirected one", listing("/"), is_first_use=True),
)

CASES: Final = COPY_UP + CHANGE + CREATE + REMOVE + RENAME + FIRST_USE


def _unlink(scene: Scene, name: str) -> None:
    """As a crash leaves it between a copy-up and the linking of its name."""
    times = scene.upper.stat()
    (scene.upper / name).unlink()
    os.utime(scene.upper, ns=(times.st_atime_ns, times.st_mtime_ns))


def _whiteout(scene: Scene, name: str) -> None:
    os.mknod(scene.upper / name, stat.S_IFCHR, 0)
