"""Type strings, and what the serialisation needs to know of a type: alignment, fixed size, nesting.

Alignment and size are in bytes. The size is None where values of one type differ in length.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from larix.errors import Invalid

MAX_DEPTH = 128

# Alignment, which is also the size.
NUMBERS = {"b": 1, "y": 1, "n": 2, "q": 2, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}
STRINGS = "sog"
# What may be the key of a dictionary entry.
BASIC = frozenset(NUMBERS) | frozenset(STRINGS)

CACHED_LENGTH = 255


# The same type is the same object, as far as `parse` remembers it: what is made of a type is found by identity.
class Type:
    """One definite type. `kind` is the first character of its string: a letter, or one of a m ( {."""

    __slots__ = ("alignment", "children", "depth", "kind", "size", "string")

    def __init__(
        self, string: str, kind: str, children: tuple["Type", ...], alignment: int, size: int | None, depth: int
    ) -> None:
        self.string = string
        self.kind = kind
        self.children = children
        self.alignment = alignment
        self.size = size
        self.depth = depth


class Variant(NamedTuple):
    """A value together with its type string, as the type `v` holds it."""

    type: str
    value: Any


def parse(string: str) -> Type:
    """Return the type of a complete type string. Raises Invalid."""
    # Strings come from foreign bytes too: what is kept is bounded.
    return _parse_cached(string) if len(string) <= CACHED_LENGTH else _parse(string)


def _parse(string: str) -> Type:
    found, end = _parse_at(string, 0, MAX_DEPTH)
    if end != len(string):
        raise Invalid(f"GVariant type string {string[:64]!r}: text after the type")
    return found


_parse_cached = lru_cache(1024)(_parse)


def _parse_at(string: str, start: int, room: int) -> tuple[Type, int]:
    kind = string[start : start + 1]
    if kind in NUMBERS:
        return Type(kind, kind, (), NUMBERS[kind], NUMBERS[kind], 1), start + 1
    if kind and kind in STRINGS:
        return Type(kind, kind, (), 1, None, 1), start + 1
    if kind == "v":
        return Type(kind, kind, (), 8, None, 1), start + 1
    if room <= 1:
        raise Invalid(f"GVariant type string {string[:64]!r}: nested more than {MAX_DEPTH} levels")
    if kind and kind in "am":
        child, end = _parse_at(string, start + 1, room - 1)
        return Type(string[start:end], kind, (child,), child.alignment, None, child.depth + 1), end
    if kind == "(":
        children = []
        end = start + 1
        while string[end : end + 1] != ")":
            child, end = _parse_at(string, end, room - 1)
            children.append(child)
        return _tuple_type(string[start : end + 1], kind, tuple(children)), end + 1
    if kind == "{":
        if string[start + 1 : start + 2] not in BASIC:
            raise Invalid(f"GVariant type string {string[:64]!r}: a dictionary key must be a basic type")
        key, end = _parse_at(string, start + 1, room - 1)
        value, end = _parse_at(string, end, room - 1)
        if string[end : end + 1] != "}":
            raise Invalid(f"GVariant type string {string[:64]!r}: a dictionary entry is one key and one value")
        return _tuple_type(string[start : end + 1], kind, (key, value)), end + 1
    raise Invalid(f"GVariant type string {string[:64]!r}: no type at position {start}")


def _tuple_type(string: str, kind: str, children: tuple[Type, ...]) -> Type:
    alignment = max((child.alignment for child in children), default=1)
    depth = 1 + max((child.depth for child in children), default=0)
    size: int | None = 0
    for child in children:
        if size is None or child.size is None:
            size = None
        else:
            size = -(-size // child.alignment) * child.alignment + child.size
    if size is not None:
        # The unit type is one zero byte.
        size = -(-size // alignment) * alignment or 1
    return Type(string, kind, children, alignment, size, depth)


def offset_width(size: int) -> int:
    """Return how many bytes there are of one framing offset in a container of `size` bytes, offsets included."""
    if size <= 0xFF:
        return 1
    if size <= 0xFFFF:
        return 2
    return 4 if size <= 0xFFFFFFFF else 8


def needed_width(body: int, count: int) -> int:
    """Return the smallest width with which `body` bytes and `count` offsets make a container of that width."""
    for width in (1, 2, 4):
        if body + count * width < 1 << 8 * width:
            return width
    return 8
