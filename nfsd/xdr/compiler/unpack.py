"""Writes the body of one unpack function as straight-line Python."""

from __future__ import annotations

from nfsd.xdr.compiler.types import (
    Array,
    Bool,
    Enum,
    Field,
    FixedOpaque,
    Integer,
    IntegerArray,
    Linked,
    Opaque,
    Optional,
    Struct,
    Type,
    Union,
)
from nfsd.xdr.compiler.writer import SIZES, WIDTH, Writer, annotation, python_name


class Unpacker(Writer):
    """Writes code that reads a value from `buffer` at `at`."""

    def __init__(self, codecs: set[str], called: set[str]) -> None:
        super().__init__(codecs, called)
        self._checks: list[str] = []

    def flush(self) -> None:
        run, self.run = self.run, []
        checks, self._checks = self._checks, []
        if not run:
            return
        codes = [code for code, _ in run]
        targets = [target for _, target in run]
        size = sum(SIZES.get(code) or int(code[:-1]) for code in codes)
        unpack = self.unpacker(codes)
        if len(targets) == 1:
            self.line(f"({targets[0]},) = {unpack}(buffer, at)")
        elif len(", ".join(targets)) > WIDTH - 40 - 4 * self._depth:
            self.call("(", targets, f") = {unpack}(buffer, at)")
        else:
            self.line(f"{', '.join(targets)} = {unpack}(buffer, at)")
        self.line(f"at += {size}")
        for check in checks:
            self.line(check)

    def value(self, kind: Type | Field, name: str) -> str:
        """Code that reads a value; the expression of locals that stands for it after a flush."""
        match kind:
            case Integer(code):
                self.run.append((code, name))
                return name
            case FixedOpaque(size):
                self.run.append((f"{size}s", name))
                return name
            case Bool():
                self.run.append(("I", name))
                self._check(f"{name} > 1", "bool", name)
                return f"{name} == 1"
            case Enum(enum):
                self.run.append(("I", name))
                self._check(f"{name} not in {enum.upper()}_VALUES", enum, name)
                return name
            case Opaque(bound, bulk):
                return self._opaque(bound, bulk, name)
            case IntegerArray(code, bound):
                return self._integers(code, bound, name)
            case Array(element, bound):
                return self._array(element, bound, name)
            case Optional(inner):
                return self._optional(inner, name)
            case Linked(element):
                return self._linked(element, name)
            case Field(_, inner):
                return self.value(inner, name)
            case Struct():
                return self._struct(kind, name)
            case Union():
                return self._union(kind, name)

    def _check(self, test: str, kind: str, name: str) -> None:
        self._checks.append(f"if {test}:")
        self._checks.append(f'    raise XdrError(f"{kind} of {{{name}}}")')

    def _length(self, bound: int | None, name: str) -> str:
        length = f"{name}_length"
        self.run.append(("I", length))
        if bound is not None:
            self._check(f"{length} > {bound}", f"{name} length", length)
        self.flush()
        return length

    def _opaque(self, bound: int | None, bulk: bool, name: str) -> str:
        length = self._length(bound, name)
        view = f"memoryview(buffer)[at : at + {length}]"
        copy = f"taken(buffer, at, {length})"
        self.line(f"{name} = {view if bulk else copy}")
        self.line(f"at += ({length} + 3) & -4")
        return name

    def _array(self, element: Struct, bound: int | None, name: str) -> str:
        length = self._length(bound, name)
        self.line(f"{name}: list[{element.name}] = []")
        self.line(f"for _ in range({length}):")
        self.indent(1)
        each = self.value(element, f"{name}_each")
        self.flush()
        self.line(f"{name}.append({each})")
        self.indent(-1)
        return name

    def _integers(self, code: str, bound: int | None, name: str) -> str:
        length = self._length(bound, name)
        self.line(f'{name} = struct.unpack_from(f">{{{length}}}{code}", buffer, at)')
        self.line(f"at += {length} * {SIZES[code]}")
        return name

    def _optional(self, inner: Type, name: str) -> str:
        flag = f"{name}_follows"
        self.run.append(("I", flag))
        self.flush()
        self.line(f"{name}: {annotation(inner)} | None = None")
        self.line(f"if {flag} == 1:")
        self.indent(1)
        text = self.value(inner, f"{name}_value" if not isinstance(inner, Struct) else name)
        self.flush()
        self.line(f"{name} = {text}")
        self.indent(-1)
        self.line(f"elif {flag}:")
        self.line(f'    raise XdrError(f"bool of {{{flag}}}")')
        return name

    def _linked(self, element: Struct | Field, name: str) -> str:
        follows = f"{name}_follows"
        self.run.append(("I", follows))
        self.flush()
        kind = element if isinstance(element, Struct) else element.type
        self.line(f"{name}: list[{annotation(kind)}] = []")
        self.line(f"while {follows} == 1:")
        self.indent(1)
        inner = self.value(element, element.name)
        self.run.append(("I", follows))
        self.flush()
        self.line(f"{name}.append({inner})")
        self.indent(-1)
        self.line(f"if {follows}:")
        self.line(f'    raise XdrError(f"bool of {{{follows}}}")')
        return name

    def _struct(self, kind: Struct, name: str) -> str:
        if kind.name in self._called:
            self.flush()
            self.line(f"{name}, at = unpack_{kind.name}(buffer, at)")
            return name
        return self.fields(kind, name)

    def fields(self, kind: Struct, prefix: str) -> str:
        """Code for each field of a struct, and the call that makes it."""
        dot = f"{prefix}_" if prefix else ""
        items = [self.value(each, python_name(f"{dot}{name}")) for name, each in kind.fields]
        return f"{kind.name}({', '.join(items)})"

    def _union(self, kind: Union, name: str) -> str:
        switch = f"{name}_{kind.discriminant}"
        self.run.append(("I", switch))
        self.flush()
        word = "if"
        # An enumerated discriminant that `default` takes must still be one of its values.
        if isinstance(kind.switch, Enum) and not kind.cases[-1].values:
            self.line(f"if {switch} not in {kind.switch.name.upper()}_VALUES:")
            self.line(f'    raise XdrError(f"{kind.switch.name} of {{{switch}}}")')
        for case in kind.cases:
            several = ", ".join(map(str, case.values))
            test = f"== {several}" if len(case.values) == 1 else f"in ({several})"
            self.line(f"{word} {switch} {test}:" if case.values else "else:")
            self.indent(1)
            given = ""
            if case.type is not None:
                field = self.value(case.type, f"{name}_{case.name}")
                given = f", {python_name(case.name)}={field}"
            self.flush()
            self.line(f"{name} = {kind.name}({switch}{given})")
            self.indent(-1)
            word = "elif"
        if kind.cases[-1].values:
            self.line("else:")
            self.line(f'    raise XdrError(f"{kind.name} of {{{switch}}}")')
        return name
