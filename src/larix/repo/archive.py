"""Layout of mode `archive`: a file object is a `.filez`, header and deflated content. Anyone may keep and serve it."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from functools import partial

from larix.errors import Corrupt
from larix.formats import content as format
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.linux import files
from larix.repo.layout import PIECE, Read, StoredFile

LEVEL = 6
RAW_DEFLATE = -15


class Archive:
    mode = "archive-z2"
    extension = "filez"

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[bytes]) -> Checksum:
        digest = hashlib.sha256(header.encode())
        fd = files.create(name, dir_fd)
        try:
            files.write_all(fd, header.encode_archive(size))
            if not header.is_symlink:
                deflate = zlib.compressobj(LEVEL, wbits=RAW_DEFLATE)
                for piece in content:
                    digest.update(piece)
                    files.write_all(fd, deflate.compress(piece))
                files.write_all(fd, deflate.flush())
            files.set_mode(fd, 0o644)
        finally:
            os.close(fd)
        return Checksum(digest.hexdigest())

    def read(self, name: str, dir_fd: int) -> StoredFile:
        fd = os.open(name, files.READ, dir_fd=dir_fd)
        try:
            return unpack(partial(os.read, fd), fd)
        except BaseException:
            os.close(fd)
            raise

    def receive(self, name: str, dir_fd: int, read: Read) -> tuple[Checksum, int]:
        fd = files.create(name, dir_fd)

        def read_and_keep(size: int) -> bytes:
            data = read(size)
            files.write_all(fd, data)
            return data

        try:
            arrived = unpack(read_and_keep)
            checksum = format.content_checksum(arrived.header, arrived.content)
            files.set_mode(fd, 0o644)
        finally:
            os.close(fd)
        return checksum, arrived.size

    def links(self, header: FileHeader, *, user_mode: bool) -> bool:
        return False


def unpack(read: Read, fd: int = -1) -> StoredFile:
    """The file object in the `.filez` that `read` gives. Raises Corrupt, also while the content is read."""
    header_size = format.header_size(_read_all(read, format.PREFIX_SIZE))
    header, size = format.decode_archive_header(_read_all(read, header_size))
    return StoredFile(header, size, _no_content(read) if header.is_symlink else _inflate(read, size), fd)


def _read_all(read: Read, size: int) -> bytes:
    data = read(size)
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def _no_content(read: Read) -> Iterator[bytes]:
    if read(1):
        raise Corrupt("a symlink with content")
    return
    yield


def _inflate(read: Read, size: int) -> Iterator[bytes]:
    """The content, never more than the header promised, nor more than a piece at a time in memory."""
    inflate = zlib.decompressobj(RAW_DEFLATE)
    done = 0
    try:
        while not inflate.eof:
            packed = inflate.unconsumed_tail or read(PIECE)
            if not packed:
                raise Corrupt("compressed content is truncated")
            piece = inflate.decompress(packed, PIECE)
            done += len(piece)
            if done > size:
                raise Corrupt(f"content is longer than the {size} bytes its header promises")
            if piece:
                yield piece
    except zlib.error as error:
        raise Corrupt(f"compressed content is damaged ({error})") from None
    if done != size:
        raise Corrupt(f"content has {done} bytes where its header promises {size}")
    if inflate.unused_data or read(1):
        raise Corrupt("bytes after the compressed content")
