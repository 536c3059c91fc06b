"""The lock of a repo: held shared by those who add to it, exclusive by those who delete."""

import os
from contextlib import ExitStack

from larix.linux import files
from larix.linux.lock import lock_file
from larix.repo.repo import Repo


def lock_repo(repo: Repo, *, exclusive: bool) -> ExitStack:
    """The lock is given back when the result is closed. core.locking=false means that others see to it.

    Raises Busy where another process holds it for longer than `repo.lock_timeout`.
    """
    held = ExitStack()
    if repo.config.find_bool("core", "locking", True):
        with files.doing(f"Locking repo {repo.path}"):
            lock = lock_file(".lock", repo.fd, exclusive=exclusive, timeout=repo.lock_timeout)
        held.callback(os.close, lock)
    return held
