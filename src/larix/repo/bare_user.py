"""Layout of mode `bare-user`: plain files of whoever runs larix; the true metadata is in the attribute user.ostreemeta.

The attribute holds (uuua(ayay)): owner, mode, extended attributes. The file's own mode is made safe: readable by its
owner, without set-uid bits, not writable by others. A symlink is a plain file that contains its target and a NUL.
"""

import os
import stat
from collections.abc import Callable, Iterable
from functools import lru_cache

import larix.gvariant as gvariant
from larix.errors import Corrupt
from larix.formats import xattrs as xattr_format
from larix.formats.content import CACHED, FileHeader, Piece
from larix.formats.objects import DIRMETA_TYPE, swap32
from larix.formats.xattrs import Xattrs
from larix.linux import reading, writing, xattr
from larix.repo.bare_user_only import is_plain
from larix.repo.layout import Layout, StoredFile
from larix.repo.on_disk import read_content

KEY = b"user.ostreemeta"
MAX_TARGET = 4096


class BareUser:
    mode = "bare-user"
    extension = "file"
    keeps_packed = False
    user_only = False
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        with reading.closing(writing.create(name, dir_fd)) as fd:
            if header.is_symlink:
                writing.write_all(fd, header.target.encode() + b"\0")
                mode = 0o644
            else:
                for piece in content:
                    writing.write_all(fd, piece)
                mode = header.mode & 0o775 | 0o400
            owner = swap32(header.uid), swap32(header.gid), swap32(header.mode)
            value = gvariant.encode(DIRMETA_TYPE, (*owner, xattr_format.to_variant(header.xattrs)))
            xattr.set_on(fd, KEY, value)
            writing.set_mode(fd, mode)
            writing.set_mtime(fd, 0)

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        fd = os.open(name, reading.READ, dir_fd=dir_fd)
        try:
            size = os.fstat(fd).st_size
            uid, gid, mode, xattrs = _read_metadata(fd)
            if stat.S_ISLNK(mode):
                return StoredFile(FileHeader(uid, gid, mode, _read_target(fd, size), xattrs), 0, iter(()), fd)
        except BaseException:
            os.close(fd)
            raise
        return StoredFile(FileHeader(uid, gid, mode, "", xattrs), size, read_content(fd, size), fd)

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        with self.read(name, dir_fd) as stored:
            return stored.header, stored.size

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        with reading.closing(os.open(name, reading.READ, dir_fd=dir_fd)) as fd:
            _, _, mode, _ = _read_metadata(fd)
            return mode, os.fstat(fd).st_size

    def links(self, mode: int, *, user_mode: bool) -> bool:
        return user_mode and not stat.S_ISLNK(mode)

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return False

    def gives(self, other: Layout, look: Callable[[], FileHeader]) -> bool:
        """Return whether it is the same layout, or one of plain files and there is no more to say of the file."""
        return other.mode == self.mode or (other.user_only and is_plain(look()))


def _read_metadata(fd: int) -> tuple[int, int, int, Xattrs]:
    value = xattr.find(fd, KEY)
    if value is None:
        raise Corrupt("the attribute user.ostreemeta is missing")
    return _decode_cached(value) if len(value) <= CACHED else _decode(value)


def _decode(value: bytes) -> tuple[int, int, int, Xattrs]:
    uid, gid, mode, pairs = gvariant.decode(DIRMETA_TYPE, value)
    return swap32(uid), swap32(gid), swap32(mode), xattr_format.from_variant(pairs)


_decode_cached = lru_cache(1024)(_decode)


def _read_target(fd: int, size: int) -> str:
    if size > MAX_TARGET:
        raise Corrupt(f"a symlink of {size} bytes")
    try:
        target = os.read(fd, size).decode().removesuffix("\0")
    except UnicodeDecodeError:
        raise Corrupt("a symlink's target is not UTF-8") from None
    if not target or "\0" in target:
        raise Corrupt("a symlink without a target")
    return target
