"""Reading an archive into a tree: tar and cpio, as they are or compressed with gzip, bzip2 or xz.

Names are taken from the top of the tree, whether they begin with `/` or `./` or not. A later member takes the place of
an earlier one of the same name. Hard links are made at the end, to what then has the name they give.
"""

import base64
import binascii
import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Self, cast
from urllib.parse import unquote_to_bytes

from larix.errors import Corrupt, Invalid, NotFound
from larix.formats import xattrs as xattr_format
from larix.formats.content import FileHeader, Piece
from larix.formats.cpio import MAGICS, CpioMember, read_cpio
from larix.formats.names import check_part, check_utf8
from larix.formats.objects import MODE_BITS, DirMeta
from larix.formats.xattrs import Xattrs
from larix.ops.commit.scan import Sink
from larix.ops.tree.directory import Directory
from larix.ops.tree.modify import Modification, labelled
from larix.progress import NO_PROGRESS, Progress
from larix.repo.layout import PIECE

# As GNU tar and libarchive write extended attributes in pax headers; the value of the second in Base64.
XATTR, XATTR_BASE64 = "SCHILY.xattr.", "LIBARCHIVE.xattr."
COMPRESSIONS: dict[bytes, Callable[[io.BufferedReader], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda archive: gzip.GzipFile(fileobj=archive),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
ZSTD = b"\x28\xb5\x2f\xfd"
# Headers that are read whole: names and extended attributes of the member that follows.
EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
EXTENSIONS |= {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
MAX_EXTENSION_SIZE = 4 << 20
NEW_DIRECTORY_MODE = stat.S_IFDIR | 0o755


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """With `make_parents` directories that the archive does not have are made, of root and 0755. `rename` is put in
    place of what the regular expression `pattern` finds in a name."""

    make_parents: bool = False
    pattern: re.Pattern[str] | None = None
    rename: str = ""


@dataclass(frozen=True, slots=True)
class _Member:
    """`mode` has the type; `target` is that of a symlink, and of a hard link the name of the file."""

    name: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    content: Iterable[Piece] = ()
    target: str = ""
    hard_link: bool = False
    xattrs: Xattrs = ()


def lay_archive(
    sink: Sink,
    under: Directory,
    archive: BinaryIO,
    modification: Modification | None = None,
    options: ArchiveOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Lay what is in an archive over a tree. `progress` counts members and bytes.

    Raises Corrupt for an archive that cannot be read to its end; Invalid for names that leave the tree; Error for
    sockets and devices, and where a file and a directory have the same name.
    """
    laying = _Laying(sink, under, modification or Modification(), options or ArchiveOptions())
    # What is in memory has no `peek`.
    reader = archive if isinstance(archive, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, archive))
    try:
        with _naming_the_archive(), _decompressed(reader) as stream:
            progress.start("Reading")
            for member in _members(stream):
                laying.add(member)
                progress.advance(1, member.size)
    finally:
        if reader is not archive:
            # Else it would be closed with the reader, and it is not ours.
            reader.detach()
    laying.link()
    if under.meta is None and laying.options.make_parents:
        under.meta = laying.modification.directory("/", DirMeta(0, 0, NEW_DIRECTORY_MODE), adds=True)


@dataclass(slots=True)
class _Laying:
    sink: Sink
    top: Directory
    modification: Modification
    options: ArchiveOptions
    # To be made at the end: where, of what name, to what path.
    links: list[tuple[Directory, str, list[str]]] = field(default_factory=list)

    def add(self, member: _Member) -> None:
        parts = self.parts(member.name)
        if self._is_skipped(parts):
            return
        path = "/" + "/".join(parts)
        if stat.S_ISDIR(member.mode):
            meta = DirMeta(member.uid, member.gid, member.mode, member.xattrs)
            into = self.parent(parts, member).enter(parts[-1]) if parts else self.top
            into.meta = self.modification.directory(path, meta, adds=True)
            return
        if not parts:
            raise Invalid(f"The archive has a file without a name, {member.name[:80]!r}")
        into = self.parent(parts, member)
        if member.hard_link:
            self.links.append((into, parts[-1], self.parts(member.target)))
        elif stat.S_ISREG(member.mode) or stat.S_ISLNK(member.mode):
            check_utf8(member.target, f"the target {member.target!r} of the symlink {member.name} in the archive")
            header = FileHeader(member.uid, member.gid, member.mode, member.target, member.xattrs)
            into.put_file(
                parts[-1], self.sink.add_file(self.modification.file(path, header), member.size, member.content)
            )
        else:
            raise Invalid(f"Unsupported file type for path {member.name!r}: neither file, link nor directory")

    def _is_skipped(self, parts: list[str]) -> bool:
        """Itself, or a directory above it."""
        modifier = self.modification.modifier
        if not modifier.skipped and not modifier.overrides:
            return False
        return any(self.modification.skips("/" + "/".join(parts[:count])) for count in range(len(parts) + 1))

    def link(self) -> None:
        for into, name, target in self.links:
            found: Directory | None = self.top
            for part in target[:-1]:
                found = found.enter(part) if found is not None and part in found.dirs else None
            checksum = found.files.get(target[-1]) if found is not None and target else None
            if checksum is None:
                raise NotFound(f"{name} in the archive is a hard link to /{'/'.join(target)}, and that is no file here")
            into.put_file(name, checksum)

    def parts(self, name: str) -> list[str]:
        parts = _split(name)
        if self.options.pattern is None:
            return parts
        path = "/".join(parts) + ("/" if parts and name.endswith("/") else "")
        return _split(self.options.pattern.sub(self.options.rename, path))

    def parent(self, parts: list[str], member: _Member) -> Directory:
        """Return the directory that `member`, whose path is `parts`, lies in. Raises NotFound where there is none."""
        found = self.top
        for count, part in enumerate(["", *parts[:-1]]):
            found = found.enter(part) if count else found
            if found.meta is not None:
                continue
            if self.options.make_parents and len(parts) > 1:
                # As it is, whatever the modifier says, but for its label: so does the C tool.
                labels, path = self.modification.modifier.labels, "/" + "/".join(parts[:count])
                xattrs = labelled(labels, path, NEW_DIRECTORY_MODE, ())
                found.meta = DirMeta(member.uid, member.gid, NEW_DIRECTORY_MODE, xattrs)
            elif count:
                # The top may come later; where it does not, that is seen at the end.
                missing = "/".join(parts[:count])
                raise NotFound(
                    f"No such file or directory: {missing}; the archive has nothing before what is in it; "
                    "--tar-autocreate-parents makes it"
                )
        return found


def _split(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        if part == "..":
            raise Invalid(f"The archive has the name {name[:80]!r}, which leaves its directory")
        check_part(part)
    return parts


@contextmanager
def _naming_the_archive() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        # An OSError without a number is a decoder's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Corrupt(f"Reading the archive: {error}; is it a tar or cpio archive, and whole?") from None


@contextmanager
def _decompressed(archive: io.BufferedReader) -> Iterator[io.BufferedReader]:
    start = archive.peek(8)
    if start.startswith(ZSTD):
        raise Invalid("The archive is compressed with zstd; give it to `zstd -dc` and that to larix, as tar=-")
    for magic, opener in COMPRESSIONS.items():
        if start.startswith(magic):
            with opener(archive) as inner:
                yield io.BufferedReader(inner)
                return
    yield archive


def _members(stream: io.BufferedReader) -> Iterator[_Member]:
    start = stream.peek(8)
    if start.startswith(MAGICS):
        yield from _cpio_members(stream)
    elif start:
        with _open_tar(stream) as tar:
            while (info := _next(tar)) is not None:
                yield _tar_member(tar, info)
                # Kept for lookups by name, which nobody makes.
                tar.members = []  # type: ignore[attr-defined]


@contextmanager
def _malformed() -> Iterator[None]:
    """Numbers in extended headers, or headers of headers, that nobody writes; tarfile does not look."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise Corrupt(f"Reading the archive: malformed extended header: {error}") from None


def _open_tar(stream: io.BufferedReader) -> tarfile.TarFile:
    # The first header is read at once.
    with _malformed():
        return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header)


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    with _malformed():
        info = tar.next()
    # Those of global headers, which add up.
    if sum(len(key) + len(value) for key, value in tar.pax_headers.items()) > MAX_EXTENSION_SIZE:
        raise Corrupt(f"Reading the archive: global extended headers of more than {MAX_EXTENSION_SIZE} bytes")
    if info is not None and info.size < 0:
        raise Corrupt(f"Reading the archive: {info.name[:80]!r} has a size below zero")
    return info


class _Bounded:
    """Gives so many bytes of a stream and no more."""

    def __init__(self, stream: Any, left: int) -> None:
        self._stream = stream
        self._left = left
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise Corrupt(f"Reading the archive: an extended header of more than {MAX_EXTENSION_SIZE} bytes")
        data: bytes = self._stream.read(size)
        return data


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; here it is an error."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except (tarfile.EmptyHeaderError, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise Corrupt(f"Reading the archive: {error}") from None

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        """Read what belongs to the header: names, attributes, the map of a sparse file, which has no end
        of its own."""
        stream = tar.fileobj
        tar.fileobj = _Bounded(stream, 2 * MAX_EXTENSION_SIZE)  # type: ignore[assignment]
        try:
            return super()._proc_member(tar)  # type: ignore[misc,no-any-return]
        finally:
            tar.fileobj = stream

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in EXTENSIONS and header.size > MAX_EXTENSION_SIZE:
            allowed = f"at most {MAX_EXTENSION_SIZE} are allowed"
            raise Corrupt(f"Reading the archive: an extended header of {header.size} bytes; {allowed}")
        return header


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    member = _Member(info.name, info.mode & MODE_BITS, info.uid, info.gid, xattrs=_tar_xattrs(info.pax_headers))
    if info.isdir():
        # As it stands in the archive, for expressions that look for it.
        return replace(member, name=f"{info.name}/", mode=member.mode | stat.S_IFDIR)
    if info.issym():
        return replace(member, mode=member.mode | stat.S_IFLNK, target=info.linkname)
    if info.islnk():
        return replace(member, mode=member.mode | stat.S_IFREG, target=info.linkname, hard_link=True)
    if not info.isreg():
        return member
    return replace(member, mode=member.mode | stat.S_IFREG, size=info.size, content=_pieces(tar, info))


def _pieces(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    content = tar.extractfile(info)
    assert content is not None
    left = info.size
    while left:
        piece = content.read(min(left, PIECE))
        if not piece:
            raise Corrupt(f"Reading the archive: it ends within {info.name[:80]}")
        left -= len(piece)
        yield piece


def _tar_xattrs(headers: Mapping[str, str]) -> Xattrs:
    found = {}
    for key, value in headers.items():
        if key.startswith(XATTR):
            found[_bytes(key.removeprefix(XATTR))] = _bytes(value)
        elif key.startswith(XATTR_BASE64):
            try:
                decoded = base64.b64decode(value + "=" * (-len(value) % 4))
            except (binascii.Error, ValueError):
                raise Corrupt(f"Reading the archive: {key[:80]} is not Base64") from None
            found.setdefault(unquote_to_bytes(key.removeprefix(XATTR_BASE64)), decoded)
    return xattr_format.canonical(found.items())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _cpio_members(stream: io.BufferedReader) -> Iterator[_Member]:
    # Names that came before the content of their file.
    waiting: dict[tuple[int, int, int], list[CpioMember]] = {}
    for member in read_cpio(stream.read):
        name = _text(member.name)
        if stat.S_ISREG(member.mode) and member.links > 1 and not member.size:
            waiting.setdefault(member.inode, []).append(member)
            continue
        target = _text(b"".join(member.content)) if stat.S_ISLNK(member.mode) else ""
        size = member.size if stat.S_ISREG(member.mode) else 0
        yield _Member(name, member.mode, member.uid, member.gid, size, member.content, target)
        for other in waiting.pop(member.inode, []):
            yield _Member(_text(other.name), other.mode, target=name, hard_link=True)
    for empty in waiting.values():
        for member in empty:
            yield _Member(_text(member.name), member.mode, member.uid, member.gid)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Invalid(f"The archive has the name {name[:80]!r}, which is not UTF-8; it cannot be committed") from None
