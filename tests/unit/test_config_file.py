"""The configuration file: what it means, and that a wrong one says where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfsd.config_file import CACHE_BYTES, ConfigFileError, load

GOOD = """\
[server]
listen = ["0.0.0.0:2049", "[::]:2049"]
workers = 2

[[export]]
path = "/debian/"
lowerdir = ["/srv/layers/app", "/srv/layers/debian-12"]     # topmost first
upperdir = "/srv/upper"
workdir = "/srv/work"
clients = { "10.0.0.0/8" = "rw,root_squash", "build*.lan" = "rw,no_root_squash", "@lab" = "ro" }

[[export]]
path = "/"
lowerdir = "/srv/root"
[export.clients]
"*" = ""
"""


def written(place: Path, text: str) -> str:
    path = place / "overlay-nfsd.toml"
    path.write_text(text)
    return str(path)


def test_what_a_file_means(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert config.listen == ("0.0.0.0:2049", "[::]:2049")
    assert config.workers == 2
    debian, root = config.exports
    assert debian.path == b"/debian"
    assert debian.layers.lowerdirs == (b"/srv/layers/app", b"/srv/layers/debian-12")
    assert (debian.layers.upperdir, debian.layers.workdir) == (b"/srv/upper", b"/srv/work")
    assert [(pattern.text, options.read_only) for pattern, options in debian.clients] == [
        ("10.0.0.0/8", False),
        ("build*.lan", False),
        ("@lab", True),
    ]
    assert root.path == b"/"
    assert root.layers.upperdir is None
    assert [pattern.text for pattern, _ in root.clients] == ["*"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("64M", 64 << 20), ("256M", 256 << 20), ("67108864", 64 << 20), ("1T", 1 << 40)],
)
def test_the_memory_for_what_is_kept(tmp_path: Path, text: str, size: int) -> None:
    assert load(written(tmp_path, GOOD)).cache_bytes == CACHE_BYTES
    said = GOOD.replace("workers = 2", f'cache_size = "{text}"')
    assert load(written(tmp_path, said)).cache_bytes == size


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("workers = 2", "workers = ", 3, "Invalid value"),
        ("workers = 2", "workers = 0", 3, "workers: give a number from 1"),
        ("workers = 2", 'workers = "2"', 3, "workers: give a number from 1"),
        ("workers = 2", "workers = true", 3, "workers: give a number from 1"),
        ("workers = 2", "cache_size = 268435456", 3, "cache_size: give a size"),
        ("workers = 2", 'cache_size = "256"', 3, "cache_size: give a size from 64M to 1T"),
        ("workers = 2", 'cache_size = "256 M"', 3, "cache_size: give a size from 64M to 1T"),
        ("workers = 2", 'cache_size = "1025G"', 3, "cache_size: give a size from 64M to 1T"),
        ("workers", "worker", 3, "worker: no such setting; is 'workers' meant?"),
        ("[server]", "[servers]", 1, "servers: no such setting; is 'server' meant?"),
        ("lowerdir = [", "lower = [", 7, "lower: no such setting"),
        ('path = "/debian/"', 'path = "debian"', 6, "path: give what clients mount it as"),
        ('path = "/debian/"', 'path = "/a/../b"', 6, "path: give what clients mount it as"),
        ('path = "/"', 'path = "/debian"', 13, "path: is exported twice"),
        ('"/srv/layers/app"', '"app"', 7, "lowerdir: app: give an absolute path"),
        ('lowerdir = "/srv/root"', "lowerdir = []", 14, "lowerdir: name at least one"),
        ('lowerdir = "/srv/root"', "lowerdir = [7]", 14, "lowerdir: give a list of texts"),
        ('workdir = "/srv/work"\n', "", 5, "workdir: upperdir and workdir go together"),
        ("rw,root_squash", "rw,root_squish", 10, "clients: root_squish: no such option"),
        ("10.0.0.0/8", "10.0.0.0/99", 10, "clients: '10.0.0.0/99'"),
        ('"*" = ""', '"*" = 7', 15, "clients: give patterns with options"),
        ('[export.clients]\n"*" = ""\n', "", 12, "clients: give patterns with options"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_cure(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigFileError) as refusal:
        load(path)
    text = str(refusal.value)
    assert text.startswith(f"{path}:{line}: "), text
    assert said in text
    assert "\n" not in text


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="No such file"):
        load(str(tmp_path / "absent"))
    (tmp_path / "latin").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigFileError, match="UTF-8"):
        load(str(tmp_path / "latin"))
    with pytest.raises(ConfigFileError, match="nothing is exported"):
        load(written(tmp_path, "[server]\n"))
