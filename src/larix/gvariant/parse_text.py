"""GVariant text to values, as GLib reads it: what people give with `--add-metadata=KEY=VALUE`.

Text is taken apart into nodes first. Where no type is named, a node has a pattern: a type with gaps, `N` for any
number, `S` for any kind of string, `*` for anything. Elements of an array fill each other's gaps; what is left open
becomes a 32-bit number or a string.
"""

import math
import re
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

from larix.errors import Corrupt, Invalid
from larix.gvariant.decode import OBJECT_PATH, STRUCTS, check_signature
from larix.gvariant.types import MAX_DEPTH, Type, Variant, parse

TYPE_WORDS = {
    "boolean": "b", "byte": "y", "int16": "n", "uint16": "q", "int32": "i", "uint32": "u", "int64": "x", "uint64": "t",
    "handle": "h", "double": "d", "string": "s", "objectpath": "o", "signature": "g",
}  # fmt: skip
# What is quoted is matched without a way back, for which each character would cost two hundred bytes.
QUOTED = r"""(?:'(?:\\.|[^'\\]++)*+'|"(?:\\.|[^"\\]++)*+")"""
TOKEN = re.compile(
    rf"""\s*(?:(?P<bytes>b{QUOTED})|(?P<string>{QUOTED})"""
    r"""|@(?P<type>[a-z(){}]+)|(?P<sign>[\[\](){}<>,:])|(?P<word>[-+.\w]++))""",
    re.DOTALL,
)
STRING_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^uU])", re.DOTALL)
BYTES_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)", re.DOTALL)
INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
FLOAT = re.compile(r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|inf|nan)")
CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
NUMBERS = "ynqiuxthd"
STRINGS = "sog"

# A letter, or a container's letter with the patterns of what is inside.
Pattern = str | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """`kind` is the pattern's letter, `b` and the like for what is definite, or `@` for a value whose type is named."""

    kind: str
    value: Any = None


def from_text(text: str) -> Variant:
    """Return the value that `text` describes, with its type. Raises Invalid."""
    reader = _Reader(text)
    node = reader.value(MAX_DEPTH)
    reader.end()
    kind = parse(_definite(_pattern(node)))
    return Variant(kind.string, _convert(node, kind))


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: re.Match[str] | None = None
        self._next()

    def _next(self) -> None:
        if self._found is not None:
            self._at = self._found.end()
        self._found = TOKEN.match(self._text, self._at)

    def _refuse(self) -> NoReturn:
        rest = self._text[self._at :].strip()
        where = f"at {rest[:40]!r}" if rest else "at its end"
        raise Invalid(f"{self._text[:80]!r} is not a GVariant value: a value was expected {where}")

    def end(self) -> None:
        if self._text[self._at :].strip():
            self._refuse()

    def _sign(self, sign: str) -> bool:
        """Pass this if it is next; return whether it was."""
        if self._found is None or self._found["sign"] != sign:
            return False
        self._next()
        return True

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            self._refuse()

    def value(self, room: int) -> _Node:
        found = self._found
        if found is None or not room:
            self._refuse()
        if (string := found["type"]) is not None:
            self._next()
            return _Node("@", (parse(string), self.value(room - 1)))
        if (quoted := found["string"]) is not None:
            self._next()
            return _Node("S", _unquoted(quoted[1:-1]))
        if (quoted := found["bytes"]) is not None:
            self._next()
            return _Node("bytes", _unquoted_bytes(quoted[2:-1]))
        if (word := found["word"]) is not None:
            return self._word(word, room)
        return self._container(room)

    def _word(self, word: str, room: int) -> _Node:
        if word in ("true", "false"):
            self._next()
            return _Node("b", word == "true")
        if word in TYPE_WORDS:
            self._next()
            return _Node("@", (parse(TYPE_WORDS[word]), self.value(room - 1)))
        if word in ("just", "nothing"):
            self._next()
            return _Node("m", self.value(room - 1) if word == "just" else None)
        number = _number(word)
        if number is None:
            self._refuse()
        self._next()
        return _Node("d" if isinstance(number, float) else "N", number)

    def _container(self, room: int) -> _Node:
        if self._sign("["):
            return _Node("a", self._values("]", room))
        if self._sign("("):
            return _Node("(", self._values(")", room))
        if self._sign("<"):
            inner = self.value(room - 1)
            self._need(">")
            return _Node("v", inner)
        self._need("{")
        if self._sign("}"):
            return _Node("a", [])
        key = self.value(room - 1)
        if self._sign(","):
            entry = _Node("{", (key, self.value(room - 1)))
            self._need("}")
            return entry
        entries = []
        while True:
            self._need(":")
            entries.append(_Node("{", (key, self.value(room - 1))))
            if not self._sign(","):
                break
            key = self.value(room - 1)
        self._need("}")
        return _Node("a", entries)

    def _values(self, end: str, room: int) -> list[_Node]:
        values: list[_Node] = []
        while not self._sign(end):
            if values:
                self._need(",")
                # The comma that makes a tuple of one.
                if end == ")" and len(values) == 1 and self._sign(end):
                    break
            values.append(self.value(room - 1))
        return values


def _number(word: str) -> int | float | None:
    if FLOAT.fullmatch(word):
        value = float(word)
        return None if math.isinf(value) and "inf" not in word else value
    if not INTEGER.fullmatch(word):
        return None
    # As in C, a number that begins with 0 is octal.
    octal = word.lstrip("+-")[:1] == "0" and word.lstrip("+-").isdigit()
    try:
        return int(word, 8 if octal else 0)
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "uU":
            try:
                return chr(int(escape[1:], 16))
            except ValueError:
                raise Invalid(f"\\{escape} is no character") from None
        return "" if escape == "\n" else CONTROL.get(escape, escape)

    found = STRING_ESCAPE.sub(one, text)
    if "\0" in found or any("\ud800" <= character <= "\udfff" for character in found):
        raise Invalid("a GVariant string with a NUL or half a character")
    return found


def _unquoted_bytes(text: str) -> bytes:
    def one(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "01234567":
            byte = int(escape, 8) & 0xFF
            return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
        return "" if escape == "\n" else CONTROL.get(escape, escape)

    # Octal bytes go through as surrogates, so that other text is UTF-8.
    try:
        return BYTES_ESCAPE.sub(one, text).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Invalid("a GVariant bytestring with half a character") from None


def _pattern(node: _Node) -> Pattern:
    if node.kind == "@":
        return _pattern_of(node.value[0])
    if node.kind == "bytes":
        return ("a", "y")
    if node.kind == "a":
        inner: Pattern = "*"
        for element in node.value:
            inner = _common(inner, _pattern(element))
        return ("a", inner)
    if node.kind == "m":
        return ("m", "*" if node.value is None else _pattern(node.value))
    if node.kind in "({":
        return (node.kind, *map(_pattern, node.value))
    return node.kind


def _pattern_of(kind: Type) -> Pattern:
    return (kind.kind, *map(_pattern_of, kind.children)) if kind.kind in "am({" else kind.kind


def _common(one: Pattern, other: Pattern) -> Pattern:
    """Return what fills the gaps of both. Raises Invalid."""
    for a, b in (one, other), (other, one):
        if a in (b, "*"):
            return b
        if (a == "N" and isinstance(b, str) and b in NUMBERS) or (a == "S" and isinstance(b, str) and b in STRINGS):
            return b
    if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0] and len(one) == len(other):
        return (one[0], *map(_common, one[1:], other[1:]))
    for a, b in (one, other), (other, one):
        # A value that is there need not say `just`.
        if a[0] == "m" and b[0] != "m":
            return ("m", _common(a[1], b))
    raise Invalid("the elements of a GVariant array have no common type")


def _definite(pattern: Pattern) -> str:
    if isinstance(pattern, tuple):
        kind = str(pattern[0])
        return kind + "".join(map(_definite, pattern[1:])) + {"(": ")", "{": "}"}.get(kind, "")
    if pattern == "*":
        raise Invalid("the type of an empty GVariant container must be named, as in `@as []`")
    return {"N": "i", "S": "s"}.get(pattern, pattern)


def _convert(node: _Node, kind: Type) -> Any:
    value = node.value
    if node.kind == "@":
        named, inner = value
        if named.string != kind.string:
            raise Invalid(f"a GVariant value of type {named.string} where one of type {kind.string} is needed")
        return _convert(inner, kind)
    if kind.kind == "m":
        if node.kind != "m":
            return (_convert(node, kind.children[0]),)
        return None if value is None else (_convert(value, kind.children[0]),)
    if kind.kind == "v" and node.kind == "v":
        inner_kind = parse(_definite(_pattern(value)))
        return Variant(inner_kind.string, _convert(value, inner_kind))
    if kind.kind == "a" and node.kind == "a":
        elements = [_convert(element, kind.children[0]) for element in value]
        return bytes(elements) if kind.string == "ay" else elements
    if kind.string == "ay" and node.kind == "bytes":
        return value + b"\0"
    if kind.kind in "({" and node.kind == kind.kind and len(value) == len(kind.children):
        return tuple(map(_convert, value, kind.children))
    return _convert_basic(node, kind)


def _convert_basic(node: _Node, kind: Type) -> Any:
    value = node.value
    if node.kind == "b" and kind.kind == "b":
        return value
    if node.kind == "S" and kind.kind in STRINGS:
        if kind.kind == "o" and not OBJECT_PATH.fullmatch(value):
            raise Invalid(f"{value!r} is not an object path")
        if kind.kind == "g":
            try:
                check_signature(value)
            except Corrupt:
                raise Invalid(f"{value!r} is not a signature") from None
        return value
    if node.kind == "N" and kind.kind == "y" and 0 <= value <= 0xFF:
        return value
    if node.kind in "Nd" and kind.kind == "d":
        return float(value) if math.isnan(value) or abs(value) <= 1 << 1023 else math.copysign(math.inf, value)
    if node.kind == "N" and kind.kind in STRUCTS:
        try:
            STRUCTS[kind.kind].pack(value)
        except struct.error:
            raise Invalid(f"{value} is out of range for type {kind.string}") from None
        return value
    raise Invalid(f"a GVariant value that is not of type {kind.string}")
