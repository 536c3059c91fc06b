"""Layout of mode `archive`: a file object is a `.filez`, header and deflated content. Anyone may keep and serve it."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator

from larix.errors import Corrupt
from larix.formats import content as format
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.linux import files
from larix.repo.layout import PIECE, StoredFile

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
            header_size = format.header_size(os.read(fd, format.PREFIX_SIZE))
            header, size = format.decode_archive_header(os.read(fd, header_size))
        except BaseException:
            os.close(fd)
            raise
        return StoredFile(header, size, iter(()) if header.is_symlink else _inflate(fd, size), fd)

    def links(self, header: FileHeader, *, user_mode: bool) -> bool:
        return False


def _inflate(fd: int, size: int) -> Iterator[bytes]:
    """The content, never more than the header promised, nor more than a piece at a time in memory."""
    inflate = zlib.decompressobj(RAW_DEFLATE)
    done = 0
    try:
        while not inflate.eof:
            packed = inflate.unconsumed_tail or os.read(fd, PIECE)
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
    if inflate.unused_data or os.read(fd, 1):
        raise Corrupt("bytes after the compressed content")
