"""Declarations resolved to the few kinds of type that the generator knows.

Three shapes of the RFCs become plainer in Python, on the wire nothing changes:

* a struct of one field is that field (`nfs_fh3` is its bytes, `GETATTR3args` an `nfs_fh3`);
* a union on a bool with one void arm is an optional: the value, or None;
* a struct that ends in a pointer to its own type is an element of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nfsd.xdr.compiler.language import Arm, Declaration, Module

INTEGERS = {
    "int": "i",
    "long": "i",
    "hyper": "q",
    "unsigned int": "I",
    "unsigned long": "I",
    "unsigned hyper": "Q",
}


@dataclass(frozen=True, slots=True)
class Integer:
    code: str  # of struct: i, I, q, Q


@dataclass(frozen=True, slots=True)
class Bool:
    pass


@dataclass(frozen=True, slots=True)
class Enum:
    name: str


@dataclass(frozen=True, slots=True)
class FixedOpaque:
    size: int  # bytes, a multiple of 4


@dataclass(frozen=True, slots=True)
class Opaque:
    bound: int | None
    bulk: bool  # `opaque x<>`: the data of READ and WRITE, unpacked without a copy


@dataclass(frozen=True, slots=True)
class IntegerArray:
    code: str
    bound: int | None


@dataclass(frozen=True, slots=True)
class Array:
    """`T x<>` where T is a struct."""

    element: Struct
    bound: int | None


@dataclass(frozen=True, slots=True)
class Optional:
    inner: Type


@dataclass(frozen=True, slots=True)
class Linked:
    element: Struct | Field


@dataclass(frozen=True, slots=True)
class Field:
    """A list's element of one field: the field itself, under the struct's name."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Case:
    values: tuple[int, ...]  # empty for `default`
    name: str  # empty for void
    type: Type | None


@dataclass(frozen=True, slots=True)
class Union:
    name: str
    discriminant: str
    switch: Type
    cases: tuple[Case, ...]


Type: TypeAlias = (
    Integer
    | Bool
    | Enum
    | FixedOpaque
    | Opaque
    | IntegerArray
    | Array
    | Optional
    | Linked
    | Struct
    | Union
)


class Resolver:
    """Finds the type behind each name of a module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._values = dict(module.constants)
        self._values |= {"TRUE": 1, "FALSE": 0}
        for members in module.enums.values():
            self._values |= members

    def number(self, text: str) -> int:
        """Return a number, or a constant's or enumerator's value."""
        return int(text, 0) if text[0].isdigit() else self._values[text]

    def named(self, name: str) -> Type:
        """Return the type called `name`; raises KeyError if there is none."""
        module = self.module
        if name in INTEGERS:
            return Integer(INTEGERS[name])
        if name == "bool":
            return Bool()
        if name in module.enums:
            return Enum(name)
        if name in module.typedefs:
            return self.declared(module.typedefs[name])
        if name in module.unions:
            return self._union(name)
        fields = module.structs[name]
        if len(fields) == 1:
            return self.declared(fields[0])
        return Struct(name, tuple((each.name, self.declared(each)) for each in fields))

    def declared(self, declaration: Declaration) -> Type:
        """Return the type of one field."""
        kind, bound = declaration.type_name, None
        if declaration.size:
            bound = self.number(declaration.size)
        if declaration.shape == "*":
            return Linked(self._element(kind))
        if kind in ("opaque", "string"):
            if declaration.shape == "[" and bound is not None:
                return FixedOpaque(bound)
            return Opaque(bound, bulk=kind == "opaque" and bound is None)
        if declaration.shape == "<":
            element = self.named(kind)
            if isinstance(element, Struct):
                return Array(element, bound)
            return IntegerArray(INTEGERS[kind], bound)
        return self.named(kind)

    def _element(self, name: str) -> Struct | Field:
        """Return the struct `name` without the pointer to the next that it ends in."""
        fields = tuple((each.name, self.declared(each)) for each in self.module.structs[name][:-1])
        return Struct(name, fields) if len(fields) > 1 else Field(name, fields[0][1])

    def called(self) -> set[str]:
        """Return the structs with functions of their own: used in several places, and not short."""
        module = self.module
        declarations = [each for fields in module.structs.values() for each in fields]
        declarations += [arm.declaration for union in module.unions.values() for arm in union.arms]
        uses = [each.type_name for each in declarations if each.shape != "*"]
        plain = [name for name in module.structs if uses.count(name) > 1]
        kinds = [self.named(name) for name in plain]
        return {kind.name for kind in kinds if isinstance(kind, Struct) and is_long(kind)}

    def _union(self, name: str) -> Optional | Union:
        union = self.module.unions[name]
        switch = self.named(union.discriminant.type_name)
        cases = tuple(self._case(arm) for arm in union.arms)
        if isinstance(switch, Bool):
            (inner,) = [case.type for case in cases if case.type is not None]
            return Optional(inner)
        return Union(name, union.discriminant.name, switch, cases)

    def _case(self, arm: Arm) -> Case:
        values = tuple(self.number(value) for value in arm.values)
        if arm.declaration.type_name == "void":
            return Case(values, "", None)
        return Case(values, arm.declaration.name, self.declared(arm.declaration))


def branches(kind: Type | Field | None) -> int:
    """Return how many ways through its code a value of this type has: what makes its code long."""
    match kind:
        case Optional(inner) | Array(inner, _):
            return 1 + branches(inner)
        case Struct(_, fields):
            return sum(branches(each) for _, each in fields)
        case Union(_, _, _, cases):
            return len(cases) + sum(branches(case.type) for case in cases)
    return 0


def is_long(kind: Struct) -> bool:
    """Return whether a struct's code is long enough to be better called than repeated."""
    return branches(kind) > 1 or len(kind.fields) > 8
