"""A reader of the XDR language (RFC 4506 section 6) and of RPC's programs (RFC 5531 section 12).

It reads as much of the language as the RFCs' declarations here use, and says
which line it does not understand.  Names are resolved afterwards, because the
RFCs declare programs before the types that they use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"\s+|/\*.*?\*/|(?P<token>0x[0-9a-fA-F]+|\w+|[{}()\[\]<>;:,=*])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One field: `type_name name`, with the bound of `name<bound>` or the size of `name[size]`."""

    type_name: str  # "void" has no name
    name: str
    shape: str  # "" plain, "<" variable length, "[" fixed length, "*" pointer
    size: str  # a number, a constant's name, or "" for no bound


@dataclass(frozen=True, slots=True)
class Arm:
    """The declaration chosen by some values of a union's discriminant; no values for `default`."""

    values: tuple[str, ...]
    declaration: Declaration


@dataclass(frozen=True, slots=True)
class Union:
    discriminant: Declaration
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    name: str
    number: int
    argument: str
    result: str


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    number: int
    procedures: tuple[Procedure, ...]


@dataclass(slots=True)
class Module:
    """All declarations of one file, each in the order of the file."""

    constants: dict[str, int] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    typedefs: dict[str, Declaration] = field(default_factory=dict)
    structs: dict[str, tuple[Declaration, ...]] = field(default_factory=dict)
    unions: dict[str, Union] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    order: list[str] = field(default_factory=list)  # names of constants and types


def tokens(text: str) -> list[str]:
    """Return the words and signs of `text`; raises SyntaxError at anything else."""
    found: list[str] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise SyntaxError(f"line {line}: {text[position : position + 20]!r}")
        if match["token"]:
            found.append(match["token"])
        position = match.end()
    return found


class Reader:
    """Reads the declarations of one file, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self.module = Module()

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _expect(self, *signs: str) -> None:
        for sign in signs:
            found = self._next()
            if found != sign:
                before = " ".join(self._tokens[max(0, self._at - 8) : self._at])
                raise SyntaxError(f"{sign!r} expected, found {found!r} after {before!r}")

    def read(self) -> Module:
        """Return the declarations; raises SyntaxError."""
        readers = {
            "const": self._constant,
            "enum": self._enum,
            "typedef": self._typedef,
            "struct": self._struct,
            "union": self._union,
            "program": self._program,
        }
        while self._at < len(self._tokens):
            word = self._next()
            if word not in readers:
                raise SyntaxError(f"{word!r} where a declaration begins")
            readers[word]()
        return self.module

    def _constant(self) -> None:
        name = self._next()
        self._expect("=")
        self.module.constants[name] = int(self._next(), 0)
        self._expect(";")
        self.module.order.append(name)

    def _enum(self) -> None:
        name = self._next()
        self._expect("{")
        members: dict[str, int] = {}
        while True:
            member = self._next()
            self._expect("=")
            members[member] = int(self._next(), 0)
            if self._next() == "}":
                break
        self._expect(";")
        self.module.enums[name] = members
        self.module.order.append(name)

    def _typedef(self) -> None:
        declaration = self._declaration()
        self.module.typedefs[declaration.name] = declaration
        self.module.order.append(declaration.name)

    def _struct(self) -> None:
        name = self._next()
        self._expect("{")
        fields = []
        while self._peek() != "}":
            fields.append(self._declaration())
        self._expect("}", ";")
        self.module.structs[name] = tuple(fields)
        self.module.order.append(name)

    def _type_name(self) -> str:
        word = self._next()
        if word == "struct":
            return self._next()
        if word != "unsigned":
            return word
        if self._peek() in ("int", "long", "hyper"):
            return f"unsigned {self._next()}"
        return "unsigned int"

    def _declaration(self) -> Declaration:
        type_name = self._type_name()
        if type_name == "void":
            self._expect(";")
            return Declaration("void", "", "", "")
        shape = size = ""
        if self._peek() == "*":
            shape = self._next()
        name = self._next()
        if self._peek() in ("<", "["):
            shape = self._next()
            end = ">" if shape == "<" else "]"
            if self._peek() != end:
                size = self._next()
            self._expect(end)
        self._expect(";")
        return Declaration(type_name, name, shape, size)

    def _union(self) -> None:
        name = self._next()
        self._expect("switch", "(")
        discriminant = Declaration(self._type_name(), self._next(), "", "")
        self._expect(")", "{")
        arms: list[Arm] = []
        while self._peek() != "}":
            values: list[str] = []
            while self._peek() == "case":
                self._expect("case")
                values.append(self._next())
                self._expect(":")
            if not values:
                self._expect("default", ":")
            arms.append(Arm(tuple(values), self._declaration()))
        self._expect("}", ";")
        self.module.unions[name] = Union(discriminant, tuple(arms))
        self.module.order.append(name)

    def _program(self) -> None:
        name = self._next()
        self._expect("{")
        while self._peek() == "version":
            self._expect("version")
            self._version()
        self._expect("}", "=")
        self.module.constants[name] = int(self._next(), 0)
        self.module.order.append(name)
        self._expect(";")

    def _version(self) -> None:
        name = self._next()
        self._expect("{")
        procedures: list[Procedure] = []
        while self._peek() != "}":
            result = self._next()
            procedure = self._next()
            self._expect("(")
            argument = self._next()
            self._expect(")", "=")
            procedures.append(Procedure(procedure, int(self._next(), 0), argument, result))
            self._expect(";")
        self._expect("}", "=")
        self.module.versions.append(Version(name, int(self._next(), 0), tuple(procedures)))
        self._expect(";")
        self.module.constants[name] = self.module.versions[-1].number
        self.module.order.append(name)
