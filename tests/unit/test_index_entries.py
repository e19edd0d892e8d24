"""The work directory and its entries: whole or not there, and right after a crash at any moment."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import xattrs
from index.entries import GONE, DirectoryEntry, Index, Removal, UpperInode
from index.fd import Fd, open_at
from index.handles import RealHandle, handle_of
from index.identity import BY_PATH, DIRECTORY, Identity
from index.workdir import Workdir

_REAL = RealHandle(1, b"12345678")


def _open(path: Path) -> Fd:
    return Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def workdir(work: Path) -> Iterator[Workdir]:
    opened = Workdir(_open(work))
    yield opened
    assert set(os.listdir(work / "staging")) <= {"whiteout"}


@pytest.fixture
def index(workdir: Workdir) -> Index:
    return Index(workdir)


def _file(workdir: Workdir) -> Fd:
    return Fd(os.open(b".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=workdir.staging))


def test_nothing_is_known_at_first(index: Index) -> None:
    assert index.find(100) is None


def test_a_copied_file_is_a_hard_link(index: Index, workdir: Workdir, work: Path) -> None:
    inode = _file(workdir)
    index.commit(100, inode)
    found = index.find(100)
    assert isinstance(found, UpperInode)
    assert os.path.samestat(os.fstat(inode), found.st)
    assert os.path.samestat(os.fstat(inode), (work / "inodes/#100").lstat())
    assert index.find(101) is None


def test_an_entry_is_made_once(index: Index, workdir: Workdir) -> None:
    first = _file(workdir)
    index.commit(100, first)
    with pytest.raises(FileExistsError):
        index.commit(100, _file(workdir))
    found = index.find(100)
    assert isinstance(found, UpperInode)
    assert os.path.samestat(os.fstat(first), found.st)


def test_a_directory_has_an_entry_with_attributes(index: Index, work: Path) -> None:
    identity = Identity(DIRECTORY, 3, 200, _REAL)
    index.put_directory(identity, upper=_REAL, path=b"/d", redirect=b"/old")
    assert index.find(200) == DirectoryEntry(_REAL, b"/d", None)
    index.move_directory(200, b"/e/d")
    assert index.find(200) == DirectoryEntry(_REAL, b"/e/d", None)
    assert index.lower_path(200) == b"/old"
    assert os.getxattr(work / "inodes/#200", xattrs.FH) == identity.pack()


def test_a_note_of_a_redirect(index: Index) -> None:
    lower = Identity(DIRECTORY, 2, 300, _REAL)
    index.put_directory(Identity(DIRECTORY, 3, 200, _REAL), lower=lower)
    assert index.find(200) == DirectoryEntry(None, None, lower)
    index.put_directory(Identity(DIRECTORY, 3, 200, _REAL), upper=_REAL)
    assert index.find(200) == DirectoryEntry(_REAL, None, None)


@pytest.mark.parametrize("before", ["nothing", "file", "directory", "gone"])
def test_burying(index: Index, workdir: Workdir, work: Path, before: str) -> None:
    match before:
        case "file":
            index.commit(100, _file(workdir))
        case "directory":
            index.put_directory(Identity(DIRECTORY, 3, 100, _REAL), upper=_REAL)
        case "gone":
            index.bury(100)
    index.bury(100)
    assert index.find(100) == GONE
    st = (work / "inodes/#100").lstat()
    assert stat.S_ISCHR(st.st_mode)
    assert st.st_rdev == 0


def test_whiteouts_share_an_inode(index: Index, work: Path) -> None:
    for number in range(3):
        index.bury(number)
    assert len({(work / f"inodes/#{number}").lstat().st_ino for number in range(3)}) == 1


def test_an_intent_to_remove_is_kept_until_it_is_settled(index: Index, work: Path) -> None:
    names = ((b"a", None), (b"\xff\n ", b"/"), (b"x:#1", b"/d/e:"))
    removals = [Removal(n, _REAL, path, name) for n, (name, path) in enumerate(names)]
    for removal in removals:
        index.begin_removal(removal)
    found = Index(index._workdir).unfinished_removals()
    assert sorted(found, key=lambda removal: removal.fileid) == removals
    for number in (0, 1):
        index.end_removal(number)
    assert index.unfinished_removals() == [removals[2]]
    index.end_removal(2)
    assert index.unfinished_removals() == []


def test_an_entry_forgets_the_upper_directory_and_keeps_the_rest(index: Index) -> None:
    lower = Identity(DIRECTORY, 2, 7, _REAL)
    plain, noted = Identity(DIRECTORY, 3, 200, _REAL), Identity(DIRECTORY, 3, 201, _REAL)
    by_path = Identity(DIRECTORY | BY_PATH, 3, 202, _REAL)
    for identity in (plain, noted, by_path):
        note = lower if identity == noted else None
        index.put_directory(identity, upper=_REAL, path=b"/d", redirect=b"/old", lower=note)
        index.forget_upper(identity)
    assert index.find(200) is None
    assert index.find(201) == DirectoryEntry(None, None, lower)
    assert index.find(202) == DirectoryEntry(None, None, None)
    assert index.lower_path(202) == b"/old"


def test_a_work_directory_has_one_owner(work: Path) -> None:
    first = Workdir(_open(work))
    with pytest.raises(OSError, match="busy") as refused:
        Workdir(_open(work))
    assert refused.value.errno == errno.EBUSY
    del first, refused
    Workdir(_open(work))


def test_the_key_is_secret_and_kept(work: Path) -> None:
    key = Workdir(_open(work)).key()
    assert len(key) == 32
    assert Workdir(_open(work)).key() == key
    st = (work / "identity/key").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o600, 0)


def test_what_is_kept_is_replaced_whole(workdir: Workdir, work: Path) -> None:
    assert workdir.read(b"note") is None
    workdir.write(b"note", b"first")
    reader = open_at(workdir.identity, b"note", os.O_RDONLY)
    workdir.write(b"note", b"second, longer")
    assert workdir.read(b"note") == b"second, longer"
    assert os.read(reader, 100) == b"first"


def test_leftovers_are_found_and_thrown_away(workdir: Workdir, work: Path) -> None:
    (work / "staging/1.1/deep/er").mkdir(parents=True)
    (work / "staging/1.1/deep/file").touch()
    (work / "staging/1.2").symlink_to("/")
    assert sorted(workdir.leftovers()) == [b"1.1", b"1.2"]
    for name in workdir.leftovers():
        workdir.discard(name)
    assert workdir.leftovers() == []


def test_handles_of_this_filesystem_are_opened(work: Path) -> None:
    (work / "file").touch()
    fd = Fd(os.open(work / "file", os.O_PATH))
    assert handle_of(fd) == handle_of(Fd(os.open(work / "file", os.O_RDONLY)))
