"""How a mode keeps its file objects, as one protocol, and where objects lie.

    objects/
      ab/cdef….commit  .dirtree  .dirmeta     metadata: the bytes of the GVariant, 0644
      ab/cdef….file or .filez                 files: up to the layout

`Layout` hides from every verb which of the modes a repo has. Its functions work on names in an open directory.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from larix.formats.content import FileHeader, Piece
from larix.formats.objects import EXTENSIONS, ObjectName, ObjectType

PIECE = 1 << 20
# Content up to this size is handled whole: hashed first, and written only where it is new.
WHOLE = 64 << 20
# What is deflated is inflated whole up to this size; in pieces it takes hardly longer, and several workers do it.
INFLATED_WHOLE = 16 << 20

# Gives at most so many of the next bytes, none at the end.
Read = Callable[[int], bytes]


class StoredFile:
    """A file object open for reading: header, size of the content in bytes, content in pieces, to be read once.

    Nothing is compared with a checksum here. The content may raise Corrupt while it is read. Close it, or use it in a
    `with`.
    """

    __slots__ = ("_fd", "content", "header", "size")

    def __init__(self, header: FileHeader, size: int, content: Iterator[Piece], fd: int = -1) -> None:
        self.header = header
        self.size = size
        self.content = content
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor; -1 where there is none, as for symlinks."""
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Layout(Protocol):
    # The value of core.mode, and the extension of file objects.
    mode: str
    extension: str
    # Whether file objects are kept as they travel, as `.filez`.
    keeps_packed: bool
    # Whether it keeps only what an ordinary user may give a file: then every checkout is one in user mode.
    user_only: bool
    # Whether larix adds to it and deletes from it at all.
    writable: bool

    def write(self, name: str, dir_fd: int, header: FileHeader, size: int, content: Iterable[Piece]) -> None:
        """Make the new file `name` hold this file object, of `size` bytes of content.

        Not durable; on an error the file may be left behind.
        """
        ...

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        """`exact` has bytes that no reader comes to count as damage too. Raises Corrupt, OSError."""
        ...

    def look(self, name: str, dir_fd: int) -> tuple[FileHeader, int]:
        """Return the header, without extended attributes where they would have to be asked for, and the content's size.

        Raises Corrupt, OSError.
        """
        ...

    def mode_and_size(self, name: str, dir_fd: int) -> tuple[int, int]:
        """Return only the file's mode, and the content's size unless it is a symlink. Raises as `look`."""
        ...

    def links(self, mode: int, *, user_mode: bool) -> bool:
        """Return whether a checkout may hard link an object of a file of this mode, as root or in user mode."""
        ...

    def adopts(self, header: FileHeader, found: FileHeader) -> bool:
        """Return whether a file that is `found` on disk is, as it is, what this layout keeps for an object of
        `header`."""
        ...

    def gives(self, other: "Layout", look: Callable[[], FileHeader]) -> bool:
        """Return whether the file of an object is, as it is, what another layout keeps for it; `look` finds its
        header."""
        ...


def object_path(name: ObjectName, extension: str) -> str:
    """Return path of an object below `objects`; `extension` is that of the layout's files."""
    checksum, kind = name
    end = extension if kind is ObjectType.FILE else EXTENSIONS[kind]
    return f"{checksum[:2]}/{checksum[2:]}.{end}"
