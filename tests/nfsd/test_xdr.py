"""The generated XDR: fresh, and equal to an independent interpreter of the declarations.

The interpreter below packs with `xdrlib3`, one field at a time, straight from
the declarations as `language` reads them; it shares no code with the generator.
"""

# ruff: noqa: ANN401  (the interpreter's values are of any declared type)

from __future__ import annotations

import dataclasses
import inspect
import keyword
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import xdrlib3
from hypothesis import given, settings
from hypothesis import strategies as st

import nfsd.xdr
from nfsd.xdr.codec import XdrError, decode, encode
from nfsd.xdr.compiler.generate import generate
from nfsd.xdr.compiler.language import Declaration, Module, Reader
from nfsd.xdr.generated import mount, nfs3, nfsacl, nlm3, nlm4, nsm, rpc, rpcbind
from tests.compiled import only_interpreted

XDR = Path(nfsd.xdr.__file__).parent
SOURCES = sorted((XDR / "spec").glob("*.x"))
MODULES = {
    "mount": mount,
    "nfs3": nfs3,
    "nfsacl": nfsacl,
    "nlm3": nlm3,
    "nlm4": nlm4,
    "nsm": nsm,
    "rpc": rpc,
    "rpcbind": rpcbind,
}
INTEGERS = {
    "int": (-(2**31), 2**31 - 1, "pack_int"),
    "long": (-(2**31), 2**31 - 1, "pack_int"),
    "unsigned int": (0, 2**32 - 1, "pack_uint"),
    "unsigned long": (0, 2**32 - 1, "pack_uint"),
    "hyper": (-(2**63), 2**63 - 1, "pack_hyper"),
    "unsigned hyper": (0, 2**64 - 1, "pack_uhyper"),
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_generated_modules_are_fresh(source: Path) -> None:
    assert (XDR / "generated" / f"{source.stem}.py").read_text() == generate(source)


class Interpreter:
    """Random values of a declared type, and their XDR by `xdrlib3`."""

    def __init__(self, source: Path) -> None:
        self.module: Module = Reader(source.read_text()).read()
        self.python: ModuleType = MODULES[source.stem]
        self.numbers = {"TRUE": 1, "FALSE": 0} | self.module.constants
        for members in self.module.enums.values():
            self.numbers |= members

    def number(self, text: str) -> int:
        return self.numbers[text] if text in self.numbers else int(text)

    def field(self, field: Declaration, value: Any, packer: xdrlib3.Packer) -> None:
        """Pack one field as RFC 4506 sections 4.1 to 4.19 have it."""
        if field.shape == "*":
            for element in value:
                packer.pack_bool(True)
                self.fields(self.module.structs[field.type_name][:-1], element, packer)
            packer.pack_bool(False)
        elif field.type_name in ("opaque", "string"):
            if field.shape == "[":
                packer.pack_fopaque(self.number(field.size), value)
            else:
                packer.pack_opaque(bytes(value))
        elif field.shape == "<":
            packer.pack_array(value, lambda each: self.named(field.type_name, each, packer))
        else:
            self.named(field.type_name, value, packer)

    def fields(self, fields: tuple[Declaration, ...], value: Any, packer: xdrlib3.Packer) -> None:
        values = [value]
        if len(fields) > 1:
            values = [getattr(value, each.name) for each in dataclasses.fields(value)]
        for field, each in zip(fields, values, strict=True):
            self.field(field, each, packer)

    def named(self, name: str, value: Any, packer: xdrlib3.Packer) -> None:
        module = self.module
        if name in INTEGERS:
            getattr(packer, INTEGERS[name][2])(value)
        elif name == "bool":
            packer.pack_bool(value)
        elif name in module.enums:
            packer.pack_enum(value)
        elif name in module.typedefs:
            self.field(module.typedefs[name], value, packer)
        elif name in module.structs:
            self.fields(module.structs[name], value, packer)
        else:
            self.union(name, value, packer)

    def union(self, name: str, value: Any, packer: xdrlib3.Packer) -> None:
        union = self.module.unions[name]
        if union.discriminant.type_name == "bool":
            packer.pack_bool(value is not None)
            chosen = int(value is not None)
        else:
            chosen = getattr(value, union.discriminant.name)
            packer.pack_uint(chosen)
        for arm in union.arms:
            if not arm.values or chosen in map(self.number, arm.values):
                if arm.declaration.type_name != "void":
                    inner = arm.declaration.name
                    chosen_value = value
                    if union.discriminant.type_name != "bool":
                        chosen_value = getattr(value, inner)
                    self.field(arm.declaration, chosen_value, packer)
                return

    def bytes_of(self, name: str, value: Any) -> bytes:
        packer = xdrlib3.Packer()
        self.named(name, value, packer)
        return bytes(packer.get_buffer())

    def values(self, name: str) -> st.SearchStrategy[Any]:
        """Values of the type `name`, as the generated module has them."""
        module = self.module
        if name in INTEGERS:
            low, high, _ = INTEGERS[name]
            return st.integers(low, high)
        if name == "bool":
            return st.booleans()
        if name in module.enums:
            return st.sampled_from(sorted(module.enums[name].values()))
        if name in module.typedefs:
            return self.declared(module.typedefs[name])
        if name in module.structs:
            fields = [each for each in module.structs[name] if not self.next(name, each)]
            if len(fields) == 1:
                return self.declared(fields[0])
            return st.builds(getattr(self.python, name), *map(self.declared, fields))
        return self.unions(name)

    def next(self, name: str, field: Declaration) -> bool:
        """Whether `field` is the pointer to the next element of a list of `name`."""
        if field.type_name in self.module.typedefs:
            field = self.module.typedefs[field.type_name]
        return field.shape == "*" and field.type_name == name

    def declared(self, field: Declaration) -> st.SearchStrategy[Any]:
        if field.shape == "*":
            return st.lists(self.values(field.type_name), max_size=4)
        bound = self.number(field.size) if field.size else 300
        if field.type_name in ("opaque", "string"):
            return st.binary(min_size=bound if field.shape == "[" else 0, max_size=bound)
        if field.shape == "<":
            inner = self.values(field.type_name)
            values = st.lists(inner, max_size=min(bound, 20))
            return values if field.type_name in self.module.structs else values.map(tuple)
        return self.values(field.type_name)

    def unions(self, name: str) -> st.SearchStrategy[Any]:
        union = self.module.unions[name]
        if union.discriminant.type_name == "bool":
            (arm,) = [arm for arm in union.arms if arm.declaration.type_name != "void"]
            return st.none() | self.declared(arm.declaration)
        taken = {self.number(value) for arm in union.arms for value in arm.values}
        choices = []
        for arm in union.arms:
            switch = st.sampled_from([self.number(value) for value in arm.values])
            if not arm.values:
                switch = self.values(union.discriminant.type_name).filter(lambda x: x not in taken)
            others = [each.declaration.name for each in union.arms if each.declaration.name]
            given = {other: st.none() for other in others}
            if arm.declaration.type_name != "void":
                given[arm.declaration.name] = self.declared(arm.declaration)
            choices.append(st.builds(getattr(self.python, name), switch, **given))
        return st.one_of(choices)


def pairs() -> list[Any]:
    """Each declared name for which the generated module has a pair of functions."""
    found = []
    for source in SOURCES:
        interpreter = Interpreter(source)
        python = interpreter.python
        names = [*interpreter.module.structs, *interpreter.module.unions]
        found += [
            pytest.param(interpreter, name, name, id=f"{source.stem}-{name}")
            for name in names
            if hasattr(python, f"unpack_{name}")
        ]
        for version in interpreter.module.versions:
            for procedure, signature in zip(
                version.procedures, getattr(python, f"{version.name}_SIGNATURES"), strict=True
            ):
                for name, unpack in (
                    (procedure.argument, signature.unpack_arguments),
                    (procedure.result, signature.unpack_results),
                ):
                    pair = unpack.__name__.removeprefix("unpack_")
                    if name != "void":
                        label = f"{source.stem}-{procedure.name}-{name}"
                        found.append(pytest.param(interpreter, name, pair, id=label))
    return found


def functions(python: ModuleType, pair: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return getattr(python, f"pack_{pair}"), getattr(python, f"unpack_{pair}")


@pytest.mark.parametrize(("interpreter", "name", "pair"), pairs())
def test_equal_to_the_interpreter(interpreter: Interpreter, name: str, pair: str) -> None:
    pack, unpack = functions(interpreter.python, pair)

    @settings(max_examples=40)
    @given(interpreter.values(name), st.data())
    def check(value: Any, data: st.DataObject) -> None:
        expected = interpreter.bytes_of(name, value)
        assert encode(pack, value) == expected
        assert decode(unpack, expected) == value
        assert decode(unpack, memoryview(bytearray(expected))) == value
        cut = data.draw(st.integers(0, len(expected) - 1))
        with pytest.raises(XdrError):
            decode(unpack, expected[:cut])
        with pytest.raises(XdrError):
            decode(unpack, expected + b"\0\0\0\0")

    check()


def test_every_declared_type_is_covered() -> None:
    """The types with functions contain all others, so the test above reaches every declaration."""
    for source in SOURCES:
        interpreter = Interpreter(source)
        covered: set[str] = set()
        waiting = [
            each.values[1] for each in pairs() if each.values[0].python is interpreter.python
        ]
        while waiting:
            name = waiting.pop()
            if name in covered:
                continue
            covered.add(name)
            waiting += [each.type_name for each in interpreter.module.structs.get(name, ())]
            if name in interpreter.module.unions:
                union = interpreter.module.unions[name]
                waiting += [arm.declaration.type_name for arm in union.arms]
                waiting.append(union.discriminant.type_name)
            if name in interpreter.module.typedefs:
                waiting.append(interpreter.module.typedefs[name].type_name)
        declared = {*interpreter.module.structs, *interpreter.module.unions}
        assert declared <= covered


ATTRIBUTES = nfs3.fattr3(
    nfs3.NF3REG, 0o644, 1, 2, 3, 4, 5, nfs3.specdata3(6, 7), 8, 9, *[nfs3.nfstime3(1, 2)] * 3
)


def test_attributes_given_packed() -> None:
    packed = encode(nfs3.pack_fattr3, ATTRIBUTES)
    assert len(packed) == 84
    plain = nfs3.LOOKUP3res(0, nfs3.LOOKUP3resok(b"handle", ATTRIBUTES, None))
    given = nfs3.LOOKUP3res(0, nfs3.LOOKUP3resok(b"handle", packed, None))
    assert encode(nfs3.pack_LOOKUP3res, plain) == encode(nfs3.pack_LOOKUP3res, given)


def test_entries_given_packed() -> None:
    entries = [nfs3.entry3(1, b"one", 10), nfs3.entry3(2, b"two2", 11)]
    packed = b"".join(encode(nfs3.pack_entry3, entry) for entry in entries)

    def reply(listed: list[nfs3.entry3] | bytes) -> bytes:
        resok = nfs3.READDIR3resok(None, bytes(8), nfs3.dirlist3(listed, True))
        return encode(nfs3.pack_READDIR3res, nfs3.READDIR3res(0, resok))

    assert reply(entries) == reply(packed)


def test_bulk_data_is_not_copied() -> None:
    data = bytes(range(256)) * 64
    arguments = nfs3.WRITE3args(b"handle", 0, len(data), nfs3.UNSTABLE, data)
    record = encode(nfs3.pack_WRITE3args, arguments)
    unpacked = decode(nfs3.unpack_WRITE3args, record)
    assert isinstance(unpacked.data, memoryview)
    assert unpacked.data.obj is record
    parts: list[bytes | bytearray | memoryview] = []
    resok = nfs3.READ3resok(None, len(data), True, data)
    nfs3.pack_READ3res(nfs3.READ3res(0, resok), parts)
    assert any(part is data for part in parts)


@pytest.mark.parametrize(
    ("unpack", "record"),
    [
        (nfs3.unpack_nfs_fh3, b"\0\0\0\x41" + bytes(68)),  # 65 bytes where 64 is the bound
        (nfs3.unpack_nfs_fh3, b"\xff\xff\xff\xff" + bytes(64)),
        (nfs3.unpack_sattr3, b"\0\0\0\2" + bytes(20)),  # a bool of 2
        (nfs3.unpack_sattr3, bytes(16) + b"\0\0\0\3" + bytes(4)),  # a time_how of 3
        (nfs3.unpack_fattr3, b"\0\0\0\x08" + bytes(80)),  # a ftype3 of 8
        (nfs3.unpack_READDIR3res, bytes(4) + bytes(4) + bytes(8) + b"\0\0\0\7" + bytes(4)),
        (nfs3.unpack_CREATE3args, bytes(8) + b"\0\0\0\3"),  # a createmode3 of 3
        (mount.unpack_dirpath, b"\0\0\4\1" + bytes(1028)),
        (rpc.unpack_authsys_parms, bytes(16) + b"\0\0\0\x11" + bytes(68)),  # 17 groups
        (mount.unpack_mountres3, bytes(8) + b"\xff\xff\xff\xff"),  # four thousand million flavors
    ],
)
def test_bad_values_are_refused(unpack: Callable[..., Any], record: bytes) -> None:
    with pytest.raises(XdrError):
        decode(unpack, record)


def test_too_long_values_are_not_packed() -> None:
    with pytest.raises(XdrError):
        encode(nfs3.pack_nfs_fh3, bytes(65))
    with pytest.raises(XdrError):
        encode(nfs3.pack_LOOKUP3res, nfs3.LOOKUP3res(nfs3.NFS3_OK))


def test_fixed_runs_are_one_struct() -> None:
    """A fattr3 is one call of one compiled struct, both ways."""
    only_interpreted(nfs3)
    assert inspect.getsource(nfs3.pack_fattr3).count("P_") == 1
    assert inspect.getsource(nfs3.unpack_fattr3).count("U_") == 1


def test_python_keywords_are_renamed() -> None:
    assert keyword.iskeyword("from")
    assert [each.name for each in dataclasses.fields(nfs3.RENAME3args)] == ["from_", "to"]


@pytest.mark.parametrize("guard", [None, nfs3.nfstime3(1, 2)])
@pytest.mark.parametrize("size", [None, 0, 1 << 40])
@pytest.mark.parametrize("time", [0, 1, 2])
@pytest.mark.parametrize("mode", [None, 0o600, 0o644])
def test_what_is_remembered_is_the_same(
    mode: int | None, time: int, size: int | None, guard: nfs3.nfstime3 | None
) -> None:
    """Values that are long and short, alike at the beginning, and followed by other things."""
    when = nfs3.nfstime3(5, 6) if time == 2 else None
    new = nfs3.sattr3(mode, 1, None, size, nfs3.set_atime(time, when), nfs3.set_mtime(0))
    arguments = nfs3.SETATTR3args(b"handle", dataclasses.replace(new, uid=None), guard)
    data = encode(nfs3.pack_SETATTR3args, arguments)
    for _ in range(3):
        for form in (data, memoryview(bytearray(data))):
            assert decode(nfs3.unpack_SETATTR3args, form) == arguments
    for end in range(len(data)):
        with pytest.raises(XdrError):
            decode(nfs3.unpack_SETATTR3args, data[:end])
