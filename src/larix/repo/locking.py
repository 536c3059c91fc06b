"""The lock of a repo: held shared by those who add to it, exclusive by those who delete."""

import os
from contextlib import ExitStack

from larix.linux.lock import lock_file
from larix.repo.repo import Repo

# Seconds that are waited for a lock where core.lock-timeout-secs says nothing.
TIMEOUT = 30


def lock_repo(repo: Repo, *, exclusive: bool) -> ExitStack:
    """The lock is given back when the result is closed. core.locking=false means that others see to it.

    Raises Busy where another process holds it for longer than the config lets us wait.
    """
    held = ExitStack()
    if repo.config.find_bool("core", "locking", True):
        timeout = repo.config.find_int("core", "lock-timeout-secs", TIMEOUT)
        held.callback(os.close, lock_file(".lock", repo.fd, exclusive=exclusive, timeout=timeout))
    return held
