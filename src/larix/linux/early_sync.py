"""A sync of a file system that goes on beside other work."""

import os
from threading import Thread

from larix.linux import syscalls


class EarlySync:
    """What is written after its start needs another sync, which then has little left to do."""

    def __init__(self, fd: int) -> None:
        """Begin a sync of the file system of `fd`, which may be closed meanwhile."""
        self._fd = os.dup(fd)
        self._error: OSError | None = None
        self._thread = Thread(target=self._sync)
        self._thread.start()

    def wait(self) -> None:
        """Raises OSError: what could not be written is reported once."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _sync(self) -> None:
        try:
            syscalls.syncfs(self._fd)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._fd)
