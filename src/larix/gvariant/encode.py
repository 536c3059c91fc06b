"""Values to bytes in normal form.

The mirror of decode.py: a type becomes a closure `write(out, value, room)` that appends to one bytearray, so nothing is
copied on the way up. Padding comes from the absolute length of `out`.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from larix.errors import Corrupt, Invalid
from larix.gvariant.decode import OBJECT_PATH, STRUCTS, ZEROS, check_signature
from larix.gvariant.types import CACHED_LENGTH, MAX_DEPTH, Type, Variant, needed_width, parse

Writer = Callable[[bytearray, Any, int], None]


def encode(type_string: str, value: Any) -> bytes:
    """Return the normal form of `value`. Raises Invalid when the value is not of the type or nests too deep."""
    kind = parse(type_string)
    out = bytearray()
    writer(kind)(out, value, MAX_DEPTH - kind.depth)
    return bytes(out)


def writer(kind: Type) -> Writer:
    return _writer_cached(kind) if len(kind.string) <= CACHED_LENGTH else _writer(kind)


def _writer(kind: Type) -> Writer:
    if kind.string == "ay":
        return _write_bytes
    if kind.kind in STRUCTS:
        return _number(kind.kind)
    if kind.kind == "a":
        return _array(kind)
    if kind.kind in "({":
        return _tuple(kind)
    if kind.kind == "m":
        return _maybe(kind.children[0])
    return SIMPLE[kind.kind]


_writer_cached = lru_cache(1024)(_writer)


def _unfit(value: Any, type_string: str) -> Invalid:
    return Invalid(f"{type(value).__name__} {str(value)[:40]!r} is not a value of the GVariant type {type_string}")


def _write_byte(out: bytearray, value: Any, room: int) -> None:
    if type(value) is not int or not 0 <= value <= 255:
        raise _unfit(value, "y")
    out.append(value)


def _write_bool(out: bytearray, value: Any, room: int) -> None:
    if type(value) is not bool:
        raise _unfit(value, "b")
    out.append(value)


def _write_bytes(out: bytearray, value: Any, room: int) -> None:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _unfit(value, "ay")
    out += value


def _write_string(out: bytearray, value: Any, room: int) -> None:
    if not isinstance(value, str) or "\0" in value:
        raise _unfit(value, "s")
    try:
        out += value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{value!r} is not UTF-8") from None
    out.append(0)


def _write_path(out: bytearray, value: Any, room: int) -> None:
    if not isinstance(value, str) or not OBJECT_PATH.fullmatch(value):
        raise _unfit(value, "o")
    _write_string(out, value, room)


def _write_signature(out: bytearray, value: Any, room: int) -> None:
    try:
        check_signature(value)
    except Corrupt:
        raise _unfit(value, "g") from None
    _write_string(out, value, room)


def _write_variant(out: bytearray, value: Any, room: int) -> None:
    if not isinstance(value, Variant):
        raise _unfit(value, "v")
    kind = parse(value.type)
    room -= kind.depth
    if room < 0:
        raise Invalid(f"GVariant nested more than {MAX_DEPTH} levels")
    _pad(out, 7)
    writer(kind)(out, value.value, room)
    out.append(0)
    out += value.type.encode()


SIMPLE: dict[str, Writer] = {
    "y": _write_byte,
    "b": _write_bool,
    "s": _write_string,
    "o": _write_path,
    "g": _write_signature,
    "v": _write_variant,
}


def _number(kind: str) -> Writer:
    pack = STRUCTS[kind].pack
    mask = STRUCTS[kind].size - 1

    def write(out: bytearray, value: Any, room: int) -> None:
        _pad(out, mask)
        try:
            out += pack(value)
        except (struct.error, OverflowError):
            raise _unfit(value, kind) from None

    return write


def _pad(out: bytearray, mask: int) -> None:
    missing = -len(out) & mask
    if missing:
        out += ZEROS[:missing]


def _write_offsets(out: bytearray, start: int, ends: list[int]) -> None:
    width = needed_width(len(out) - start, len(ends))
    out += b"".join((end - start).to_bytes(width, "little") for end in ends)


def _array(kind: Type) -> Writer:
    (child,) = kind.children
    write_child = writer(child)
    mask = child.alignment - 1
    framed = child.size is None

    def write(out: bytearray, value: Any, room: int) -> None:
        if isinstance(value, Mapping):
            value = value.items()
        elif not isinstance(value, list | tuple):
            raise _unfit(value, kind.string)
        if not value:
            return
        _pad(out, mask)
        start = len(out)
        ends = []
        for element in value:
            _pad(out, mask)
            write_child(out, element, room)
            ends.append(len(out))
        if framed:
            _write_offsets(out, start, ends)

    return write


def _tuple(kind: Type) -> Writer:
    last = len(kind.children) - 1
    members = [
        (writer(child), child.alignment - 1, child.size is None and i < last) for i, child in enumerate(kind.children)
    ]
    mask = kind.alignment - 1
    fixed = kind.size is not None

    def write(out: bytearray, value: Any, room: int) -> None:
        if not isinstance(value, tuple | list) or len(value) != len(members):
            raise _unfit(value, kind.string)
        _pad(out, mask)
        start = len(out)
        ends = []
        for (write_member, member_mask, framed), member in zip(members, value, strict=True):
            _pad(out, member_mask)
            write_member(out, member, room)
            if framed:
                ends.append(len(out))
        if ends:
            _write_offsets(out, start, ends[::-1])
        elif fixed:
            if not members:
                out.append(0)
            _pad(out, mask)

    return write


def _maybe(child: Type) -> Writer:
    write_child = writer(child)
    mask = child.alignment - 1
    marked = child.size is None

    def write(out: bytearray, value: Any, room: int) -> None:
        if value is None:
            return
        if not isinstance(value, tuple) or len(value) != 1:
            raise _unfit(value, f"m{child.string}")
        _pad(out, mask)
        write_child(out, value[0], room)
        if marked:
            out.append(0)

    return write
