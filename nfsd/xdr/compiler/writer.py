"""What both writers of code share: lines, runs of fixed-size fields, names and types.

Fields of fixed size gather in a run, which becomes one call of one precompiled
`struct.Struct`; the length of what follows, or the flag of an optional, is the
last item of the run before it.  Only a branch, a loop or data of variable size
ends a run.
"""

from __future__ import annotations

import itertools
import keyword

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

WIDTH = 99
SIZES = {"i": 4, "I": 4, "q": 8, "Q": 8}
# The types that a server has at hand in packed form, and may give so; with their
# size, or None where that varies.
PACKED = {"fattr3": 84, "wcc_data": None}


def python_name(name: str) -> str:
    """`name` as an identifier: RFC 1813 calls a field `from`."""
    return f"{name}_" if keyword.iskeyword(name) else name


def layout(codes: list[str]) -> str:
    """Return the `struct` format of `codes`, with repeats counted: 5I2Q."""
    groups = [(code, len(list(same))) for code, same in itertools.groupby(codes)]
    text = ""
    for code, count in groups:
        text += code * count if count == 1 or code[0].isdigit() else f"{count}{code}"
    return text


class Writer:
    """Lines of one function, and the run of fixed-size fields that is not written yet."""

    def __init__(self, codecs: set[str], called: set[str]) -> None:
        self.lines: list[str] = []
        self._codecs = codecs  # lines that define functions for layouts
        self._called = called  # types that have functions of their own
        self._depth = 1
        self.run: list[tuple[str, str]] = []

    def line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    def indent(self, by: int) -> None:
        self._depth += by

    def call(self, head: str, items: list[str], tail: str) -> None:
        """`head` items `tail` on one line, or on several when it is too long."""
        text = head + ", ".join(items) + tail
        if len(text) + 4 * self._depth <= WIDTH:
            self.line(text)
            return
        self.line(head)
        row = ""
        for item in items:
            if row and len(row) + len(item) + 4 * self._depth + 6 > WIDTH:
                self.line("    " + row.rstrip())
                row = ""
            row += f"{item}, "
        self.line("    " + row.rstrip())
        self.line(tail)

    def packer(self, codes: list[str]) -> str:
        """Return the name of the function that packs values of these codes."""
        text = layout(codes)
        self._codecs.add(f'P_{text}: Final = struct.Struct(">{text}").pack')
        return f"P_{text}"

    def unpacker(self, codes: list[str]) -> str:
        """Return the name of the function that reads values of these codes at a position."""
        text = layout(codes)
        types = ", ".join("bytes" if code[-1] == "s" else "int" for code in codes)
        self._codecs.add(
            f"U_{text}: Final[Callable[[Buffer, int], tuple[{types}]]] = "
            f'struct.Struct(">{text}").unpack_from'
        )
        return f"U_{text}"


def annotation(kind: Type | Field) -> str:
    """Return the Python type of values of `kind`."""
    match kind:
        case Integer() | Enum():
            return "int"
        case Bool():
            return "bool"
        case FixedOpaque() | Opaque(_, False):
            return "bytes"
        case Opaque():
            return "Buffer"
        case IntegerArray():
            return "tuple[int, ...]"
        case Array(element, _):
            return f"list[{element.name}]"
        case Optional(inner):
            return f"{annotation(inner)} | None"
        case Linked(element):
            return f"list[{annotation(element)}] | bytes"
        case Field(_, inner):
            return annotation(inner)
        case Struct(name, _) if name in PACKED:
            return f"{name} | bytes"
        case Struct(name, _) | Union(name, _, _, _):
            return name
