"""Values as GVariant text, as GLib prints them: what `show --raw` and metadata keys print."""

from typing import Any

from larix.gvariant.decode import STRUCTS
from larix.gvariant.types import Type, Variant, parse

WORDS = {"y": "byte", "n": "int16", "q": "uint16", "u": "uint32", "h": "handle", "x": "int64", "t": "uint64"}
ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def to_text(type_string: str, value: Any, *, annotate: bool = True) -> str:
    """Return the text form. With `annotate`, that alone tells the type: `uint64 7`, `@as []`."""
    return _text(parse(type_string), value, annotate)


def byteswapped(type_string: str, value: Any) -> Any:
    """Return the value with the bytes of every number in reverse: objects hold big-endian numbers, GVariant reads
    little."""
    return _swapped(parse(type_string), value)


def _text(kind: Type, value: Any, annotate: bool) -> str:
    if kind.kind == "v":
        return f"<{_text(parse(value.type), value.value, True)}>"
    if kind.kind == "a":
        return _array(kind, value, annotate)
    if kind.kind == "m":
        return _maybe(kind, value, annotate)
    if kind.kind == "(":
        parts = [_text(child, member, annotate) for child, member in zip(kind.children, value, strict=True)]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if kind.kind == "{":
        parts = [_text(child, member, annotate) for child, member in zip(kind.children, value, strict=True)]
        return f"{{{', '.join(parts)}}}"
    return _basic(kind.kind, value, annotate)


def _array(kind: Type, value: Any, annotate: bool) -> str:
    (child,) = kind.children
    if kind.string == "ay" and value.find(0) == len(value) - 1 and value:
        return f"b{_quoted_bytes(value[:-1])}"
    if not len(value):
        return (f"@{kind.string} " if annotate else "") + ("{}" if child.kind == "{" else "[]")
    if child.kind == "{":
        # The first element tells the type of all.
        key_type, value_type = child.children
        pairs = []
        for key, member in value:
            pairs.append(f"{_text(key_type, key, annotate)}: {_text(value_type, member, annotate)}")
            annotate = False
        return f"{{{', '.join(pairs)}}}"
    return f"[{', '.join(_text(child, element, annotate and not i) for i, element in enumerate(value))}]"


def _maybe(kind: Type, value: Any, annotate: bool) -> str:
    # A chain of present values with nothing at its end needs one `just` for each level, else none.
    prefix = f"@{kind.string} " if annotate else ""
    levels = ""
    while value is not None and kind.kind == "m":
        (kind,), (value,) = kind.children, value
        levels += "just "
    if value is None and kind.kind == "m":
        return f"{prefix}{levels}nothing"
    return prefix + _text(kind, value, False)


def _basic(kind: str, value: Any, annotate: bool) -> str:
    if kind == "b":
        return "true" if value else "false"
    if kind == "s":
        return _quoted(value)
    if kind in "og":
        return ({"o": "objectpath ", "g": "signature "}[kind] if annotate else "") + f"'{value}'"
    if kind == "y":
        return ("byte " if annotate else "") + f"0x{value:02x}"
    if kind == "d":
        text = f"{value:.17g}"
        return text if set(text) & set(".en") else f"{text}.0"
    return f"{WORDS[kind]} {value}" if annotate and kind in WORDS else str(value)


def _quoted(text: str) -> str:
    quote = '"' if "'" in text else "'"
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def _escaped(character: str, quote: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    if character == quote:
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _quoted_bytes(data: bytes) -> str:
    quote = '"' if b"'" in data else "'"
    plain = {ord(key): text for key, text in ESCAPES.items() if key != "\a"} | {ord('"'): '\\"'}
    return quote + "".join(plain.get(byte, chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in data) + quote


def _swapped(kind: Type, value: Any) -> Any:
    if kind.string == "ay":
        return value
    if kind.kind == "v":
        return Variant(value.type, _swapped(parse(value.type), value.value))
    if kind.kind == "a":
        return [_swapped(kind.children[0], element) for element in value]
    if kind.kind == "m":
        return None if value is None else (_swapped(kind.children[0], value[0]),)
    if kind.kind in "({":
        return tuple(_swapped(child, member) for child, member in zip(kind.children, value, strict=True))
    if form := STRUCTS.get(kind.kind):
        return form.unpack(form.pack(value)[::-1])[0]
    return value
