"""Locks on open files: those of the open file description (OFD), which the C tool takes on the same files."""

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from larix.errors import Busy
from larix.linux import reading

# Seconds between two tries.
POLL = 0.05
# struct flock: type, whence, start, length, pid, with the padding of the C compiler.
_FLOCK = struct.Struct("hhqqi4x")
# Characters of a command line that are shown.
SHOWN = 100

Tell = Callable[[str], None]


def lock_file(
    name: str, dir_fd: int, *, exclusive: bool, mode: int = 0o660, timeout: float = 0, tell: Tell | None = None
) -> int:
    """Open `name`, made when needed, and lock it; closing the result unlocks.

    Raises Busy where another holds it for `timeout` seconds; a negative number is for ever. `tell` is called once, with
    who holds it, before we wait.
    """
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    wanted = _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
    end = time.monotonic() + timeout
    try:
        while not _try(fd, wanted):
            if tell is not None and timeout:
                tell(_holder(fd))
                tell = None
            if timeout < 0:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, wanted)
                return fd
            left = end - time.monotonic()
            if left <= 0:
                waited = f", still after {timeout:g} seconds" if timeout else ""
                path = os.readlink(f"/proc/self/fd/{fd}")
                raise Busy(f"{path} is locked by {_holder(fd)}{waited}")
            # The kernel waits only for ever.
            time.sleep(min(left, POLL))
    except BaseException:
        os.close(fd)
        raise
    return fd


def lock_directory(name: str, dir_fd: int) -> int:
    """Open a directory and lock it; closing the result unlocks. Raises Busy at once where another holds it."""
    fd = reading.open_directory(name, dir_fd, follow=False)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Busy(f"{name} is locked by another process, which is making it") from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _try(fd: int, wanted: bytes) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    """Who has locked the open file, as far as we may see it. The kernel tells no process for such locks."""
    held = {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and any(_locks(int(entry), fd))}
    for pid in sorted(held):
        # Workers have what their parent has.
        with suppress(OSError):
            stat = reading.read_whole(f"/proc/{pid}/stat")
            if int(stat.rpartition(b")")[2].split()[1]) not in held:
                words = reading.read_whole(f"/proc/{pid}/cmdline").decode(errors="replace").replace("\0", " ").split()
                return f"process {pid} ({' '.join(words)[:SHOWN]})"
    return "another process"


def _locks(pid: int, fd: int) -> Iterator[bool]:
    """Yield, for each open file of the process, whether it is that of `fd` and locked."""
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), os.fstat(fd)):
                yield b"\nlock:" in reading.read_whole(f"/proc/{pid}/fdinfo/{name}")
