"""Reading a cpio archive of the `newc` kind, as `cpio -H newc` writes it and initramfs images are.

A member is a header of 110 characters, 13 numbers of eight hexadecimal digits after the magic; its name; its content.
Name and content are padded to four bytes. The member `TRAILER!!!` is the end.
"""

import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from larix.errors import Corrupt

MAGICS = (b"070701", b"070702")
HEADER_SIZE = 110
MAX_NAME = 4096
LAST = b"TRAILER!!!"
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class CpioMember:
    """`content` is to be read before the next member is asked for; of a symlink it is the target. Of hard links to
    one file, which `links` and `inode` tell, the last has the content."""

    name: bytes
    inode: tuple[int, int, int]
    mode: int
    uid: int
    gid: int
    links: int
    size: int
    content: Iterator[bytes]


def read_cpio(read: Callable[[int], bytes]) -> Iterator[CpioMember]:
    """`read(n)` gives n bytes, fewer at the end. Raises Corrupt."""
    while True:
        header = _exactly(read, HEADER_SIZE)
        if header[:6] not in MAGICS:
            raise Corrupt(f"cpio archive: a member begins with {header[:6]!r}")
        inode, mode, uid, gid, links, _, size, major, minor, _, _, name_size, _ = _numbers(header[6:])
        if not 0 < name_size <= MAX_NAME:
            raise Corrupt(f"cpio archive: a name of {name_size} bytes")
        name = _exactly(read, name_size).rstrip(b"\0")
        _exactly(read, -(HEADER_SIZE + name_size) % 4)
        if name == LAST:
            return
        content = _content(read, size)
        yield CpioMember(name, (major, minor, inode), mode, uid, gid, links, size, content)
        for _ in content:
            # What nobody read stands before the next header.
            pass
        _exactly(read, -size % 4)


def _numbers(text: bytes) -> list[int]:
    try:
        return [int.from_bytes(binascii.unhexlify(text[at : at + 8]), "big") for at in range(0, len(text), 8)]
    except binascii.Error:
        raise Corrupt(f"cpio archive: a header with {text!r}") from None


def _content(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = _exactly(read, min(size, PIECE))
        size -= len(piece)
        yield piece


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) != size:
        raise Corrupt("cpio archive: it ends too early")
    return data
