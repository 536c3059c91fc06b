"""What the system says that failed, as errors of larix."""

import errno
import os
from types import TracebackType

from larix.errors import Error, NoSpace, NotFound


# Classes, like `contextlib.suppress`: a generator costs as much as the call that it guards, and each file has three.
class doing:
    """Turn an OSError of the block into an Error that begins with `what`."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise as_error(self._what, error) from error


class within:
    """An OSError of the block names its file by the path from a directory above: the file was at hand by its name."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, OSError) and isinstance(error.filename, str):
            error.filename = os.path.join(self._path, error.filename)


def as_error(what: str, error: OSError) -> Error:
    kind = Error
    if isinstance(error, FileNotFoundError):
        kind = NotFound
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        kind = NoSpace
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    where = f" {name}:" if name and name not in what else ""
    return kind(f"{what}:{where} {error.strerror or error}")
