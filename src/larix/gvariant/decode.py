"""Bytes to values, refusing all that is not normal form.

A type is turned once into a closure `read(data, start, end, room)`, made of its children's closures; `room` is what is
still allowed: nesting, which only variants use up at run time, and memory, which arrays do. Positions are absolute: a
container starts aligned to its strictest child, so what is aligned inside it is aligned in the whole. Every byte is
looked at a bounded number of times: a container hands disjoint ranges to its children, and nesting is bounded.
"""

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from larix.errors import Corrupt, Invalid
from larix.gvariant.types import CACHED_LENGTH, MAX_DEPTH, Type, Variant, needed_width, offset_width, parse


class Room:
    """`depth` in levels. `memory` in bytes, roughly what the values of arrays take."""

    __slots__ = ("depth", "memory")

    def __init__(self, depth: int, memory: int) -> None:
        self.depth = depth
        self.memory = memory


Reader = Callable[[bytes, int, int, Room], Any]

FORMATS = {"n": "<h", "q": "<H", "i": "<i", "h": "<i", "u": "<I", "x": "<q", "t": "<Q", "d": "<d"}
STRUCTS = {kind: struct.Struct(form) for kind, form in FORMATS.items()}
OBJECT_PATH = re.compile(r"/|(/[A-Za-z0-9_]+)+")
ZEROS = bytes(8)
# A byte of an a((((y)))) becomes several objects, and foreign bytes choose their type. What OSTree itself writes takes
# less than a third of this for each byte.
EXPANSION = 20
# Small values may have any type.
FREE_MEMORY = 1 << 20


def decode(type_string: str, data: bytes) -> Any:
    """Return the value that `data` is the normal form of.

    Raises Corrupt when it is none, or would take more than 20 times the memory of `data`; Invalid for a bad type
    string.
    """
    kind = parse(type_string)
    room = Room(MAX_DEPTH - kind.depth, FREE_MEMORY + EXPANSION * len(data))
    return reader(kind)(data, 0, len(data), room)


def reader(kind: Type) -> Reader:
    return _reader_cached(kind) if len(kind.string) <= CACHED_LENGTH else _reader(kind)


def _reader(kind: Type) -> Reader:
    if kind.string == "ay":
        return _read_bytes
    if kind.kind in STRUCTS:
        return _number(STRUCTS[kind.kind])
    if kind.kind == "a":
        (child,) = kind.children
        return _fixed_array(child, child.size) if child.size is not None else _array(child)
    if kind.kind in "({":
        return _tuple(kind)
    if kind.kind == "m":
        return _maybe(kind.children[0])
    return SIMPLE[kind.kind]


_reader_cached = lru_cache(1024)(_reader)


def _refuse(what: str) -> NoReturn:
    raise Corrupt(f"malformed GVariant: {what}")


def _read_byte(data: bytes, start: int, end: int, room: Room) -> int:
    if end - start != 1:
        _refuse("wrong size of a byte")
    return data[start]


def _read_bool(data: bytes, start: int, end: int, room: Room) -> bool:
    if end - start != 1 or data[start] > 1:
        _refuse("a boolean that is neither 0 nor 1")
    return data[start] == 1


def _read_bytes(data: bytes, start: int, end: int, room: Room) -> bytes:
    return data[start:end]


def _read_string(data: bytes, start: int, end: int, room: Room) -> str:
    if start == end or data.find(0, start, end) != end - 1:
        _refuse("a string must end with its only NUL byte")
    try:
        return data[start : end - 1].decode()
    except UnicodeDecodeError:
        _refuse("a string that is not UTF-8")


def _read_path(data: bytes, start: int, end: int, room: Room) -> str:
    text = _read_string(data, start, end, room)
    if not OBJECT_PATH.fullmatch(text):
        _refuse("not an object path")
    return text


def _read_signature(data: bytes, start: int, end: int, room: Room) -> str:
    text = _read_string(data, start, end, room)
    check_signature(text)
    return text


def check_signature(text: str) -> None:
    """Raise Corrupt unless `text` is a sequence of complete types that D-Bus knows, so without `m`."""
    try:
        if "m" in text:
            raise Invalid("maybe types are not known to D-Bus")
        parse(f"({text})")
    except Invalid:
        _refuse("not a signature")


def _read_variant(data: bytes, start: int, end: int, room: Room) -> Variant:
    # The last NUL separates value and type string.
    mark = data.rfind(0, start, end)
    if mark < 0:
        _refuse("a variant without a type")
    try:
        string = data[mark + 1 : end].decode("ascii")
        kind = parse(string)
    except (UnicodeDecodeError, Invalid):
        _refuse("a variant with an invalid type string")
    room.depth -= kind.depth
    if room.depth < 0:
        _refuse(f"nested more than {MAX_DEPTH} levels")
    value = reader(kind)(data, start, mark, room)
    room.depth += kind.depth
    return Variant(string, value)


SIMPLE: dict[str, Reader] = {
    "y": _read_byte,
    "b": _read_bool,
    "s": _read_string,
    "o": _read_path,
    "g": _read_signature,
    "v": _read_variant,
}


def _number(form: struct.Struct) -> Reader:
    def read(data: bytes, start: int, end: int, room: Room) -> Any:
        if end - start != form.size:
            _refuse("wrong size of a number")
        return form.unpack_from(data, start)[0]

    return read


def _weight(kind: Type) -> int:
    """Return how many bytes of memory that the shortest value takes in a list."""
    if kind.kind in "({":
        return 64 + sum(_weight(child) for child in kind.children)
    return 8 + WEIGHTS.get(kind.kind, 32)


# Small integers, booleans and None are there once; of a maybe the present value counts, since it may be as short.
WEIGHTS = {"y": 0, "b": 0, "s": 50, "o": 50, "g": 50, "v": 90, "a": 72, "m": 64}


def _take(room: Room, count: int, weight: int) -> None:
    room.memory -= 64 + count * weight
    if room.memory < 0:
        _refuse(f"its values take more than {EXPANSION} times the memory of its bytes")


def _fixed_array(child: Type, size: int) -> Reader:
    read_child = reader(child)
    weight = _weight(child)

    def read(data: bytes, start: int, end: int, room: Room) -> list[Any]:
        if (end - start) % size:
            _refuse("an array whose size is no multiple of its element's")
        _take(room, (end - start) // size, weight)
        return [read_child(data, at, at + size, room) for at in range(start, end, size)]

    return read


def _array(child: Type) -> Reader:
    read_child = reader(child)
    mask = child.alignment - 1
    weight = _weight(child)

    def read(data: bytes, start: int, end: int, room: Room) -> list[Any]:
        if start == end:
            return []
        width = offset_width(end - start)
        # The last offset is the end of the last element, which is where the offsets begin.
        table = start + int.from_bytes(data[end - width : end], "little")
        if table >= end or (end - table) % width:
            _refuse("an array's offsets do not fill the space after its elements")
        count = (end - table) // width
        if needed_width(table - start, count) != width:
            _refuse("offsets wider than needed")
        _take(room, count, weight)
        values = []
        at = start
        for offset in offsets(data, table, end, width):
            stop = start + offset
            begin = (at + mask) & ~mask
            if not begin <= stop <= table:
                _refuse("an array's offsets are out of order")
            if begin != at and data[at:begin] != ZEROS[: begin - at]:
                _refuse("padding that is not zero")
            values.append(read_child(data, begin, stop, room))
            at = stop
        return values

    return read


def offsets(data: bytes, start: int, end: int, width: int) -> memoryview | tuple[int, ...]:
    """Return the framing offsets in data[start:end], each of `width` bytes."""
    if width == 1:
        return memoryview(data)[start:end]
    return struct.unpack_from(f"<{(end - start) // width}{'HIQ'[width // 4]}", data, start)


def _tuple(kind: Type) -> Reader:
    size = kind.size
    # The last member needs no offset: it ends where the offsets begin.
    last = len(kind.children) - 1
    members = [
        (reader(child), child.alignment - 1, child.size, child.size is None and i < last)
        for i, child in enumerate(kind.children)
    ]
    count = sum(framed for *_, framed in members)

    def read(data: bytes, start: int, end: int, room: Room) -> tuple[Any, ...]:
        if size is not None and end - start != size:
            _refuse("wrong size of a tuple")
        width = offset_width(end - start)
        table = end - count * width
        if count and (table < start or needed_width(table - start, count) != width):
            _refuse("a tuple's offsets do not fit")
        values = []
        at = start
        mark = end
        for read_member, mask, member_size, framed in members:
            begin = (at + mask) & ~mask
            if member_size is not None:
                stop = begin + member_size
            elif framed:
                stop = start + int.from_bytes(data[mark - width : mark], "little")
                mark -= width
            else:
                stop = table
            if not begin <= stop <= table:
                _refuse("a tuple's members do not fit")
            if begin != at and data[at:begin] != ZEROS[: begin - at]:
                _refuse("padding that is not zero")
            values.append(read_member(data, begin, stop, room))
            at = stop
        # Only a tuple of fixed size has padding at its end.
        if at != table and (size is None or data[at:table] != ZEROS[: table - at]):
            _refuse("bytes after the last member of a tuple")
        return tuple(values)

    return read


def _maybe(child: Type) -> Reader:
    read_child = reader(child)
    # One zero byte marks a present value of variable size; a value of fixed size is known by being there.
    mark = 1 if child.size is None else 0

    def read(data: bytes, start: int, end: int, room: Room) -> tuple[Any] | None:
        if start == end:
            return None
        if mark and data[end - 1]:
            _refuse("a maybe without its zero byte")
        return (read_child(data, start, end - mark, room),)

    return read
