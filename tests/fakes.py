"""Stand-ins that tests use, each of which passes the suite of what it stands for."""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from larix.errors import Corrupt, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import PREFIX_SIZE, FileHeader, Piece, decode_archive_header, decode_header, header_size
from larix.formats.objects import ObjectName, ObjectType
from larix.formats.sizes import Size
from larix.linux import reading, writing
from larix.ops.tree.tree import Kind
from larix.remote.source import Pulled
from larix.repo.layout import Layout, StoredFile
from larix.repo.transaction import Transaction


class FakeTree:
    """Of a table: path -> content of a file, target of a symlink, or None for a directory."""

    def __init__(self, contents: dict[str, bytes | str | None]) -> None:
        self._contents = contents

    def list(self, path: str) -> list[str]:
        inside = [one for one in self._contents if one and os.path.dirname(one) == path and self._is(path)]
        return sorted(map(os.path.basename, inside))

    def _is(self, path: str) -> bool:
        return path in self._contents and self._contents[path] is None

    def kind(self, path: str) -> Kind | None:
        if path not in self._contents:
            return None
        content = self._contents[path]
        return Kind.DIRECTORY if content is None else Kind.SYMLINK if isinstance(content, str) else Kind.FILE

    def size(self, path: str) -> int:
        return len(b"".join(self.pieces(path)))

    def pieces(self, path: str) -> Iterator[bytes]:
        content = self._contents.get(path)
        if not isinstance(content, bytes):
            raise FileNotFoundError(path)
        yield content


class StreamLayout:
    """The simplest that there could be: each file holds the content stream of its object, which its checksum is of."""

    mode = "stream"
    extension = "file"
    keeps_packed = False
    user_only = False
    writable = True

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        writing.put(name, dir_fd, [header.encode(), *map(bytes, content)])

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        with reading.closing(os.open(name, reading.READ, dir_fd=dir_fd)) as fd:
            data = b"".join(reading.pieces(fd))
        end = PREFIX_SIZE + header_size(data[:PREFIX_SIZE])
        content = [] if end == len(data) else [data[end:]]
        return StoredFile(decode_header(data[PREFIX_SIZE:end]), len(data) - end, iter(content))

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        stored = self.read(name, dir_fd)
        return stored.header, stored.size

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        stored = self.read(name, dir_fd)
        return stored.header.mode, stored.size

    def links(self, mode: int, *, user_mode: bool) -> bool:
        return False

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        return False

    def gives(self, other: Layout, look: Callable[[], FileHeader]) -> bool:
        return other.mode == self.mode


class FakeSource:
    """An archive that was read into memory. It knows no mirrors."""

    remote = True
    collection: str | None = None
    near = 0

    def __init__(self, archive: Path) -> None:
        self._refs = {
            path.relative_to(archive / "refs/heads").as_posix(): Checksum(path.read_text().strip())
            for path in (archive / "refs/heads").rglob("*")
            if path.is_file()
        }
        self._objects = {path.name: path.read_bytes() for path in (archive / "objects").rglob("*") if path.is_file()}
        summary = archive / "summary"
        self._summary = summary.read_bytes() if summary.exists() else None
        self._wanted: list[ObjectName] = []
        self.transferred = 0

    def _find(self, name: ObjectName) -> bytes | None:
        end = "filez" if name.type == ObjectType.FILE else name.type.extension
        return self._objects.get(f"{name.checksum[2:]}.{end}")

    def find_ref(self, ref: str) -> Checksum:
        if ref not in self._refs:
            raise NotFound(ref)
        return self._refs[ref]

    def refs(self) -> dict[str, Checksum]:
        return dict(self._refs)

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        return {}

    def locate(self, name: ObjectName) -> str:
        return f"memory:{name}"

    def summary(self) -> bytes | None:
        return self._summary

    def request(self, name: ObjectName) -> None:
        self._wanted.append(name)

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        while self._wanted:
            name = self._wanted.pop()
            yield name, self._find(name)

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        return False

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        pulled = Pulled(content=len(checksums))
        for checksum in checksums:
            data = self._find(ObjectName(checksum, ObjectType.FILE))
            if data is None:
                raise NotFound(checksum)
            pulled.content_size += transaction.receive_file(checksum, io.BytesIO(data).read, len(data))
            pulled.transferred += len(data)
        return pulled

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        sizes = []
        for checksum in checksums:
            data = self._find(ObjectName(checksum, ObjectType.FILE))
            if data is None:
                raise NotFound(checksum)
            if len(data) < 8:
                raise Corrupt(checksum)
            sizes.append(Size(checksum, len(data), unpacked_size(data), ObjectType.FILE))
        return sizes

    def close(self) -> None:
        self._objects.clear()


def unpacked_size(data: bytes) -> int:
    """What a `.filez` says of its content."""
    return decode_archive_header(data[PREFIX_SIZE : PREFIX_SIZE + header_size(data[:PREFIX_SIZE])])[1]
