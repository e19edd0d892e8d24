"""Patterns of clients: what they match, and which of several decides.

Names are resolved by the system's resolver, from the /etc/hosts and netgroup files of a mount
namespace that the tests make.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nfsd.export.client_match import ClientTable, Kind, Pattern, PatternError
from nfsd.export.resolver import Resolver
from nfsd.net.address import address_of
from tests.conformance.server import PROJECT

_HOSTS = """\
127.0.0.1 localhost
10.1.0.1 build1.example.org build1
10.1.0.2 build22.example.org
10.1.0.3 Other.example.org
2001:db8::5 six.example.org
"""


def find(address: str, *patterns: str) -> str | None:
    table = ClientTable([(Pattern.parse(text), text) for text in patterns], Resolver())
    return table.find(address_of(address))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("10.1.2.3", ["10.1.2.3", "::ffff:10.1.2.3"], ["10.1.2.4", "::1"]),
        ("10.0.0.0/8", ["10.255.0.1"], ["11.0.0.1", "2001:db8::1"]),
        ("10.0.0.0/255.0.0.0", ["10.255.0.1"], ["11.0.0.1"]),
        ("10.1.2.3/24", ["10.1.2.200"], ["10.1.3.1"]),
        ("2001:db8::/32", ["2001:db8:1::5"], ["2001:db9::1", "10.0.0.1"]),
        ("::1", ["::1"], ["127.0.0.1"]),
        ("::ffff:10.1.2.3", ["10.1.2.3", "::ffff:10.1.2.3"], ["10.1.2.4"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.0.0.1"]),
        ("fe80::/10", ["fe80::1%eth0"], ["::1"]),
        ("*", ["10.1.2.3", "::1"], []),
    ],
)
def test_addresses(pattern: str, matching: list[str], others: list[str]) -> None:
    assert [find(address, pattern) for address in matching] == [pattern] * len(matching)
    assert [find(address, pattern) for address in others] == [None] * len(others)


def test_the_most_specific_kind_decides_and_then_the_order() -> None:
    patterns = ["*", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"]
    assert find("10.1.2.3", *patterns) == "10.1.2.3"
    assert find("10.1.2.4", *patterns) == "10.0.0.0/8"
    assert find("10.1.2.4", "10.1.0.0/16", "10.0.0.0/8") == "10.1.0.0/16"
    assert find("11.0.0.1", *patterns) == "*"
    assert find("11.0.0.1", *patterns[1:]) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("10.1.2.3", Kind.HOST),
        ("10.1.2.3/32", Kind.HOST),
        ("host", Kind.HOST),
        ("host.example.org", Kind.HOST),
        ("10.0.0.0/8", Kind.NETWORK),
        ("*.example.org", Kind.WILDCARD),
        ("node[0-9]", Kind.WILDCARD),
        ("@lab", Kind.NETGROUP),
        ("3com.example.org", Kind.HOST),
        ("*", Kind.EVERYBODY),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    assert Pattern.parse(text).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "10.0.0.0/33", "10.0.0", "a b", "host/24", "-x", "a,b", "10.0.0.0/255.0.255.0"),
        *("build..example.org", "a" * 64 + ".example.org", "host-.example.org", "x" * 300),
        *(".".join(["a" * 60] * 5), "@grp\0x", "@two words", "@" + "g" * 300, "é.example.org"),
        *("a[", "[z-a]*", "*..org", "*.example.org.", "é*", "x" * 300 + "*", "192.168.1.*"),
        *("a" * 100_000, "*" * 100_000, "fe80::1%eth0", "²"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern.parse(text)


def test_names(tmp_path: Path) -> None:
    """With names of their own: a file of hosts and a netgroup, in a mount namespace."""
    asked = [
        ("10.1.0.1", ["build1.example.org"], True),
        ("10.1.0.1", ["BUILD1"], True),
        ("10.1.0.2", ["build1.example.org"], False),
        ("10.1.0.1", ["build*.example.org"], True),
        ("10.1.0.2", ["build?.example.org"], False),
        ("10.1.0.2", ["build??.example.org"], True),
        ("10.1.0.3", ["build*.example.org"], False),
        ("10.1.0.3", ["other.example.org"], True),
        ("2001:db8::5", ["*.example.org"], True),
        ("10.1.0.9", ["*.example.org"], False),
        ("10.1.0.9", ["nowhere.example.org"], False),
        ("10.1.0.1", ["@lab"], True),
        ("10.1.0.3", ["@lab"], False),
    ]
    (tmp_path / "hosts").write_text(_HOSTS)
    (tmp_path / "netgroup").write_text("lab (build1.example.org,,) (build22.example.org,,)\n")
    (tmp_path / "nsswitch").write_text("hosts: files\nnetgroup: files\n")
    script = """
import json, sys
from nfsd.export.client_match import ClientTable, Pattern, Unresolved
from nfsd.export.resolver import Resolver, address_of
resolver = Resolver()
table = lambda texts: ClientTable([(Pattern.parse(text), True) for text in texts], resolver)
def find(address, texts):
    found = []
    def is_found():
        try:
            found[:] = [bool(table(texts).find(address_of(address)))]
        except Unresolved:
            pass
        return bool(found)
    assert resolver.wait(is_found, 50)
    return found[0]
print(json.dumps([find(address, texts) for address, texts, _ in json.loads(sys.argv[1])]))
"""
    mounts = "; ".join(
        f"touch {target}; mount --bind {tmp_path / source} {target}"
        for source, target in (
            ("hosts", "/etc/hosts"),
            ("netgroup", "/etc/netgroup"),
            ("nsswitch", "/etc/nsswitch.conf"),
        )
    )
    # A netgroup file has to be there to be mounted over; the etc of the namespace is its own.
    etc = "mount -t tmpfs none /mnt; cp -a /etc/. /mnt; mount --bind /mnt /etc; "
    command = ["unshare", "-m", "sh", "-ec", etc + mounts + '; exec "$@"', "sh"]
    command += [sys.executable, "-c", script, json.dumps(asked)]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [row for row, got in zip(asked, answers, strict=True) if row[2] != got] == []
