"""What to say of an object that is not there, cannot be read, or is not what its name promises."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from larix.errors import Corrupt, Error, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import Piece
from larix.formats.objects import ObjectName, ObjectType
from larix.linux.failures import as_error

# What a disk or file system answers that has lost an object, or has something else in its place.
UNREADABLE = (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)


def differing(name: ObjectName, actual: Checksum) -> Corrupt:
    """Return the error for an object whose bytes are not those that its name promises."""
    kind = name.type.extension
    return Corrupt(f"Corrupted {kind} object; checksum expected='{name.checksum}' actual='{actual}'")


@contextmanager
def about(name: ObjectName) -> Iterator[None]:
    """Let a Corrupt from inside an object say which object it was."""
    try:
        yield
    except Corrupt as error:
        raise object_error(name, error) from None


def read_about(name: ObjectName, content: Iterator[Piece]) -> Iterator[Piece]:
    try:
        yield from content
    except (OSError, Corrupt) as error:
        raise object_error(name, error) from None


def object_error(name: ObjectName, error: OSError | Corrupt) -> Error:
    if isinstance(error, Corrupt):
        return error if name.checksum in str(error) else Corrupt(f"Corrupted object {name}: {error}")
    if isinstance(error, FileNotFoundError):
        is_file = name.type == ObjectType.FILE
        what = f"Couldn't find file object '{name.checksum}'" if is_file else f"No such metadata object {name}"
        return NotFound(f"{what}; `larix fsck` tells what else is missing")
    if error.errno in UNREADABLE:
        return Corrupt(f"Corrupted object {name}: it cannot be read: {error.strerror}")
    return as_error(f"Reading object {name}", error)
