"""Makes the XDR modules from the declarations: `python -m nfsd.xdr.compiler.generate`.

For every declaration file spec/NAME.x there is a module generated/NAME.py with a constant for
each constant and enumerator, a class for each struct and union, a pair `pack_T`,
`unpack_T` for each type that is a message of its own (or too big to repeat), and
a table of signatures for each version of a program.

The classes are dataclasses with the `__init__` written out, as mypyc compiles that
one and not what the decorator would make: so they cost less than any other kind.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nfsd.xdr.compiler.language import Module, Reader, Version
from nfsd.xdr.compiler.pack import Packer
from nfsd.xdr.compiler.types import Array, Field, Linked, Optional, Resolver, Struct, Type, Union
from nfsd.xdr.compiler.unpack import Unpacker
from nfsd.xdr.compiler.writer import Writer, annotation, python_name

XDR = Path(__file__).parents[1]
SOURCES, GENERATED = XDR / "spec", XDR / "generated"

HEAD = '''"""XDR types of {source}, generated from it: `python -m nfsd.xdr.compiler.generate`.

A field of type fattr3 or wcc_data, and a linked list (each element with its leading
TRUE, without the closing FALSE), may also be given already packed, as bytes.
"""

# ruff: noqa: E501, F401, N801, N802, N803, N806, N815, N816, I001, RUF005, RUF022, RUF100, SIM108
# fmt: off

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias, final

from nfsd.xdr.codec import (
    PADDING,
    Buffer,
    Parts,
    Remembered,
    Signature,
    XdrError,
    encode,
    pack_void,
    taken,
    unpack_void,
)
'''

# Types of many optional fields that come again and again with the same values: a value
# is remembered by so many bytes, which are all that it has, or begin with all of it.
REMEMBERED = {"sattr3": 28}


class Generator:
    """The text of one generated module."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._resolver = Resolver(module)
        self._codecs: set[str] = set()
        self._called = self._resolver.called()
        self._classes: list[str] = []
        self._known: set[str] = set()
        self._functions: dict[str, str] = {}

    def text(self, source: str) -> str:
        """Return the whole module, made from the declarations in the file `source`."""
        self._constants()
        for name in self._module.order:
            if name in self._module.structs or name in self._module.unions:
                self._class(self._resolver.named(name), name)
            elif name in self._module.typedefs:
                self._alias(name, self._resolver.named(name))
        for name in self._roots():
            self._function(name)
        tables = [self._table(version) for version in self._module.versions]
        blocks = [HEAD.format(source=source), "\n".join(sorted(self._codecs))]
        blocks += self._classes + list(self._functions.values()) + tables
        return "\n\n\n".join(blocks) + "\n"

    def _constants(self) -> None:
        lines = [f"{name}: Final = {value}" for name, value in self._module.constants.items()]
        for version in self._module.versions:
            lines += [f"{each.name}: Final = {each.number}" for each in version.procedures]
        self._classes.append("\n".join(lines))
        for name, members in self._module.enums.items():
            body = "\n".join(f"    {member} = {value}" for member, value in members.items())
            values = ", ".join(map(str, members.values()))
            constants = "\n".join(f"{member}: Final = {name}.{member}" for member in members)
            self._classes.append(f"class {name}(IntEnum):\n{body}")
            self._classes.append(
                f"{constants}\n{name.upper()}_VALUES: Final = frozenset(({values}))"
            )

    def _alias(self, name: str, kind: Type) -> None:
        if name not in self._known:
            self._known.add(name)
            self._classes.append(f'{name}: TypeAlias = "{annotation(kind)}"')

    def _class(self, kind: Type, name: str) -> None:
        linked = self._module.structs.get(name, ())[-1:]
        if linked and isinstance(self._resolver.declared(linked[0]), Linked):
            declared = self._resolver.declared(linked[0])
            assert isinstance(declared, Linked)
            if declared.element.name == name:
                self._element(declared.element)
                return
        if isinstance(kind, Struct) and kind.name == name:
            self._members(name, [(field, annotation(each), "") for field, each in kind.fields])
        elif isinstance(kind, Union) and kind.name == name:
            fields = [(kind.discriminant, "int", "")]
            for case in kind.cases:
                if case.type is not None:
                    optional = "" if isinstance(case.type, Optional) else " | None"
                    fields.append((case.name, annotation(case.type) + optional, " = None"))
            self._members(name, fields)
        else:
            self._alias(name, kind)

    def _element(self, element: Struct | Field) -> None:
        if isinstance(element, Field):
            self._alias(element.name, element.type)
        else:
            self._members(
                element.name, [(name, annotation(each), "") for name, each in element.fields]
            )

    def _members(self, name: str, fields: list[tuple[str, str, str]]) -> None:
        """A class of these fields: name, type and default."""
        named = [(python_name(field), kind, default) for field, kind, default in fields]
        parameters = ", ".join(f"{field}: {kind}{default}" for field, kind, default in named)
        lines = ["@final", "@dataclass(slots=True, init=False)", f"class {name}:"]
        lines += [f"    {field}: {kind}" for field, kind, _ in named]
        lines += ["", f"    def __init__(self, {parameters}) -> None:"]
        lines += [f"        self.{field} = {field}" for field, _, _ in named]
        self._classes.append("\n".join(lines))

    def _roots(self) -> list[str]:
        """Types that are a message of their own: used by no other type, or by a procedure."""
        module, used = self._module, set[str]()
        for fields in module.structs.values():
            used |= {each.type_name for each in fields}
        for union in module.unions.values():
            used |= {arm.declaration.type_name for arm in union.arms}
        roots = [name for name in [*module.structs, *module.unions] if name not in used]
        for version in module.versions:
            for procedure in version.procedures:
                roots += [procedure.argument, procedure.result]
        return [
            name for name in dict.fromkeys(roots) if name != "void" and not self._is_element(name)
        ]

    def _is_element(self, name: str) -> bool:
        fields = self._module.structs.get(name, ())
        if not fields:
            return False
        last = self._resolver.declared(fields[-1])
        return isinstance(last, Linked) and last.element.name == name

    def _function(self, name: str) -> None:
        kind = self._resolver.named(name)
        self._pair(kind.name if isinstance(kind, Struct | Union) else self._plain(name), kind)

    def _plain(self, name: str) -> str:
        """Return the name that a struct of one field stands for, to share its functions."""
        while name in self._module.structs:
            name_of_field = self._module.structs[name][0].type_name
            if name_of_field in ("opaque", "string"):
                break
            name = name_of_field
        return name

    def _pair(self, name: str, kind: Type | Field) -> None:
        if name in self._functions:
            return
        self._functions[name] = ""
        for each in parts_of(kind):
            if isinstance(each, Struct) and each.name in self._called:
                self._pair(each.name, each)
            if isinstance(each, Linked):
                self._packer_of_element(each.element)
        self._functions[name] = self._pack(name, kind) + "\n\n\n" + self._unpack(name, kind)

    def _pack(self, name: str, kind: Type | Field) -> str:
        packer = Packer(self._codecs, self._called)
        if isinstance(kind, Struct):
            packer.fields(kind, "value")
        else:
            packer.value(kind, "value")
        packer.flush()
        return function(f"pack_{name}(value: {name}, parts: Parts) -> None", packer)

    def _unpack(self, name: str, kind: Type | Field) -> str:
        unpacker = Unpacker(self._codecs, self._called)
        size = REMEMBERED.get(name)
        if size is not None:
            self._classes.append(f"_{name.upper()}: Final = Remembered[{name}]({size})")
            unpacker.line("begin = at")
            unpacker.line(f"known = _{name.upper()}.get(buffer, at)")
            unpacker.line("if known is not None:")
            unpacker.line("    return known")
        if isinstance(kind, Struct):
            value = unpacker.fields(kind, "")
        else:
            value = unpacker.value(kind, "value")
        unpacker.flush()
        if size is not None:
            value = f"_{name.upper()}.put(buffer, begin, at, {value})"
        unpacker.line(f"return {value}, at")
        # What is read is never packed already.
        result = f"list[{annotation(kind.element)}]" if isinstance(kind, Linked) else name
        head = f"unpack_{name}(buffer: Buffer, at: int) -> tuple[{result}, int]"
        return function(head, unpacker)

    def _packer_of_element(self, element: Struct | Field) -> None:
        """A list's element packs itself with the TRUE that says it is there."""
        if element.name in self._functions:
            return
        self._functions[element.name] = ""
        if isinstance(element, Struct):
            for each in parts_of(element):
                if isinstance(each, Linked):
                    self._packer_of_element(each.element)
        packer = Packer(self._codecs, self._called)
        packer.run = [("I", "1")]
        if isinstance(element, Struct):
            packer.fields(element, "value")
        else:
            packer.value(element, "value")
        packer.flush()
        head = f"pack_{element.name}(value: {element.name}, parts: Parts) -> None"
        self._functions[element.name] = function(head, packer)

    def _table(self, version: Version) -> str:
        lines = [f"{version.name}_SIGNATURES: Final = ("]
        for each in version.procedures:
            names = [self._canonical(each.argument), self._canonical(each.result)]
            codecs = ", ".join(f"pack_{name}, unpack_{name}" for name in names)
            lines.append(f'    Signature({each.number}, "{each.name}", {codecs}),')
        return "\n".join([*lines, ")"])

    def _canonical(self, name: str) -> str:
        if name == "void":
            return name
        kind = self._resolver.named(name)
        return kind.name if isinstance(kind, Struct | Union) else self._plain(name)


def function(head: str, body: Writer) -> str:
    """Return the text of one function."""
    return "\n".join([f"def {head}:", *body.lines])


def parts_of(kind: Type | Field | None) -> list[Type]:
    """Return all types that a value of `kind` is made of, itself included."""
    match kind:
        case None:
            return []
        case Field(_, inner):
            return parts_of(inner)
        case Optional(inner) | Array(inner, _):
            return [kind, *parts_of(inner)]
        case Linked(element):
            inner_parts = parts_of(element)
            return [kind, *(each for each in inner_parts if each != element)]
        case Struct(_, fields):
            return [kind, *(part for _, each in fields for part in parts_of(each))]
        case Union(_, _, _, cases):
            return [kind, *(part for case in cases for part in parts_of(case.type))]
    return [kind]


def generate(source: Path) -> str:
    """Return the text of the module for the declarations in `source`.

    Raises SyntaxError, KeyError.
    """
    return Generator(Reader(source.read_text()).read()).text(source.name)


def main() -> int:
    """Write every module."""
    for source in sorted(SOURCES.glob("*.x")):
        (GENERATED / f"{source.stem}.py").write_text(generate(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
