"""Values as JSON, for programs: one document on stdout.

Checksums and other bytes are hexadecimal. A GVariant dictionary with text as its keys becomes an object, a variant
the value in it, a tuple or another array a list, a maybe null or its value. Times are seconds since 1970.
"""

import json
from collections.abc import Sequence
from typing import Any

from larix.formats.checksum import Checksum
from larix.formats.objects import Commit, Metadata
from larix.formats.xattrs import Xattrs
from larix.gvariant import Variant
from larix.gvariant.text import byteswapped
from larix.gvariant.types import Type, parse


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def commit_json(checksum: Checksum, commit: Commit) -> dict[str, object]:
    return {
        "checksum": checksum,
        "type": "commit",
        "parent": commit.parent,
        "timestamp": commit.timestamp,
        "subject": commit.subject,
        "body": commit.body,
        "dirtree": commit.dirtree,
        "dirmeta": commit.dirmeta,
        "metadata": metadata_json(commit.metadata),
    }


def metadata_json(metadata: Metadata, *, swap: bool = True) -> dict[str, object]:
    return {key: variant_json(value, swap=swap) for key, value in metadata.pairs}


def variant_json(value: Variant, *, swap: bool = True) -> object:
    """`swap` turns numbers around, which are big-endian in what OSTree itself writes."""
    return _plain(parse(value.type), byteswapped(value.type, value.value) if swap else value.value)


def xattrs_json(xattrs: Xattrs) -> dict[str, str]:
    return {name.decode(errors="backslashreplace"): value.hex() for name, value in xattrs}


def _plain(kind: Type, value: Any) -> object:
    if kind.kind == "v":
        return _plain(parse(value.type), value.value)
    if kind.string == "ay":
        return bytes(value).hex()
    if kind.kind == "m":
        return None if value is None else _plain(kind.children[0], value[0])
    if kind.kind in "({":
        return _plain_each(kind.children, value)
    if kind.kind == "a":
        (child,) = kind.children
        if child.kind == "{" and child.children[0].kind in "sog":
            return {key: _plain(child.children[1], member) for key, member in value}
        return [_plain(child, member) for member in value]
    return value


def _plain_each(kinds: Sequence[Type], values: Sequence[Any]) -> list[object]:
    return [_plain(kind, value) for kind, value in zip(kinds, values, strict=True)]
