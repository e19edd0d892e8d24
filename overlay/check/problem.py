"""The kinds of problems, as a table.

Rule: a kind says what is wrong, what it means for clients and what the repair
does, each in words for the person who looks after the export.  A kind without a
repair, or a problem whose repair is None, needs that person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What can be wrong; the text is the name that tools see."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name.lower().replace("_", "-")

    KEY_LOST = auto()
    KEY_OPEN = auto()
    RECORD_LOST = auto()
    COPY_INCOMPLETE = auto()
    LEFTOVER = auto()
    REMOVAL_UNFINISHED = auto()
    OPAQUE_UNKNOWN = auto()
    REDIRECT_MALFORMED = auto()
    REDIRECT_NOWHERE = auto()
    IMPURE_MISSING = auto()
    ORIGIN_MALFORMED = auto()
    ORIGIN_CONTRADICTS = auto()
    METACOPY_NO_DATA = auto()
    METACOPY_ASTRAY = auto()
    ENTRY_NAME = auto()
    ENTRY_NO_FH = auto()
    ENTRY_FH_OTHER = auto()
    ENTRY_UPPER_OTHER = auto()
    ENTRY_MISSING = auto()
    ENTRY_NOWHERE = auto()
    FH_MALFORMED = auto()
    FH_OF_ANOTHER = auto()
    DIRECTORY_UPPER_STALE = auto()
    DIRECTORY_FH_OTHER = auto()
    DIRECTORY_PATH_OLD = auto()
    FILE_NOT_ADOPTED = auto()
    DIRECTORY_NOT_ADOPTED = auto()
    ORIGIN_GONE = auto()
    NOT_LINKED_UP = auto()
    NAMELESS = auto()
    BURIED_VISIBLE = auto()
    HIDDEN = auto()
    NLINK_MALFORMED = auto()
    NLINK_WRONG = auto()
    KERNEL_ENTRY_ORPHAN = auto()


# Of an upper layer that was copied: what the next start mends without being asked.
OF_COPIES: Final = frozenset(
    (Kind.ENTRY_MISSING, Kind.ENTRY_UPPER_OTHER, Kind.DIRECTORY_UPPER_STALE)
)


class Text(NamedTuple):
    """What is said of a kind."""

    wrong: str
    meaning: str
    repair: str | None
    harmless: bool = False  # nothing is wrong now, but it should not stay so
    by_kernel: bool = False  # what work on a kernel mount leaves: mended at every start


TEXTS: Final[dict[Kind, Text]] = {
    Kind.KEY_LOST: Text(
        "identity/key, which signs the file handles, is missing or not 32 bytes long",
        "every file handle that clients hold is refused as bad; they must mount again",
        "a new key is made",
    ),
    Kind.KEY_OPEN: Text(
        "identity/key may be read by others than root",
        "whoever reads it can forge handles and reach any file of the filesystem",
        "its mode becomes 0600 (if it may have been read: remove it, and a new one is made)",
    ),
    Kind.RECORD_LOST: Text(
        "identity/layers.json, the memory of the export's id and layers, is missing or unreadable",
        "the server does not start; with a new record every handle that clients hold is refused",
        "a new record is made; clients must mount again",
    ),
    Kind.COPY_INCOMPLETE: Text(
        "a lower layer was copied, and names that were sealed are not in the copy",
        "what they named is not there; its handles are stale",
        None,
    ),
    Kind.LEFTOVER: Text(
        "something that was being made when a server died",
        "nothing: it was never visible",
        "it is removed, as every start does",
        harmless=True,
    ),
    Kind.REMOVAL_UNFINISHED: Text(
        "a file was being removed when a server died",
        "until the next start a handle of a removed file may still work",
        "it is decided by whether the name is gone, as every start does",
        harmless=True,
    ),
    Kind.OPAQUE_UNKNOWN: Text(
        "`overlay.opaque` has a value that means nothing",
        "the directory hides nothing below it: removed files may be back",
        "it becomes opaque if what is below was removed, else the attribute goes",
    ),
    Kind.REDIRECT_MALFORMED: Text(
        "`overlay.redirect` is not a name nor an absolute path",
        "what the lower layers have in the directory is not shown; the kernel cannot look it up",
        "it is written anew from the directory's origin, or else goes",
    ),
    Kind.REDIRECT_NOWHERE: Text(
        "`overlay.redirect` leads to nothing in the lower layers",
        "what the lower layers have in the directory is not shown",
        "it is written anew from the directory's origin, or else goes",
    ),
    Kind.IMPURE_MISSING: Text(
        "the directory has entries that come from a lower layer but no `overlay.impure`",
        "its listing shows other inode numbers than the files have",
        "the attribute is set",
    ),
    Kind.ORIGIN_MALFORMED: Text(
        "`overlay.origin` is damaged",
        "a kernel mount shows another inode number than clients see",
        "it is written anew if the origin is known from `fh`, else it goes",
    ),
    Kind.ORIGIN_CONTRADICTS: Text(
        "`overlay.origin` names another lower inode than `fh`",
        "a kernel mount shows another inode number than clients see",
        "it is written anew from `fh`, which is what the handles were made of",
    ),
    Kind.METACOPY_NO_DATA: Text(
        "only the metadata is in the upper layer, and the data is in no lower one any more",
        "reading the file fails; its contents are lost unless the lower layer comes back",
        None,
    ),
    Kind.METACOPY_ASTRAY: Text(
        "only the metadata is in the upper layer, and nothing there leads to the data",
        "clients can read the file, but a kernel mount cannot or reads another's data",
        "`overlay.redirect` is set to the data's path",
    ),
    Kind.ENTRY_NAME: Text(
        "an index entry whose name is not `#` and a number",
        "it is never looked at; handles of its object lead to the lower layer, or are stale",
        "it gets the name that its `fh` says, or else is removed",
    ),
    Kind.ENTRY_NO_FH: Text(
        "an index entry without a readable `fh`, so that nobody knows which object it is of",
        "handles of the object are refused as stale",
        "`fh` is written anew from the lower inode",
    ),
    Kind.ENTRY_FH_OTHER: Text(
        "an index entry under another number than its `fh` says",
        "handles are refused as stale, or the names of a lower file show another's contents",
        "it gets the name that its `fh` says; if that one exists this one is removed",
    ),
    Kind.ENTRY_UPPER_OTHER: Text(
        "`upper` of an index entry is not the handle of its inode: the layers were copied",
        "nothing: the hard link counts",
        "`upper` is written anew",
        harmless=True,
    ),
    Kind.ENTRY_MISSING: Text(
        "the index has no entry for it, or the entry is another inode (a hard link lost by a copy)",
        "its handles lead to the lower inode or to an old copy instead, or are stale",
        "it becomes the index entry",
    ),
    Kind.ENTRY_NOWHERE: Text(
        "the index entry of a directory leads nowhere, while the lower directory is visible",
        "its handles are found the long way, or refused as stale",
        "the entry goes: the lower directory is what counts",
    ),
    Kind.FH_MALFORMED: Text(
        "`fh` is damaged",
        "the file or directory is another one for clients than it was: its handles are stale",
        "`fh` is written anew from the index or the origin, or else goes",
    ),
    Kind.FH_OF_ANOTHER: Text(
        "`fh` is that of another file or directory of the upper layer: this is a copy of it",
        "two objects have one number and one handle",
        "this one becomes an object of its own, with a handle of its own",
    ),
    Kind.DIRECTORY_UPPER_STALE: Text(
        "`upper` in the index entry is not the directory's handle: the layers were copied",
        "its handles are found by `path`, which may be old, or refused as stale",
        "`upper` and `path` are written anew",
    ),
    Kind.DIRECTORY_FH_OTHER: Text(
        "the directory lacks the `fh` of the index entry that leads to it, or has another",
        "it has another handle by its name than it had: handles given out before are stale",
        "`fh` is written anew from the entry",
    ),
    Kind.DIRECTORY_PATH_OLD: Text(
        "`path` in the index entry is an earlier one; it or one above it was renamed",
        "nothing, until the layers are copied: then the handle would be stale",
        "`path` is written anew",
        harmless=True,
    ),
    Kind.FILE_NOT_ADOPTED: Text(
        "a file that a kernel mount copied up and that is not, or not wholly, in the index",
        "its handles lead to the lower file, without what was changed",
        "it is entered into the index",
        by_kernel=True,
    ),
    Kind.DIRECTORY_NOT_ADOPTED: Text(
        "a directory that a kernel mount copied up and that is not, or not wholly, in the index",
        "its handles may be refused as stale once it was renamed",
        "it is entered into the index",
        by_kernel=True,
    ),
    Kind.ORIGIN_GONE: Text(
        "the lower inode that it comes from is in no layer any more",
        "handles go on working, served from the upper layer",
        None,
        harmless=True,
    ),
    Kind.NOT_LINKED_UP: Text(
        "a changed file that has only its lower name",
        "nothing; but a kernel mount shows the lower file, without what was changed",
        "it gets its names in the upper layer",
        harmless=True,
    ),
    Kind.NAMELESS: Text(
        "an index entry of an object that has no name any more",
        "handles of a removed object still work",
        "it is buried: its handles are stale for ever",
        by_kernel=True,
    ),
    Kind.BURIED_VISIBLE: Text(
        "the index says that the object is gone, but it has a name",
        "its handles are refused as stale, and a lower name of it is not shown",
        "it is taken out of the grave",
        by_kernel=True,
    ),
    Kind.HIDDEN: Text(
        "a lower object was removed or replaced, and the index does not say so",
        "handles of a removed object still work",
        "it is buried: its handles are stale for ever",
        by_kernel=True,
    ),
    Kind.NLINK_MALFORMED: Text(
        "`overlay.nlink` is damaged",
        "every access to the file fails",
        "the names are counted",
    ),
    Kind.NLINK_WRONG: Text(
        "`overlay.nlink` disagrees with the names that there are",
        "clients see a wrong link count; the handle dies too early or never",
        "the names are counted",
        by_kernel=True,
    ),
    Kind.KERNEL_ENTRY_ORPHAN: Text(
        "an entry of the kernel's index leads to no object",
        "nothing for clients; it takes up space",
        "it is removed",
        harmless=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    kind: Kind
    where: bytes  # a path in the merged tree from `/`, or one in the workdir without it
    wrong: str
    meaning: str
    repair: str | None  # None: cannot be repaired by machine

    @property
    def repairable(self) -> bool:
        return self.repair is not None

    @property
    def harmless(self) -> bool:
        return TEXTS[self.kind].harmless


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it is told: with the work that repairs it."""

    kind: Kind
    where: bytes
    mend: Callable[[], None] | None
    fileid: int | None = None  # the object in doubt, which later stages leave alone

    def problem(self) -> Problem:
        text = TEXTS[self.kind]
        repair = None if self.mend is None else text.repair
        return Problem(self.kind, self.where, text.wrong, text.meaning, repair)
