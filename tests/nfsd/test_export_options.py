"""Options have the names, defaults and meaning of exports(5)."""

from __future__ import annotations

import pytest

from nfsd.export.options import NOBODY, ExportOptions, OptionError
from overlay.base.credentials import ANONYMOUS, INVALID_ID, Credentials

ROOT = Credentials(0, 0, frozenset({0, 4}))
USER = Credentials(1000, 1000, frozenset({0, 100}))
GROUP_8 = frozenset({8})


def test_the_defaults_are_those_of_exports() -> None:
    options = ExportOptions.parse("")
    assert options == ExportOptions()
    assert options.read_only
    assert options.secure
    assert options.sync
    assert options.root_squash
    assert not options.all_squash
    assert (options.anonuid, options.anongid, options.fsid) == (NOBODY, NOBODY, None)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("rw", "read_only", False),
        ("rw,ro", "read_only", True),
        ("insecure", "secure", False),
        ("async", "sync", False),
        ("no_root_squash", "root_squash", False),
        ("all_squash", "all_squash", True),
        ("all_squash,no_all_squash", "all_squash", False),
        ("anonuid=7", "anonuid", 7),
        ("anongid=4294967294", "anongid", 4294967294),
        ("fsid=12", "fsid", 12),
        ("fsid=0", "fsid", None),
        ("fsid=root", "fsid", None),
        (" rw , sync ", "read_only", False),
    ],
)
def test_each_option_sets_its_field(text: str, field: str, value: object) -> None:
    assert getattr(ExportOptions.parse(text), field) == value


def test_a_line_of_the_kernels_server_can_be_pasted() -> None:
    pasted = "rw,sync,wdelay,hide,crossmnt,secure,no_subtree_check,sec=sys:krb5"
    uuid = "fsid=0b2c3d4e-0001-4aaa-8bbb-123456789abc"
    for line in (pasted, f"({pasted})", f"{pasted},mountpoint=/srv,{uuid},xprtsec=none:tls"):
        assert ExportOptions.parse(line) == ExportOptions(read_only=False)


@pytest.mark.parametrize(
    "option",
    [
        *("secure", "insecure", "rw", "ro", "async", "sync", "no_wdelay", "wdelay", "nohide"),
        *(
            "hide",
            "crossmnt",
            "no_subtree_check",
            "subtree_check",
            "insecure_locks",
            "secure_locks",
        ),
        *("no_auth_nlm", "auth_nlm", "mountpoint=/srv", "mp=/srv", "mountpoint", "mp", "fsid=7"),
        *("fsid=root", "fsid=0b2c3d4e-0001-4aaa-8bbb-123456789abc", "security_label", "pnfs"),
        *("no_pnfs", "sec=sys", "sec=krb5:sys", "xprtsec=none", "root_squash", "no_root_squash"),
        *("all_squash", "no_all_squash", "anonuid=150", "anongid=100", "acl", "no_acl"),
    ],
)
def test_every_option_of_exports_is_taken(option: str) -> None:
    ExportOptions.parse(f"rw,{option},sync")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rx", "rx: no such option"),
        ("rw=1", "rw=1: no such option"),
        ("anonuid=nobody", "give a number"),
        ("anonuid=-1", "give a number"),
        ("anongid=4294967295", "give a number"),
        ("fsid=x", "give a number"),
        ("sec=krb5", "only sec=sys"),
        ("refer=/a@b", "only NFSv4 sends clients elsewhere"),
        ("replicas=/a@b", "only NFSv4 sends clients elsewhere"),
        ("squash_uids=5-4", "5-4 is no range"),
        ("squash_gids=", "give a number"),
        ("squash_uids=1-", "give a number"),
        ("xprtsec=tls:mtls", "there is no TLS"),
        ("hide=1", "hide=1: no such option"),
        ("fsid=1b2c-2-3-4-5", "give a number"),
        ("rw sync", "rw sync: no such option"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ExportOptions.parse(text)


@pytest.mark.parametrize(
    ("text", "who", "acts_as"),
    [
        ("", USER, Credentials(1000, 1000, frozenset({NOBODY, 100}))),
        ("", ROOT, Credentials(NOBODY, NOBODY, frozenset({NOBODY, 4}))),
        ("anonuid=7,anongid=8", ROOT, Credentials(7, 8, frozenset({8, 4}))),
        ("no_root_squash", ROOT, ROOT),
        ("no_root_squash", USER, USER),
        ("all_squash", USER, Credentials(NOBODY, NOBODY)),
        ("all_squash,no_root_squash,anonuid=7,anongid=8", ROOT, Credentials(7, 8)),
        (
            "squash_uids=900-1000:7,squash_gids=100",
            USER,
            Credentials(NOBODY, 1000, frozenset({NOBODY})),
        ),
        (
            "squash_uids=1001,no_root_squash",
            Credentials(1000, 0, frozenset({0})),
            Credentials(1000, 0, frozenset({0})),
        ),
        (
            "squash_gids=0-99,anongid=9,no_root_squash",
            Credentials(0, 0, frozenset({4, 100})),
            Credentials(0, 9, frozenset({9, 100})),
        ),
        *(
            row
            for text in ("anonuid=7,anongid=8", "no_root_squash,anonuid=7,anongid=8")
            for row in (
                (text, ANONYMOUS, Credentials(7, 8)),
                (text, Credentials(INVALID_ID, 1000), Credentials(7, 1000)),
                (text, Credentials(1000, INVALID_ID), Credentials(1000, 8)),
                (text, Credentials(9, 9, frozenset({INVALID_ID})), Credentials(9, 9, GROUP_8)),
            )
        ),
    ],
)
def test_squashing(text: str, who: Credentials, acts_as: Credentials) -> None:
    assert ExportOptions.parse(text).squash(who) == acts_as
