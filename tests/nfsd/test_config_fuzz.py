"""Whatever a configuration file is, it is read or refused: nothing else comes of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nfsd.config.file import Config, load
from nfsd.server.ports import check
from overlay.base.refusal import Refusal
from tests.nfsd.test_config_file import GOOD

DIGITS = "1" * 5000
_PIECES = st.sampled_from(
    [
        *("²", "٣", "é", "\0", "\ud800", "\ufeff", DIGITS, "[" * 3000, "{a=" * 3000, "inf", "nan"),
        *("1979-05-27", "''", '""', '"', "'", "*", "[z-a]", "@", "..", "%", "/", ":", "{client}"),
        *("0x", "-1", "1e400", "true", "\\u0000", "\\", "\n", "=", "[[export]]", "[server]"),
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file of which pieces are left out, doubled, or replaced by what is odd."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        text = text[:begin] + draw(st.one_of(_PIECES, st.text(max_size=8))) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()) and data:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + 1 :]
    return data


@settings(
    max_examples=int(os.environ.get("CONFIG_FILES", "400")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damaged())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "overlay-nfsd.toml"
    path.write_bytes(data)
    assert _read(path) or _is_refused(path)


def _read(path: Path) -> bool:
    with suppress(Refusal):
        return isinstance(load(str(path)), Config)
    return False


def _is_refused(path: Path) -> bool:
    with pytest.raises(Refusal) as refusal:
        load(str(path))
    return str(refusal.value).startswith(str(path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("workers = 2", f"workers = {DIGITS}"),
        ("workers = 2", "z = " + "[" * 100_000),
        ("workers = 2", "z = " + "{a=" * 5000),
        ("rw,root_squash", "rw,anonuid=²"),
        ("rw,root_squash", "rw,anonuid=٣"),
        ("rw,root_squash", f"rw,anongid={DIGITS}"),
        ("rw,root_squash", f"rw,fsid={DIGITS}"),
        ("10.0.0.0/8", "fe80::1%eth0"),
    ],
)
def test_what_only_looks_like_a_number_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "overlay-nfsd.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(Refusal):
        load(str(path))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    for name in (tmp_path / "fifo", tmp_path / "large", tmp_path, "/dev/zero", "a\0b", "/" * 5000):
        with pytest.raises(Refusal):
            load(str(name))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "overlay-nfsd.toml"
    path.write_text(GOOD, "utf-8-sig")
    assert load(str(path)).workers == 2


@pytest.mark.parametrize("host", ["127..0.1", "a" * 64, "é..x", "192.0.2.1", "[2001:db8::77]"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(Refusal, match=r"give an address of this machine|cannot listen on"):
        check(Config((f"{host}:2049",), None, ()), (), ())
    check(Config(("127.0.0.1:0", "[::1]:0"), None, ()), (), ())
