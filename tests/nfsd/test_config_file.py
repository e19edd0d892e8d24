"""The configuration file: what it means, and that a wrong one says where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfsd.config.file import CACHE_BYTES, load
from nfsd.config.lock import LockConfig
from overlay.base.refusal import Refusal

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
    assert config.locks == LockConfig(port=0, grace=50)
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
    ("text", "metacopy", "redirect_dir"),
    [
        ("", True, True),
        ("metacopy = false", False, True),
        ("redirect_dir = false", False, False),
        ("userxattr = true", False, False),
        ("userxattr = true\nmetacopy = false\nredirect_dir = false", False, False),
    ],
)
def test_what_copying_up_makes(
    tmp_path: Path, text: str, metacopy: bool, redirect_dir: bool
) -> None:
    config = load(
        written(tmp_path, GOOD.replace('path = "/debian/"', f'path = "/debian/"\n{text}'))
    )
    layers = config.exports[0].layers
    assert (layers.metacopy, layers.redirect_dir) == (metacopy, redirect_dir)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64M", 64 << 20), ("256M", 256 << 20), ("67108864", 64 << 20), ("1T", 1 << 40)],
)
def test_the_memory_for_what_is_kept(tmp_path: Path, text: str, size: int) -> None:
    assert load(written(tmp_path, GOOD)).cache_bytes == CACHE_BYTES
    said = GOOD.replace("workers = 2", f'cache_size = "{text}"')
    assert load(written(tmp_path, said)).cache_bytes == size


NO_CLIENT = (
    "give an address, a network like 10.0.0.0/8, a host name, a wildcard like *.example.org, "
    "a @netgroup or *"
)
LAYERS = '["/srv/layers/app", "/srv/layers/debian"]'
IN_BRACES = (
    "not TOML: clients: what is in braces is one line, with no comma at its end; over several "
    'lines write [export.clients], and below it a line for each, like "10.0.0.0/8" = "rw"'
)
NO_SIZE = "cache_size: give a size from 64M to 1T, like 256M or 2G"
NO_NETWORK = " is no address and no network: give one like 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"

# What is written in place of what, and the line and the words of the refusal. Of what is no TOML
# the words are Python's own.
WRONG = [
    ("workers = 2", "workers = ", 3, "not TOML"),
    ("workers = 2", "workers = 2\nworkers = 3", 4, "not TOML"),
    ("[server]", "[server", 1, "not TOML"),
    ('"/srv/upper"', '"/srv/upper', 8, "not TOML"),
    ('"rw,root_squash"', "rw,root_squash", 10, "not TOML"),
    ("[server]", "[servers]", 1, "servers: no such setting; is 'server' meant?"),
    ("[server]", "[[server]]", 1, "write it once, as a table: [server]"),
    ('[[export]]\npath = "/debian/"', '[export]\npath = "/debian/"', 12, "not TOML"),
    ('[[export]]\npath = "/"', '[[exports]]\npath = "/"', 15, "not TOML"),
    ("workers = 2", "workers = 0", 3, "workers: give a number from 1 to 64"),
    ("workers = 2", "locks = true", 3, 'locks: give "on" or "off" or "local"'),
    ("workers = 2", "lock_port = 65536", 3, "lock_port: give a number from 0 to 65535"),
    ("workers = 2", "grace = -1", 3, "grace: give a number from 0 to 3600"),
    ("workers = 2", "workers = 65", 3, "workers: give a number from 1 to 64"),
    ("workers = 2", 'workers = "2"', 3, "workers: give a number from 1 to 64"),
    ("workers = 2", "workers = true", 3, "workers: give a number from 1 to 64"),
    ("workers = 2", "workers = 1.5", 3, "workers: give a number from 1 to 64"),
    (
        "workers = 2",
        "cache_size = 268435456",
        3,
        NO_SIZE,
    ),
    (
        "workers = 2",
        'cache_size = "256"',
        3,
        NO_SIZE,
    ),
    (
        "workers = 2",
        'cache_size = "256 M"',
        3,
        NO_SIZE,
    ),
    (
        "workers = 2",
        'cache_size = "1025G"',
        3,
        NO_SIZE,
    ),
    ("workers", "worker", 3, "worker: no such setting; is 'workers' meant?"),
    (
        '"[::]:2049"',
        "2049",
        2,
        "listen: give a list of texts, like " + '["10.0.0.1:2049", "[::]:2049"]',
    ),
    ('"[::]:2049"', '"2049"', 2, "listen: 2049: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049"),
    (
        '"[::]:2049"',
        '"0.0.0.0:nfs"',
        2,
        "listen: 0.0.0.0:nfs: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049",
    ),
    (
        '"[::]:2049"',
        '"0.0.0.0:65536"',
        2,
        "listen: 0.0.0.0:65536: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049",
    ),
    (
        '"[::]:2049"',
        '":::2049"',
        2,
        "listen: :::2049: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049",
    ),
    (
        '["0.0.0.0:2049", "[::]:2049"]',
        "[]",
        2,
        "listen: name at least one address, like 0.0.0.0:2049",
    ),
    (
        'path = "/debian/"',
        'path = "debian"',
        6,
        "path: give what clients mount it as, an absolute path like /debian",
    ),
    (
        'path = "/debian/"',
        'path = "/a/../b"',
        6,
        "path: give what clients mount it as, an absolute path like /debian",
    ),
    (
        'path = "/debian/"\n',
        "",
        5,
        "path: give what clients mount it as, an absolute path like /debian",
    ),
    ('path = "/debian/"', "path = 7", 6, 'path: give a path in quotes, like "/srv/debian"'),
    (
        'path = "/debian/"',
        f'path = "/{"n" * 1024}"',
        6,
        "path: give what clients mount it as, an absolute path like /debian",
    ),
    (
        'path = "/"',
        'path = "/debian"',
        13,
        "path: /debian is exported twice: give each export its own",
    ),
    (
        'path = "/"',
        'path = "//debian/./"',
        13,
        "path: /debian is exported twice: give each export its own",
    ),
    (
        'path = "/debian/"',
        'path = "/debi\\u0000an"',
        6,
        "path: give what clients mount it as, an absolute path like /debian",
    ),
    ("lowerdir = [", "lower = [", 7, "lower: no such setting; is 'lowerdir' meant?"),
    ('"/srv/layers/app"', '"app"', 7, "lowerdir: app: give an absolute path"),
    ('"/srv/layers/app"', '"~/app"', 7, "lowerdir: ~/app: give an absolute path"),
    ('"/srv/layers/app"', '""', 7, "lowerdir: give a list of texts, like " + LAYERS),
    (
        '"/srv/layers/app"',
        '"/srv/\\u0000app"',
        7,
        "lowerdir: there is a zero byte in the path: leave it out",
    ),
    (
        'lowerdir = "/srv/root"',
        "lowerdir = []",
        14,
        "lowerdir: name at least one lower layer, the topmost first",
    ),
    (
        'lowerdir = "/srv/root"',
        "lowerdir = [7]",
        14,
        "lowerdir: give a list of texts, like " + LAYERS,
    ),
    (
        'lowerdir = "/srv/root"\n',
        "",
        12,
        "lowerdir: name at least one lower layer, the topmost first",
    ),
    (
        'workdir = "/srv/work"\n',
        "",
        5,
        "workdir: upperdir and workdir go together: give both or none",
    ),
    (
        'upperdir = "/srv/upper"\n',
        "",
        5,
        "upperdir: upperdir and workdir go together: give both or none",
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = ""',
        8,
        'upperdir: give a path in quotes, like "/srv/debian"',
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = ["/srv/upper"]',
        8,
        'upperdir: give a path in quotes, like "/srv/debian"',
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = "srv/upper"',
        8,
        "upperdir: srv/upper: give an absolute path",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/upper"',
        9,
        "workdir: /srv/upper is named twice: each layer is a directory of its own",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nupperdir = "/srv/upper"\nworkdir = "/srv/work2"',
        15,
        "upperdir: is that of /debian: give each export its own",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nupperdir = "/srv/upper2"\nworkdir = "/srv/work"',
        16,
        "workdir: is that of /debian: give each export its own",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\ndatadir = "data"',
        15,
        "datadir: data: give an absolute path",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nuserxattr = "yes"',
        15,
        "userxattr: give true or false",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nmetacopy = "off"',
        15,
        "metacopy: give true or false",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nredirect_dir = false\nmetacopy = true',
        16,
        "metacopy: needs redirect_dir = true: leave it out",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nuserxattr = true\nredirect_dir = true',
        16,
        "redirect_dir: does not go with userxattr = true: leave one out",
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\ninode_bits = 48',
        15,
        "inode_bits: give 32 or 64",
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = "/srv/{client}/upper"',
        9,
        "workdir: each client needs its own: write {client} in it too",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/{client}/work"',
        8,
        "upperdir: each client needs its own: write {client} in it too",
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = "/srv/{host}/upper"',
        8,
        "upperdir: {host} stands for nothing: {client} is what there is",
    ),
    (
        'upperdir = "/srv/upper"',
        'upperdir = "/srv/{client}/{client}"',
        8,
        "upperdir: write {client} once",
    ),
    (
        '"/srv/layers/app"',
        '"/srv/{client}/app"',
        7,
        "lowerdir: /srv/{client}/app: lower layers are for all clients: write no {client}",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nmax_clients = 5',
        10,
        "max_clients: goes with {client} in upperdir and workdir",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nclient_space = "10G"',
        10,
        "client_space: goes with {client} in upperdir and workdir",
    ),
    (
        'upperdir = "/srv/upper"\nworkdir = "/srv/work"',
        'upperdir = "/srv/{client}/upper"\nworkdir = "/srv/{client}/work"\nclient_space = "10"',
        10,
        "client_space: give a size from 1M to 1000T, like 500M or 10G",
    ),
    (
        'upperdir = "/srv/upper"\nworkdir = "/srv/work"',
        'upperdir = "/srv/{client}/upper"\nworkdir = "/srv/{client}/work"\nclient_files = "10"',
        10,
        "client_files: give a number from 1 to 1099511627776",
    ),
    (
        'upperdir = "/srv/upper"\nworkdir = "/srv/work"',
        'upperdir = "/srv/{client}/upper"\nworkdir = "/srv/{client}/work"\nmax_clients = 0',
        10,
        "max_clients: give a number from 1 to 65536",
    ),
    (
        'upperdir = "/srv/upper"\nworkdir = "/srv/work"',
        'upperdir = "/srv/{client}/upper"\nworkdir = "/srv/{client}/work"\nmax_client = 5',
        10,
        "max_client: no such setting; is 'max_clients' meant?",
    ),
    (
        '"*" = ""',
        '"*" = 7',
        15,
        'clients: give patterns with options, like { "10.0.0.0/8" = "rw" }',
    ),
    (
        '[export.clients]\n"*" = ""\n',
        "",
        12,
        'clients: give patterns with options, like { "10.0.0.0/8" = "rw" }',
    ),
    (
        '[export.clients]\n"*" = ""\n',
        "clients = {}\n",
        15,
        'clients: give patterns with options, like { "10.0.0.0/8" = "rw" }',
    ),
    (
        '[export.clients]\n"*" = ""\n',
        'clients = "*"\n',
        15,
        'clients: give patterns with options, like { "10.0.0.0/8" = "rw" }',
    ),
    ("10.0.0.0/8", "10.0.0.0/99", 10, "clients: '10.0.0.0/99'" + NO_NETWORK),
    ("10.0.0.0/8", "10.0.0", 10, "clients: '10.0.0'" + NO_NETWORK),
    ("10.0.0.0/8", "2001:db8::/129", 10, "clients: '2001:db8::/129'" + NO_NETWORK),
    ("10.0.0.0/8", "host/24", 10, "clients: 'host/24'" + NO_NETWORK),
    ("10.0.0.0/8", "10.0.0.1,10.0.0.2", 10, "clients: '10.0.0.1,10.0.0.2'" + NO_NETWORK),
    ("10.0.0.0/8", "", 10, "clients: '' is no client: " + NO_CLIENT),
    ("@lab", "@", 10, "clients: '@' is no client: " + NO_CLIENT),
    ("build*.lan", "build lan", 10, "clients: 'build lan' is no client: " + NO_CLIENT),
    (
        "rw,root_squash",
        "rw,root_squish",
        10,
        "clients: root_squish: no such option; is 'root_squash' meant?",
    ),
    (
        "rw,root_squash",
        "rw root_squash",
        10,
        "clients: rw root_squash: no such option; is 'root_squash' meant?",
    ),
    (
        "rw,root_squash",
        "rw,anonuid=nobody",
        10,
        "clients: anonuid=nobody: give a number from 0 to 4294967294",
    ),
    (
        "rw,root_squash",
        "rw,anonuid=-1",
        10,
        "clients: anonuid=-1: give a number from 0 to 4294967294",
    ),
    (
        "rw,root_squash",
        "rw,anongid=4294967295",
        10,
        "clients: anongid=4294967295: give a number from 0 to 4294967294",
    ),
    (
        "rw,root_squash",
        "rw,fsid=x",
        10,
        "clients: fsid=x: give a number from 0 to 18446744073709551615",
    ),
    ("rw,root_squash", "rw,sec=krb5", 10, "clients: sec=krb5: only sec=sys is there"),
    (
        "rw,root_squash",
        "rw,xprtsec=tls",
        10,
        "clients: xprtsec=tls: there is no TLS, only xprtsec=none",
    ),
    (
        "rw,root_squash",
        "rw,refer=/data@10.0.0.9",
        10,
        "clients: refer=/data@10.0.0.9: leave it out: only NFSv4 sends clients elsewhere",
    ),
    ('"rw,root_squash"', '"rw,fsid=7"; "*" = "ro"', 10, "not TOML"),
    (
        '"*" = ""',
        '"*" = "fsid=7"\n[[export]]\npath = "/x"\nlowerdir = "/x"\nclients = { "*" = "fsid=7" }',
        20,
        "clients: fsid=7 is that of /: give another",
    ),
    (
        '"/srv/layers/debian-12"',
        '"/srv/layers/app"',
        7,
        "lowerdir: /srv/layers/app is named twice: each layer is a directory of its own",
    ),
    (
        '"/srv/layers/debian-12"',
        '"/srv/upper"',
        8,
        "upperdir: /srv/upper is named twice: each layer is a directory of its own",
    ),
    # What people write who know `mount`, exports(5) or another server, or TOML by halves.
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/a:/b"',
        14,
        'lowerdir: /a:/b is one path, and is not there; of several write lowerdir = ["/a", "/b"]',
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = ["/a:/b::/c"]',
        14,
        "lowerdir: /a:/b::/c is one path, and is not there; of several write "
        'lowerdir = ["/a", "/b"] and datadir = ["/c"]',
    ),
    (
        'lowerdir = "/srv/root"',
        'lowerdir = "/srv/root"\nworkers = 2',
        15,
        "workers: a setting of [server]: write it below that",
    ),
    (
        "workers = 2",
        'lowerdir = "/srv/root"',
        3,
        "lowerdir: a setting of [[export]]: write it below that",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nleases = "/l"',
        10,
        "leases: goes with {client} in upperdir and workdir",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nreset = "mount"',
        10,
        "reset: goes with {client} in upperdir and workdir",
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nhook = "prepare"',
        10,
        "hook: prepare: give an absolute path",
    ),
    ('path = "/"', 'path = "/"\nreset = true', 14, 'reset: give "mount"'),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nnames = { pc11 = "10.0.0.11" }',
        10,
        'names: pc11 is no address: give addresses with names, like { "10.0.0.11" = "pc11" }',
    ),
    (
        'workdir = "/srv/work"',
        'workdir = "/srv/work"\nnames = { "10.0.0.11" = "pc11.example.org" }',
        10,
        "names: 'pc11.example.org' cannot be the name of a layer: give letters, digits, - and _, "
        "without a domain",
    ),
    ("[server]", "workers = 2\n[server]", 1, "workers: a setting of [server]: write it below that"),
    (
        "workers = 2",
        "port = 2049",
        3,
        'port: no such setting; it stands behind the address, like listen = ["*:2049"]',
    ),
    ("workers = 2", "threads = 2", 3, "threads: no such setting; is 'workers' meant?"),
    ('{ "10.0.0.0/8"', '{\n"10.0.0.0/8"', 10, IN_BRACES),
    ('"@lab" = "ro" }', '"@lab" = "ro", }', 10, IN_BRACES),
    ('"rw,root_squash", ', '"rw,root_squash",\n', 10, IN_BRACES),
    (
        '"10.0.0.0/8"',
        "10.0.0.0/8",
        10,
        'not TOML: 10.0.0.0/8: put it in quotes: "10.0.0.0/8" = ...',
    ),
    ('"@lab"', "@lab", 10, 'not TOML: @lab: put it in quotes: "@lab" = ...'),
    ('"*" = ""', '* = ""', 16, 'not TOML: *: put it in quotes: "*" = ...'),
    (
        '"10.0.0.0/8"',
        "3com.example.org",
        10,
        'clients: 3com.example.org: put it in quotes: "3com.example.org" = ...',
    ),
    (
        '"*" = ""',
        '"*" = ""\nmax_clients = 5',
        17,
        "max_clients: what is below [export.clients] are clients: move it above that line",
    ),
    (
        "[export.clients]",
        "[[export.clients]]",
        15,
        "clients: write [export.clients], in single brackets",
    ),
    (
        "[export.clients]",
        "[clients]",
        15,
        "clients: write [export.clients], below the [[export]] that it is of",
    ),
    ("workers = 2", "metrics = 9049", 3, 'metrics: give ADDR:PORT, like "127.0.0.1:9049"'),
    ("workers = 2", 'metrics = "9049"', 3, 'metrics: 9049: give ADDR:PORT, like "127.0.0.1:9049"'),
    (
        "workers = 2",
        "\ufeffworkers = 2",
        3,
        "not TOML: a byte-order mark, which no editor shows, is within the file: remove it",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), WRONG)
def test_a_wrong_file_is_refused_with_line_and_cure(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert GOOD.count(old) >= 1
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(Refusal) as refusal:
        load(path)
    text = str(refusal.value)
    if said == "not TOML":
        text = text[: text.index(said) + len(said)]
        assert str(refusal.value).endswith('like workers = 2 or path = "/x"')
    assert text == f"{path}:{line}: {said}"
    assert "\n" not in text


def test_fifty_wrong_files_are_tried() -> None:
    assert len({(old, new) for old, new, _, _ in WRONG}) == len(WRONG) >= 50


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No such file"):
        load(str(tmp_path / "absent"))
    (tmp_path / "latin").write_bytes(b"#\n# \xff\n")
    with pytest.raises(Refusal, match=r":2: the byte 0xff is no UTF-8: save the file as"):
        load(str(tmp_path / "latin"))
    (tmp_path / "wide").write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(Refusal, match="the text is UTF-16: save it as UTF-8"):
        load(str(tmp_path / "wide"))
    with pytest.raises(Refusal, match="nothing is exported"):
        load(written(tmp_path, "[server]\n"))


def test_how_clients_lock(tmp_path: Path) -> None:
    settings = 'workers = 2\nlocks = "off"\nlock_port = 32803\ngrace = 0'
    config = load(written(tmp_path, GOOD.replace("workers = 2", settings)))
    assert config.locks == LockConfig(served=False, port=32803, grace=0)


def test_one_table_where_there_may_be_several(tmp_path: Path) -> None:
    single = GOOD[: GOOD.rindex("[[export]]")].replace("[[export]]", "[export]")
    path = written(tmp_path, single)
    with pytest.raises(Refusal) as refusal:
        load(path)
    said = "export: there may be several: write [[export]], in two brackets"
    assert str(refusal.value) == f"{path}:5: {said}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[server]", "\ufeff[server]"),  # as some editors begin each file
        ("10.0.0.0/8", "3com.example.org"),
        ("build*.lan", "10-0-0-*.example.org"),
    ],
)
def test_what_looks_wrong_and_is_not(tmp_path: Path, old: str, new: str) -> None:
    assert load(written(tmp_path, GOOD.replace(old, new))).exports[0].path == b"/debian"


def test_a_colon_in_the_name_of_a_directory(tmp_path: Path) -> None:
    layer = tmp_path / "a:" / "b"
    layer.mkdir(parents=True)
    config = load(written(tmp_path, GOOD.replace('"/srv/root"', f'"{layer}"')))
    assert config.exports[1].layers.lowerdirs == (bytes(layer),)
