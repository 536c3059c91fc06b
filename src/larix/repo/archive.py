"""Layout of mode `archive`: a file object is a `.filez`, header and deflated content. Anyone may keep and serve it."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial

import deflate
from isal import isal_zlib
from isal.igzip_lib import IsalError

from larix.errors import Corrupt
from larix.formats import content as format
from larix.formats.content import FileHeader, Piece
from larix.formats.objects import MAX_METADATA_SIZE
from larix.linux import reading, writing
from larix.repo.layout import INFLATED_WHOLE, PIECE, WHOLE, Layout, Read, StoredFile

# Whole files go through libdeflate, which at this level is twice as fast as zlib and no larger; what is too large for
# memory through ISA-L, which takes it in pieces.
LEVEL = 5
STREAM_LEVEL = 3
RAW_DEFLATE = -15
# Enough for the header of nearly every object, and all of many.
HEAD = 8192


class Archive:
    mode = "archive-z2"
    extension = "filez"
    keeps_packed = True
    user_only = False
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        head = header.encode_archive(size)
        if header.is_symlink:
            writing.put(name, dir_fd, [head])
        elif size <= WHOLE:
            writing.put(name, dir_fd, [head, deflate.deflate_compress(b"".join(content), LEVEL)])
        else:
            writing.put(name, dir_fd, _stream(head, content))

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        fd = os.open(name, reading.READ, dir_fd=dir_fd)
        try:
            return unpack(partial(os.read, fd), os.fstat(fd).st_size, fd, exact=exact)
        except BaseException:
            os.close(fd)
            raise

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        with self.read(name, dir_fd) as stored:
            return stored.header, stored.size

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        header, size = self.look(name, dir_fd)
        return header.mode, size

    def links(self, mode: int, *, user_mode: bool) -> bool:
        return False

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return False

    def gives(self, other: Layout, look: Callable[[], FileHeader]) -> bool:
        return other.keeps_packed


def _stream(head: bytes, content: Iterable[Piece]) -> Iterator[bytes]:
    yield head
    packer = isal_zlib.compressobj(STREAM_LEVEL, wbits=RAW_DEFLATE)
    for piece in content:
        yield packer.compress(piece)
    yield packer.flush()


def unpack(read: Read, packed_size: int, fd: int = -1, *, exact: bool = False) -> StoredFile:
    """Return the file object in the `.filez` of `packed_size` bytes that `read` gives; `exact` is as for a layout.

    Raises Corrupt, also while the content is read.
    """
    head = read(min(packed_size, HEAD))
    end = format.PREFIX_SIZE + format.header_size(head[: format.PREFIX_SIZE])
    if len(head) < end:
        head += read_all(read, end - len(head))
    header, size = format.decode_archive_header(head[format.PREFIX_SIZE : end])
    begun = head[end:]
    if header.is_symlink:
        return StoredFile(header, size, _no_content(begun or read(1)), fd)
    left = packed_size - len(head)
    if size <= INFLATED_WHOLE and left <= INFLATED_WHOLE:
        return StoredFile(header, size, _read_and_inflate_whole(begun, read, left, size, exact), fd)
    return StoredFile(header, size, _inflate(begun, read, size), fd)


def longest(begun: bytes) -> int:
    """Return the most bytes that a `.filez` which begins so can have, by what its header promises. Raises Corrupt."""
    end = format.PREFIX_SIZE + format.header_size(begun[: format.PREFIX_SIZE])
    if len(begun) < end:
        return format.PREFIX_SIZE + MAX_METADATA_SIZE
    # Deflate has nine bits for a byte at worst, beside what its blocks begin with.
    size = format.decode_archive_header(begun[format.PREFIX_SIZE : end])[1]
    return end + size + size // 8 + PIECE


# What `find_size` needs of a `.filez`.
BEGINNING = format.PREFIX_SIZE + format.SIZE_SIZE


def find_size(beginning: bytes) -> int:
    """Return how many bytes the content has of a `.filez` that begins so. Raises Corrupt."""
    format.header_size(beginning[: format.PREFIX_SIZE])
    if len(beginning) < BEGINNING:
        raise Corrupt("not a file object: it ends in its header")
    return int.from_bytes(beginning[format.PREFIX_SIZE :], "big")


def unpack_bytes(packed: bytes) -> StoredFile:
    """Unpack exactly, as `unpack`, a `.filez` in memory; its content is one piece, however large."""
    end = format.PREFIX_SIZE + format.header_size(packed[: format.PREFIX_SIZE])
    header, size = format.decode_archive_header(packed[format.PREFIX_SIZE : end])
    if header.is_symlink:
        return StoredFile(header, size, _no_content(packed[end:]))
    return StoredFile(header, size, _inflate_whole(memoryview(packed)[end:], size, exact=True))


def read_all(read: Read, size: int) -> bytes:
    """So many bytes, or all there are."""
    data = read(size)
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def _no_content(found: bytes) -> Iterator[bytes]:
    if found:
        raise Corrupt("a symlink with content")
    return iter(())


def _read_and_inflate_whole(begun: bytes, read: Read, left: int, size: int, exact: bool) -> Iterator[Piece]:
    yield from _inflate_whole(begun + read_all(read, left) if left else begun, size, exact=exact)


# Deflate makes no byte into more; what promises that is damaged, and no room is made for it.
MAX_RATIO = 1032


def _inflate_whole(packed: bytes | memoryview, size: int, *, exact: bool) -> Iterator[Piece]:
    if not exact and 0 < size <= MAX_RATIO * len(packed):
        # A quarter faster, but it does not tell what follows the stream, nor what is wrong with it, nor anything of one
        # for which there is to be no room.
        with suppress(deflate.DeflateError):
            whole = deflate.deflate_decompress(packed, size)
            if len(whole) == size:
                yield whole
                return
    inflate = isal_zlib.decompressobj(RAW_DEFLATE)
    try:
        # One more than promised shows what is longer, and no bomb goes off.
        content = inflate.decompress(packed, size + 1)
    except IsalError as error:  # type: ignore[misc]  # its stub takes the class for an instance
        raise _damaged(error) from None
    _check_end(inflate.eof, len(content), size, inflate.unused_data)
    yield content


def _inflate(packed: bytes, read: Read, size: int) -> Iterator[bytes]:
    """Yield the content, never more than the header promised, nor more than a piece at a time in memory.

    A piece may be empty: of compressed content without end and without output, nothing is kept either.
    """
    inflate = isal_zlib.decompressobj(RAW_DEFLATE)
    done = 0
    try:
        while not inflate.eof:
            packed = inflate.unconsumed_tail or packed or read(PIECE)
            if not packed:
                break
            piece = inflate.decompress(packed, PIECE)
            packed = b""
            done += len(piece)
            if done > size:
                break
            yield piece
    except IsalError as error:  # type: ignore[misc]  # its stub takes the class for an instance
        raise _damaged(error) from None
    _check_end(inflate.eof, done, size, inflate.unused_data or read(1))


def _damaged(error: Exception) -> Corrupt:
    return Corrupt(f"compressed content is damaged ({error})")


def _check_end(ended: bool, done: int, size: int, rest: bytes) -> None:
    if done > size:
        raise Corrupt(f"content is longer than the {size} bytes its header promises")
    if not ended:
        raise Corrupt("compressed content is truncated")
    if done != size:
        raise Corrupt(f"content has {done} bytes where its header promises {size}")
    if rest:
        raise Corrupt("bytes after the compressed content")
