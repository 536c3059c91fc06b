"""The locks of a repo.

.lock                   shared by those who add to it, exclusive for those who delete; the C tool's too
tmp/changes-lock        for who reads, changes and writes what there is one of: the refs, the summary, the config; it is
                        removed with the lock
"""

import os
from contextlib import ExitStack, suppress

from larix.linux import writing
from larix.linux.failures import doing
from larix.linux.lock import lock_file
from larix.repo.repo import Repo

CHANGES = "tmp/changes-lock"


def lock_repo(repo: Repo, *, exclusive: bool) -> ExitStack:
    """Lock the repo until the result is closed. core.locking=false means that others see to it.

    Raises Busy where another process holds it for longer than `repo.lock_timeout`.
    """
    held = ExitStack()
    if repo.config.find_bool("core", "locking", True):
        with doing(f"Locking repo {repo.path}"):
            lock = lock_file(".lock", repo.fd, exclusive=exclusive, timeout=repo.lock_timeout)
        held.callback(os.close, lock)
    return held


def lock_changes(repo: Repo) -> ExitStack:
    """Lock the changes of a repo, as `lock_repo`, for as short as can be."""
    held = ExitStack()
    while repo.config.find_bool("core", "locking", True):
        with doing(f"Locking repo {repo.path}"):
            lock = lock_file(CHANGES, repo.fd, exclusive=True, timeout=repo.lock_timeout)
        held.callback(os.close, lock)
        # Else whoever held it before has removed it, and others lock the next one.
        if os.fstat(lock).st_nlink:
            # One that was left behind is not to look old: both tools sweep tmp/.
            writing.touch(f"/proc/self/fd/{lock}", repo.fd)
            held.callback(_remove_lock, lock, repo)
            break
        held.close()
    return held


def _remove_lock(lock: int, repo: Repo) -> None:
    """Unless somebody else has, and the file is another's."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(lock), os.stat(CHANGES, dir_fd=repo.fd, follow_symlinks=False)):
            writing.remove(CHANGES, repo.fd)
