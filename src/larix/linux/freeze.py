"""Bringing a file system's journal home.

After a sync the last changes of a file system may stand in its journal alone. Boot loaders that read the file system
themselves do not look there. Freezing brings everything to its place.
"""

import errno
import fcntl
import os
import signal
from contextlib import suppress

from larix.errors import Failed

FREEZE, THAW = 0xC0045877, 0xC0045878
DONE = b"!"
# Not every file system can, nor every user; and one that is frozen already has been brought home.
CANNOT = errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM, errno.EBUSY


def bring_journal_home(fd: int, *, aborting: bool = False) -> None:
    """Freeze the file system of an open directory and thaw it at once; nothing where that cannot be.

    A forked watchdog thaws it should we end in between. `aborting`, for tests, lets it do so.
    """
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        for end in reading, writing, ready, tell:
            os.close(end)
        raise
    if not pid:
        try:
            os.close(writing)
            os.close(ready)
            # A program with an event loop is told of signals by a socket, which the child shares.
            signal.set_wakeup_fd(-1)
            # Whoever kills all of our group, as `timeout` does, must leave it alive.
            os.setsid()
            os.write(tell, DONE)
            _watch(reading, fd)
        finally:
            os._exit(0)
    os.close(tell)
    try:
        # Nothing is frozen before it watches.
        if os.read(ready, 1) != DONE:
            raise Failed("The watchdog of a freeze did not start")
        if aborting:
            raise Failed("Full sync: During fsfreeze-thaw: aborting due to test-fifreeze")
        try:
            fcntl.ioctl(fd, FREEZE, 0)
            _thaw(fd)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
        os.write(writing, DONE)
    finally:
        os.close(writing)
        os.close(reading)
        os.close(ready)
        # Where whoever started us ignores SIGCHLD, it is gone already.
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _thaw(fd: int) -> None:
    try:
        fcntl.ioctl(fd, THAW, 0)
    except OSError as error:
        # It is not frozen, or another process was faster, which brings the journal of the same file system home.
        if error.errno != errno.EINVAL:
            raise


def _watch(reading: int, fd: int) -> None:
    """Wait in the watchdog. The end of the pipe without a word means that who held its other side is gone."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)
    if os.read(reading, 1) == DONE:
        return
    try:
        _thaw(fd)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
    os.write(2, b"fifreeze watchdog was run\n")
