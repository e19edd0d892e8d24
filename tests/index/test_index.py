"""The work directory and its entries: whole or not there, and right after a crash at any moment."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import xattrs
from index.entry_names import fileid_of, own_name, owner_of
from index.identity import BY_PATH, DIRECTORY, Identity
from index.index import GONE, DirectoryEntry, Index, UpperInode
from index.linux.fd import Fd, open_at
from index.linux.file_handle import RealHandle, handle_of
from index.removals import Removal
from index.workdir import Workdir

_REAL = RealHandle(1, b"12345678")


def _identity(fileid: int) -> Identity:
    return Identity(0, 1, fileid, _REAL)


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
    assert index.find(_identity(100)) is None


def test_a_copied_file_is_a_hard_link(index: Index, workdir: Workdir, work: Path) -> None:
    inode = _file(workdir)
    index.commit(_identity(100), inode)
    found = index.find(_identity(100))
    assert isinstance(found, UpperInode)
    assert os.path.samestat(os.fstat(inode), found.st)
    assert os.path.samestat(os.fstat(inode), (work / "inodes/#100").lstat())
    assert index.find(_identity(101)) is None


def test_an_entry_is_made_once(index: Index, workdir: Workdir) -> None:
    first = _file(workdir)
    index.commit(_identity(100), first)
    with pytest.raises(FileExistsError):
        index.commit(_identity(100), _file(workdir))
    found = index.find(_identity(100))
    assert isinstance(found, UpperInode)
    assert os.path.samestat(os.fstat(first), found.st)


_opened: list[bytes] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], bytes):
        _opened.append(arguments[0])


def test_an_entry_is_looked_for_once_to_be_made(index: Index, workdir: Workdir) -> None:
    """Where its number is another's by now, it has a name of its own."""
    objects = _identity(100), _later(_identity(100))
    inodes = _file(workdir), _file(workdir)
    for identity, inode in zip(objects, inodes, strict=True):
        xattrs.put(inode, xattrs.FH, identity.pack())
    index.commit(objects[0], inodes[0])
    sys.addaudithook(_note)  # it cannot be taken away
    _opened.clear()
    index.commit(objects[1], inodes[1])
    assert _opened.count(b"#100") == 1
    for identity, inode in zip(objects, inodes, strict=True):
        found = index.find(identity)
        assert isinstance(found, UpperInode)
        assert os.path.samestat(os.fstat(inode), found.st)


def test_a_directory_has_an_entry_with_attributes(index: Index, work: Path) -> None:
    identity = Identity(DIRECTORY, 3, 200, _REAL)
    index.put_directory(identity, upper=_REAL, path=b"/d", redirect=b"/old")
    assert index.find(identity) == DirectoryEntry(_REAL, b"/d", None)
    index.move_directory(identity, b"/e/d")
    assert index.find(identity) == DirectoryEntry(_REAL, b"/e/d", None)
    assert index.lower_path(identity) == b"/old"
    assert os.getxattr(work / "inodes/#200", xattrs.FH) == identity.pack()


def test_a_note_of_a_redirect(index: Index) -> None:
    identity, lower = Identity(DIRECTORY, 3, 200, _REAL), Identity(DIRECTORY, 2, 300, _REAL)
    index.put_directory(identity, lower=lower)
    assert index.find(identity) == DirectoryEntry(None, None, lower)
    index.put_directory(identity, upper=_REAL)
    assert index.find(identity) == DirectoryEntry(_REAL, None, None)


@pytest.mark.parametrize("before", ["nothing", "file", "directory", "gone"])
def test_burying(index: Index, workdir: Workdir, work: Path, before: str) -> None:
    match before:
        case "file":
            index.commit(_identity(100), _file(workdir))
        case "directory":
            index.put_directory(_identity(100), upper=_REAL)
        case "gone":
            index.bury(_identity(100))
    index.bury(_identity(100))
    assert index.find(_identity(100)) == GONE
    st = (work / "inodes/#100").lstat()
    assert stat.S_ISCHR(st.st_mode)
    assert st.st_rdev == 0


def _later(identity: Identity) -> Identity:
    """Another object whose inode has the same number."""
    return Identity(identity.flags, identity.source, identity.fileid, RealHandle(1, b"87654321"))


@pytest.mark.parametrize("first", ["file", "directory", "gone"])
@pytest.mark.parametrize("second", ["file", "directory", "gone"])
def test_two_objects_of_one_number(index: Index, workdir: Workdir, first: str, second: str) -> None:
    """Whatever happens to one of them, the other's entry stands and is found as its own."""
    objects = _identity(100), _later(_identity(100))
    for identity, kind in zip(objects, (first, second), strict=True):
        assert index.find(identity) is None
        match kind:
            case "file":
                inode = _file(workdir)
                xattrs.put(inode, xattrs.FH, identity.pack())
                index.commit(identity, inode)
                found = index.find(identity)
                assert isinstance(found, UpperInode)
                assert os.path.samestat(found.st, os.fstat(inode))
            case "directory":
                index.put_directory(identity, upper=_REAL, path=kind.encode())
                assert index.find(identity) == DirectoryEntry(_REAL, b"directory", None)
            case "gone":
                index.bury(identity)
        assert not index.is_taken(identity)
    kinds = [type(index.find(identity)) for identity in objects]
    assert index.is_taken(Identity(0, 9, 100, _REAL))
    for identity, other in (objects, objects[::-1]):
        assert [type(index.find(one)) for one in objects] == kinds
        index.bury(identity)
        assert index.find(identity) == GONE
        kinds[objects.index(identity)] = type(GONE)
        assert type(index.find(other)) is kinds[objects.index(other)]
    index.forget(objects[1])
    assert index.find(objects[1]) is None


def test_names_say_whose_they_are() -> None:
    for identity in (_identity(1), Identity(255, 65535, (1 << 64) - 1, RealHandle(255, b"x" * 34))):
        name = own_name(identity)
        assert len(name) <= 255
        assert owner_of(name) == identity
        assert fileid_of(name) is None
    for name in (b"#1", b"#1.", b"#1.00", b"#01.00000101", b"1.00000101", b"#1.0000010A", b"#1.zz"):
        assert owner_of(name) is None


def test_whiteouts_of_earlier_versions_may_be_anybodys(workdir: Workdir) -> None:
    meant = _identity(100)
    workdir.link_whiteout(workdir.inodes, b"#100")
    assert Index(workdir).find(meant) is None
    index = Index(workdir, meant.__eq__)
    assert index.find(meant) == GONE
    assert index.find(_later(meant)) is None
    assert not index.is_taken(meant)
    assert index.is_taken(_later(meant))
    index.forget(meant)
    assert index.find(meant) is None


def test_whiteouts_share_an_inode(index: Index, work: Path) -> None:
    for number in range(3):
        index.bury(_identity(number))
    assert len({(work / f"inodes/#{number}").lstat().st_ino for number in range(3)}) == 1


def test_an_intent_to_remove_lasts_until_the_removal_is_finished(index: Index, work: Path) -> None:
    names = ((b"a", None), (b"\xff\n ", b"/"), (b"x:#1", b"/d/e:"))
    removals = [Removal(_identity(n), _REAL, path, name) for n, (name, path) in enumerate(names)]
    for removal in removals:
        index.removals.begin(removal)
    found = Index(index._workdir).removals.unfinished()
    assert sorted(found, key=lambda removal: removal.identity.fileid) == removals
    for number in (0, 1):
        index.removals.end(_identity(number))
    assert index.removals.unfinished() == [removals[2]]
    index.removals.end(_identity(2))
    assert index.removals.unfinished() == []


def test_an_entry_forgets_the_upper_directory_and_keeps_the_rest(index: Index) -> None:
    lower = Identity(DIRECTORY, 2, 7, _REAL)
    plain, noted = Identity(DIRECTORY, 3, 200, _REAL), Identity(DIRECTORY, 3, 201, _REAL)
    by_path = Identity(DIRECTORY | BY_PATH, 3, 202, _REAL)
    for identity in (plain, noted, by_path):
        note = lower if identity == noted else None
        index.put_directory(identity, upper=_REAL, path=b"/d", redirect=b"/old", lower=note)
        index.forget_upper(identity)
    assert index.find(plain) is None
    assert index.find(noted) == DirectoryEntry(None, None, lower)
    assert index.find(by_path) == DirectoryEntry(None, None, None)
    assert index.lower_path(by_path) == b"/old"


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
