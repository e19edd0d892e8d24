"""Identities as bytes, and handles that nobody else can make."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.identity import DIRECTORY, MAC_SIZE, MAX_WIRE, UPPER, Identity, Signer
from index.linux.file_handle import RealHandle

_identities = st.builds(
    Identity,
    st.integers(0, 15),
    st.integers(0, 0xFFFF),
    st.integers(0, (1 << 64) - 1),
    st.builds(RealHandle, st.integers(0, 255), st.binary(max_size=32)),
)
_KEY = bytes(range(32))


@given(_identities)
def test_pack_and_unpack(identity: Identity) -> None:
    assert Identity.unpack(identity.pack()) == identity


@given(_identities, _identities)
def test_different_identities_have_different_handles(one: Identity, other: Identity) -> None:
    signer = Signer(_KEY, 7)
    assert (signer.encode(one) == signer.encode(other)) == (one == other)


@given(_identities)
def test_a_handle_is_small_and_leads_back(identity: Identity) -> None:
    handle = Signer(_KEY, 7).encode(identity)
    assert len(handle) <= MAX_WIRE
    assert Signer(_KEY, 7).decode(handle) == identity


@given(st.binary(max_size=80))
def test_bytes_that_nobody_signed(data: bytes) -> None:
    with pytest.raises(OSError, match="not a file handle") as refused:
        Signer(_KEY, 7).decode(data)
    assert refused.value.errno == errno.EBADF


@given(_identities, st.data())
def test_an_altered_handle(identity: Identity, data: st.DataObject) -> None:
    handle = bytearray(Signer(_KEY, 7).encode(identity))
    handle[data.draw(st.integers(0, len(handle) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(OSError, match="not a file handle"):
        Signer(_KEY, 7).decode(bytes(handle))


@pytest.mark.parametrize(("key", "export"), [(_KEY, 8), (_KEY[::-1], 7)])
def test_another_key_or_export(key: bytes, export: int) -> None:
    identity = Identity(DIRECTORY | UPPER, 1, 2, RealHandle(1, b"12345678"))
    with pytest.raises(OSError, match="not a file handle"):
        Signer(key, export).decode(Signer(_KEY, 7).encode(identity))


def test_a_kernel_handle_that_does_not_fit() -> None:
    room = MAX_WIRE - MAC_SIZE - 18
    Identity(0, 0, 1, RealHandle(1, b"x" * room)).pack()
    with pytest.raises(OSError, match="too large") as refused:
        Identity(0, 0, 1, RealHandle(1, b"x" * (room + 1))).pack()
    assert refused.value.errno == errno.EOVERFLOW


@given(_identities, st.integers(0, 60))
def test_damaged_bytes_are_no_identity(identity: Identity, keep: int) -> None:
    data = identity.pack()
    if keep < len(data):
        assert Identity.unpack(data[:keep]) is None
    assert Identity.unpack(data + b"x") is None
    assert Identity.unpack(b"\xff" + data[1:]) is None
