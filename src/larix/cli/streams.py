"""Standard input, output and errors, as whoever started us left them: closed, a pipe that nobody reads any more, a full
disk, another encoding. The work goes on to its end in each case."""

import errno
import io
import os
import select
import sys
from typing import Any

from larix.errors import Failed
from larix.linux.reading import names_are_utf8

BUFFER = 1 << 16
# Whoever was to read it does not want it.
UNWANTED = errno.EPIPE, errno.EBADF


class _Output(io.RawIOBase):
    """What cannot be written is dropped; `lost` says why."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lost: OSError | None = None

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        while self.lost is None:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:
                # Somebody else who has it made it so.
                select.select([], [self._fd], [])
            except OSError as error:
                self.lost = error
        return len(data)


def prepare_streams() -> None:
    """Before anything is opened or said. The program may begin again, in the same process."""
    _fill_descriptors()
    _take_names_for_utf8()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    sys.stdout = _text(sys.stdout.fileno(), "surrogateescape")
    sys.stderr = _text(sys.stderr.fileno(), "backslashreplace", lines=True)


def _text(fd: int, errors: str, *, lines: bool = False) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(_Output(fd), BUFFER)
    return io.TextIOWrapper(buffer, "utf-8", errors, line_buffering=lines or os.isatty(fd))


def check_output(*, wanted: bool = False) -> None:
    """Flush standard output. Raises Failed where some of it was lost; with `wanted`, also where nobody reads it."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = raw.lost if isinstance(raw, _Output) else None
    if lost is not None and (wanted or lost.errno not in UNWANTED):
        raise Failed(f"Writing to standard output: {lost.strerror}")


def _fill_descriptors() -> None:
    """Fill those that are closed: no file of ours may be theirs. What is written there is refused, as it was before."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDONLY)
            # Else a library that was loaded has taken the number, and keeps it.
            if fd != number and not os.path.lexists(f"/proc/self/fd/{number}"):
                os.dup2(fd, number)
                os.close(fd)
                fd = number
            os.set_inheritable(fd, True)
            setattr(sys, name, os.fdopen(fd, encoding="utf-8", closefd=False))


def _take_names_for_utf8() -> None:
    """Begin again where the locale has another encoding: names of files, arguments and all texts are bytes to the
    kernel, and UTF-8 in a commit, whoever runs us. Python decides so for C and POSIX by itself."""
    if not names_are_utf8():
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
