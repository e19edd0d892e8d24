"""Writes the body of one pack function as straight-line Python."""

from __future__ import annotations

from nfsd.xdr.compiler.types import (
    Array,
    Bool,
    Case,
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
from nfsd.xdr.compiler.writer import PACKED, Writer, python_name


class Packer(Writer):
    """Writes code that appends a value's parts to `parts`, in order."""

    def flush(self) -> None:
        run, self.run = self.run, []
        if not run:
            return
        if all(value.isdigit() and code == "I" for code, value in run):
            constant = b"".join(int(value).to_bytes(4, "big") for _, value in run)
            self.line(f"parts.append({constant!r})")
            return
        pack = self.packer([code for code, _ in run])
        self.call(f"parts.append({pack}(", [value for _, value in run], "))")

    def value(self, kind: Type | Field, text: str) -> None:
        """Code for the value that the expression `text` stands for."""
        match kind:
            case Integer(code):
                self.run.append((code, text))
            case Bool() | Enum():
                self.run.append(("I", text))
            case FixedOpaque(size):
                self.run.append((f"{size}s", text))
            case Opaque(bound, _):
                self._opaque(bound, text)
            case IntegerArray(code, bound):
                self._integers(code, bound, text)
            case Array(element, bound):
                self._array(element, bound, text)
            case Optional(inner):
                self._optional(inner, text)
            case Linked(element):
                self._linked(element, text)
            case Field(_, inner):
                self.value(inner, text)
            case Struct():
                self._struct(kind, text)
            case Union():
                self._union(kind, text)

    def _local(self, text: str) -> str:
        """Return a local variable for an expression that is used more than once."""
        name = python_name(text.removeprefix("value.").replace(".", "_"))
        if name != text:
            self.line(f"{name} = {text}")
        return name

    def _bound(self, length: str, bound: int | None) -> None:
        if bound is not None:
            self.line(f"if {length} > {bound}:")
            self.line(f'    raise XdrError(f"{length} of {{{length}}} where {bound} is the bound")')

    def _opaque(self, bound: int | None, text: str) -> None:
        name = self._local(text)
        length = f"{name}_length"
        self.line(f"{length} = len({name})")
        self._bound(length, bound)
        self.run.append(("I", length))
        self.flush()
        self.line(f"parts.append({name})")
        self.line(f"if {length} & 3:")
        self.line(f"    parts.append(PADDING[{length} & 3])")

    def _array(self, element: Struct, bound: int | None, text: str) -> None:
        name = self._local(text)
        length = f"{name}_length"
        self.line(f"{length} = len({name})")
        self._bound(length, bound)
        self.run.append(("I", length))
        self.flush()
        self._branch(f"for {name}_each in {name}:", [])
        self.value(element, f"{name}_each")
        self._end()

    def _integers(self, code: str, bound: int | None, text: str) -> None:
        name = self._local(text)
        length = f"{name}_length"
        self.line(f"{length} = len({name})")
        self._bound(length, bound)
        self.run.append(("I", length))
        self.flush()
        self.line(f'parts.append(struct.pack(f">{{{length}}}{code}", *{name}))')

    def _branch(self, head: str, run: list[tuple[str, str]]) -> None:
        self.line(head)
        self.indent(1)
        self.run = run

    def _end(self) -> None:
        self.flush()
        self.indent(-1)

    def _optional(self, inner: Type, text: str) -> None:
        name, before = self._local(text), self.run
        self._branch(f"if {name} is not None:", [*before, ("I", "1")])
        self.value(inner, name)
        self._end()
        self._branch("else:", [*before, ("I", "0")])
        self._end()

    def _linked(self, element: Struct | Field, text: str) -> None:
        name = self._local(text)
        self.flush()
        self.line(f"if isinstance({name}, bytes):")
        self.line(f"    parts.append({name})")
        self.line("else:")
        self.line(f"    for {element.name} in {name}:")
        self.line(f"        pack_{element.name}({element.name}, parts)")
        self.run = [("I", "0")]

    def _struct(self, kind: Struct, text: str) -> None:
        if kind.name in PACKED:
            self._packed(kind.name, self._local(text))
        elif kind.name in self._called:
            self.flush()
            self.line(f"pack_{kind.name}({text}, parts)")
        else:
            self.fields(kind, text)

    def _packed(self, kind: str, name: str) -> None:
        size = PACKED[kind]
        if size is not None:
            self.line(f"if not isinstance({name}, bytes):")
            self.line(f"    {name} = encode(pack_{kind}, {name})")
            self.run.append((f"{size}s", name))
        else:
            self.flush()
            self.line(f"if isinstance({name}, bytes):")
            self.line(f"    parts.append({name})")
            self.line("else:")
            self.line(f"    pack_{kind}({name}, parts)")

    def fields(self, kind: Struct, text: str) -> None:
        """Code for each field of a struct."""
        for name, each in kind.fields:
            self.value(each, f"{text}.{python_name(name)}")

    def _union(self, kind: Union, text: str) -> None:
        switch, before = self._local(f"{text}.{kind.discriminant}"), self.run
        word = "if"
        for case in kind.cases:
            if case.values:
                several = ", ".join(map(str, case.values))
                test = f"== {several}" if len(case.values) == 1 else f"in ({several})"
                flag = several if len(case.values) == 1 else switch
                self._branch(f"{word} {switch} {test}:", [*before, ("I", flag)])
            else:
                self._branch("else:", [*before, ("I", switch)])
            self._case(case, text)
            self._end()
            word = "elif"
        if kind.cases[-1].values:
            self.line("else:")
            self.line(f'    raise XdrError(f"{kind.name} of {{{switch}}}")')

    def _case(self, case: Case, text: str) -> None:
        if case.type is None:
            return
        name = self._local(f"{text}.{python_name(case.name)}")
        if not isinstance(case.type, Optional):
            self.line(f"if {name} is None:")
            self.line(f'    raise XdrError("{case.name} is missing")')
        self.value(case.type, name)
