"""A whole tree as the guest sees it, and the same as the layers have it, to compare.

Rule: both sides are turned into the same `Seen` per name, and nothing that a client can see over
NFSv3 is left out but for what the filesystem is free to choose: sizes and link counts of
directories, and ctime.
"""

import stat
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.conformance.layers import Entry

MARK = "=== "


def script(top: str, *, content: bool = True) -> str:
    """A shell script that lists everything below `top`, with files' contents as checksums.

    The guest's caches are dropped first, so what it prints has come over the wire. busybox's
    readlink takes one name at a time, so symlinks are read by the stat applet ("'a' -> 'b'").
    The tree is walked once: on a busy machine another walk would ask for all attributes again.
    """
    checksums = f"{_named('8')} sha256sum || failed" if content else ""
    return f"""
sync; echo 3 >/proc/sys/vm/drop_caches
cd {top} || exit 1
exec 2>/tmp/walk.errors
failed() {{ head -n 20 /tmp/walk.errors; exit 1; }}
echo '{MARK}stat'
find . -xdev -exec stat -c '%f %u %g %s %h %t %T %Y %i %n' {{}} + >/tmp/walk.stat || failed
cat /tmp/walk.stat
echo '{MARK}links'
{_named("a")} stat -c '%N' || failed
echo '{MARK}content'
{checksums}
echo '{MARK}end'
"""


def _named(kind: str) -> str:
    """The words before a command that is to have all names of a kind, the mode's first digit."""
    names = rf"sed -n 's/^{kind}[0-9a-f]\{{3\}}\( [^ ]*\)\{{8\}} //p' /tmp/walk.stat"
    return rf"{names} | tr '\n' '\0' | xargs -0 -r"


@dataclass(frozen=True)
class Seen:
    """One name, as a client sees it."""

    mode: int
    owner: tuple[int, int]
    size: int
    links: int
    device: tuple[int, int]
    mtime: int
    content: str


@dataclass(frozen=True)
class Tree:
    """All names of a tree, and which of them are one object."""

    entries: Mapping[str, Seen]
    fileids: Mapping[str, int]

    def groups(self) -> set[frozenset[str]]:
        """Names that share an object."""
        return grouped(self.fileids)


def grouped(identities: Mapping[str, int]) -> set[frozenset[str]]:
    """The names under each identity that has more than one."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for name, identity in identities.items():
        found[identity].add(name)
    return {frozenset(names) for names in found.values() if len(names) > 1}


def parse(output: str) -> Tree:
    """What the script printed."""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            current = parts.setdefault(line.removeprefix(MARK), [])
        else:
            current.append(line)
    assert "end" in parts, f"the walk did not come to its end:\n{output[-2000:]}"
    content = {
        _plain(name): digest for digest, name in (x.split("  ", 1) for x in parts["content"])
    }
    for line in parts["links"]:
        name, target = line[1:-1].split("' -> '")
        content[_plain(name)] = target
    entries: dict[str, Seen] = {}
    fileids: dict[str, int] = {}
    for line in parts["stat"]:
        mode, uid, gid, size, links, major, minor, mtime, fileid, name = line.split(" ", 9)
        fileids[_plain(name)] = int(fileid)
        entries[_plain(name)] = _seen(
            int(mode, 16),
            (int(uid), int(gid)),
            (int(size), int(links)),
            (int(major, 16), int(minor, 16)),
            int(mtime),
            content.get(_plain(name), ""),
        )
    return Tree(entries, fileids)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _seen(
    mode: int,
    owner: tuple[int, int],
    measures: tuple[int, int],
    device: tuple[int, int],
    mtime: int,
    content: str,
) -> Seen:
    folder = stat.S_ISDIR(mode)
    special = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    size, links = (0, 0) if folder else measures
    return Seen(mode, owner, size, links, device if special else (0, 0), mtime, content)


def expected(manifest: Mapping[str, Entry]) -> dict[str, Seen]:
    """What a client is to see of a tree with this manifest."""
    return {
        name: _seen(
            entry.mode,
            entry.owner,
            (entry.size, entry.links),
            (entry.device >> 8, entry.device & 0xFF),
            entry.mtime_ns // 1_000_000_000,
            entry.content,
        )
        for name, entry in manifest.items()
    }


def without_links(entries: Mapping[str, Seen]) -> dict[str, Seen]:
    """The same, link counts left out: the kernel's view of an upper counts the index's links."""
    return {name: replace(seen, links=0) for name, seen in entries.items()}


def without_content(entries: Mapping[str, Seen]) -> dict[str, Seen]:
    """The same, contents of files left out: what a walk without checksums sees."""
    return {
        name: replace(seen, content="") if stat.S_ISREG(seen.mode) else seen
        for name, seen in entries.items()
    }


def check_same(wanted: Mapping[str, Seen], found: Mapping[str, Seen], limit: int = 20) -> None:
    """Fails, and says where two trees differ."""
    names = sorted(wanted.keys() | found.keys())
    lines = [
        f"{name}:\n  wanted {wanted.get(name)}\n  found  {found.get(name)}"
        for name in names
        if wanted.get(name) != found.get(name)
    ]
    if lines:
        more = f"\n... and {len(lines) - limit} more" if len(lines) > limit else ""
        raise AssertionError("\n".join(lines[:limit]) + more)
