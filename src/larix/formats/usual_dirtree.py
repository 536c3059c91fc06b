"""A dirtree as nearly all are, read and written in few steps for many names at once.

A tree has names by the ten thousand, and what reads and writes any GVariant takes several calls for each. What is
unusual in any way is left to that, to be done or to be refused by name.
"""

import struct
from itertools import accumulate
from operator import lt

from larix.formats.checksum import SIZE, Checksum
from larix.gvariant.decode import offsets
from larix.gvariant.types import needed_width, offset_width

Files = dict[str, Checksum]
Directories = dict[str, tuple[Checksum, Checksum]]

# The most bytes of an entry whose framing offsets are single bytes.
MOST = 255
DIGITS = 2 * SIZE
# How `struct` calls framing offsets of these bytes.
OFFSETS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def read_usual(data: bytes) -> tuple[Files, Directories] | None:
    """Return files and directories; None where `data` is unusual, or no dirtree."""
    width = offset_width(len(data))
    end = len(data) - width
    middle = int.from_bytes(data[end:], "little") if data else 0
    if not 0 <= middle <= end or _is_too_wide(width, end, 1):
        return None
    files, directories = _read_entries(data, 0, middle, 1), _read_entries(data, middle, end, 2)
    if files is None or directories is None:
        return None
    sums = iter(directories[1])
    found = dict(zip(*files, strict=True)), dict(zip(directories[0], zip(sums, sums, strict=True), strict=True))
    return found if found[0].keys().isdisjoint(found[1]) else None


def _read_entries(data: bytes, start: int, end: int, count: int) -> tuple[list[str], list[Checksum]] | None:
    """Return names, and the checksums of all, `count` for each name, of an array of entries `NAME NUL CHECKSUM…
    OFFSET…`."""
    if start == end:
        return [], []
    width = offset_width(end - start)
    table = start + int.from_bytes(data[end - width : end], "little")
    if table >= end or (end - table) % width or _is_too_wide(width, table - start, (end - table) // width):
        return None
    frames, tail = FRAMES[count], count * (SIZE + 1)
    texts, raws = [], []
    at = start
    for offset in offsets(data, table, end, width):
        stop = start + offset
        mark = stop - tail
        # A name is at least one byte and its NUL.
        if not at + 2 <= mark or stop > table or stop - at > MOST:
            return None
        if data[mark - 1] or data[stop - count : stop] != frames[mark - at]:
            return None
        texts.append(data[at:mark])
        raws.append(data[mark : stop - count])
        at = stop
    names = _split_names(b"".join(texts))
    if len(names) != len(texts):
        return None
    digits = b"".join(raws).hex()
    return names, [Checksum(digits[i : i + DIGITS]) for i in range(0, len(digits), DIGITS)]


def _is_too_wide(width: int, body: int, count: int) -> bool:
    return width > 1 and needed_width(body, count) != width


def write_usual(files: Files, directories: Directories) -> bytes | None:
    """Both in any order; None where a name is long or cannot be one."""
    # UTF-8 sorts by bytes as its code points do.
    names = sorted(files)
    first = _write_entries(names, [files[name] for name in names], 1)
    names = sorted(directories)
    second = _write_entries(names, [checksum for name in names for checksum in directories[name]], 2)
    if first is None or second is None:
        return None
    width = needed_width(len(first) + len(second), 1)
    return first + second + len(first).to_bytes(width, "little")


def _write_entries(names: list[str], sums: list[Checksum], count: int) -> bytes | None:
    """Return an array as `_read_entries` reads it."""
    if not names:
        return b""
    frames, size = FRAMES[count], count * SIZE
    raws = bytes.fromhex("".join(sums))
    try:
        texts = [f"{name}\0".encode() for name in names]
        entries = [
            text + raws[at : at + size] + frames[len(text)]
            for text, at in zip(texts, range(0, len(raws), size), strict=True)
        ]
    except (UnicodeEncodeError, IndexError):
        return None
    if b"".join(texts).count(0) != len(texts) or max(map(len, entries)) > MOST:
        return None
    body = b"".join(entries)
    width = needed_width(len(body), len(names))
    return body + struct.pack(f"<{len(names)}{OFFSETS[width]}", *accumulate(map(len, entries)))


# For each length of a name, with its NUL: where the members of an entry end, in reverse, without the last.
FRAMES = {1: [bytes([n]) for n in range(MOST - SIZE)], 2: [bytes([n + SIZE, n]) for n in range(MOST - SIZE)]}


def _split_names(joined: bytes) -> list[str]:
    """Return names that each end with a NUL; none where one of them is not to be, or they are out of order."""
    try:
        text = joined.decode()
    except UnicodeDecodeError:
        return []
    names = text.split("\0")[:-1]
    # UTF-8 sorts by bytes as its code points do.
    if "/" in text or "." in names or ".." in names or not all(map(lt, names, names[1:])):
        return []
    return names
