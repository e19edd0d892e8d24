"""The scenarios: what each does to objects while their handles are checked.

One row each; a row is a mix of operations by weight.  All rows hold handles,
check them all the time, and do a little of everything else, so that what one
row is about happens between other changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from nfsd.torture import change, create, names, scripts
from nfsd.torture.model import USUALLY_DEEPEST
from nfsd.torture.scripts import Mix, Stage, Step
from nfsd.xdr.generated.nfs3 import NFS3ERR_DQUOT, NFS3ERR_NOSPC, NFS3ERR_XDEV


class Needs(Enum):
    """What a scenario works on; all but the first need a server that the test starts itself."""

    ANY = "for any export"
    SMALL = "for a filesystem that may be filled"
    ASIDE = "for a layer that may be left out"
    IMAGE = "for a layer that may be replaced"


class Scenario(NamedTuple):
    """One row."""

    name: str
    line: str
    mix: Mix
    lower_only: bool = False  # there is nothing to do without objects of lower layers
    event: str = ""  # what happens to the server, after which everything is looked at
    needs: Needs = Needs.ANY
    script: Callable[[Stage], Iterator[Step]] = scripts.endless
    operations: int = 8  # in a wave
    listings: int = 1  # in a wave
    deepest: int = USUALLY_DEEPEST  # directories below each other
    refusals: frozenset[int] = frozenset()  # that an operation may meet, if it then does nothing


_LIFE: Final[Mix] = {
    create.file: 4,
    create.directory: 2,
    create.other_kind: 1,
    change.write: 2,
    names.remove: 2,
    names.rmdir: 1,
}
_RENAMES: Final[Mix] = {
    names.rename_within: 2,
    names.rename_across: 2,
    names.rename_directory: 2,
}
_ALL: Final[Mix] = {
    **_LIFE,
    **_RENAMES,
    change.truncate: 1,
    change.mode: 1,
    create.hard_link: 2,
    names.rename_over: 1,
    names.recreate: 1,
    names.remove_all_but_one: 1,
}

SCENARIOS: Final = (
    Scenario(
        "plain",
        "files, directories, links and FIFOs are made, written, truncated, removed",
        {**_LIFE, change.truncate: 2, change.mode: 2},
    ),
    Scenario(
        "copy-up-write",
        "objects of lower layers are copied up by their first write",
        {change.fresh_write: 20, **_LIFE, **_RENAMES},
        lower_only=True,
    ),
    Scenario(
        "copy-up-chmod",
        "objects of lower layers are copied up by a chmod, then written",
        {change.fresh_mode: 20, **_LIFE, **_RENAMES},
        lower_only=True,
    ),
    Scenario(
        "copy-up-truncate",
        "objects of lower layers are copied up by a truncation",
        {change.fresh_truncate: 20, **_LIFE, **_RENAMES},
        lower_only=True,
    ),
    Scenario(
        "copy-up-link",
        "objects of lower layers are copied up by a hard link to them",
        {change.fresh_link: 20, **_LIFE, names.remove_all_but_one: 4},
        lower_only=True,
    ),
    Scenario(
        "rename-within",
        "files get new names in their directory",
        {names.rename_within: 12, **_LIFE},
    ),
    Scenario(
        "rename-across",
        "files go from directory to directory",
        {names.rename_across: 12, **_LIFE},
    ),
    Scenario(
        "rename-directories",
        "directories get new names and parents while work goes on below them",
        {names.rename_directory: 12, names.rename_over_directory: 4, **_LIFE},
    ),
    Scenario(
        "rename-over",
        "files take the places of others, directories those of empty ones",
        {names.rename_over: 12, names.rename_over_directory: 6, **_LIFE, create.file: 12},
    ),
    Scenario(
        "hard-links",
        "files get more names, and lose all but one of them",
        {create.hard_link: 12, names.remove_all_but_one: 5, names.rename_onto_link: 2, **_LIFE},
    ),
    Scenario(
        "recreate",
        "names are removed and made again at once: another object",
        {names.recreate: 15, **_LIFE},
    ),
    Scenario(
        "parents-removed",
        "directories go with all that is in them, but what has a name elsewhere stays",
        {names.remove_family: 10, create.hard_link: 6, **_LIFE, create.directory: 8},
    ),
    Scenario(
        "readdir",
        "listings in small pages while names come and go: all that stay, once each",
        {**_ALL, create.file: 12, names.rename_within: 8, change.fresh_mode: 2},
        listings=4,
    ),
    Scenario(
        "inode-reuse",
        "files come and go so fast that inode numbers are used again",
        {names.burst: 12, **_LIFE},
    ),
    Scenario(
        "deep-paths",
        "directories in each other, far beyond PATH_MAX, are made, renamed and removed",
        {
            **_ALL,
            create.branch: 8,
            names.rename_directory: 8,
            names.remove_family: 3,
            change.mode: 2,
            change.fresh_mode: 2,
        },
        deepest=60,
        # A directory of a lower layer is moved with its path, for which there may be no room.
        refusals=frozenset({NFS3ERR_XDEV}),
    ),
    Scenario(
        "full-disk",
        "a filesystem is filled, must keep what it has acknowledged, is emptied and filled again",
        {},
        needs=Needs.SMALL,
        script=scripts.full_disk,
        refusals=frozenset({NFS3ERR_NOSPC, NFS3ERR_DQUOT}),
    ),
    Scenario(
        "layer-out",
        "a lower layer is left out for a while; when it is back its handles work again",
        {**_ALL, change.any_fresh: 4},
        needs=Needs.ASIDE,
        script=scripts.layer_out,
    ),
    Scenario(
        "image-replaced",
        "a lower layer is deleted and another made, which gets its inode numbers",
        {**_ALL, change.any_fresh: 4},
        needs=Needs.IMAGE,
        script=scripts.image_replaced,
    ),
    Scenario(
        "restarted",
        "the server is stopped and started (all scenarios feel it; this one looks at once)",
        _ALL,
        event="restart",
    ),
    Scenario(
        "killed",
        "the server is killed and started; calls without an answer are sent again",
        _ALL,
        event="kill",
    ),
    Scenario(
        "caches-dropped",
        "the server's machine forgets what it has cached",
        _ALL,
        event="drop",
    ),
)
