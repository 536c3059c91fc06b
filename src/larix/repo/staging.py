"""Where a transaction keeps new objects until they are placed, and what one that did not end left behind.

    tmp/staging-BOOTID-XXXXXX-lock     locked while the transaction lives
    tmp/staging-BOOTID-XXXXXX/objects  its objects, laid out as below objects/ of the repo
    tmp/staging-BOOTID-XXXXXX/left     objects of an earlier one that was killed or failed; none is trusted

A directory whose lock is free is taken over by the next transaction, as the C tool does with its own: what was fetched
is not fetched again. The C tool takes what it finds in `staging-…/XX/` for whole, also when another was killed while
writing it, so nothing of ours lies there. After a crash of the machine files may be there without their content; that
is why only directories of this boot are taken over.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

from larix.errors import Busy
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.linux.lock import lock_file

# Where core.tmp-expiry-secs says nothing: seconds that others' files in tmp/ are left alone.
EXPIRY = 24 * 60 * 60
# Of objects that are not named by what they hold.
REPLACED = ".commitmeta"
COMMIT = re.compile(r"[0-9a-f]{64}\.commit")


def temporary_path() -> str:
    """Return a new name in the repo, for a file that is renamed at once; one that stays is removed when it is old."""
    return f"tmp/new-{os.urandom(6).hex()}"


class Staging:
    """Used by one transaction, and by the processes it forks. Paths are relative to `fd`."""

    def __init__(self, repo_path: str, repo_fd: int, boot_id: str, expiry: int) -> None:
        self._doing = f"Writing to repo {repo_path}"
        with doing(self._doing), ExitStack() as held:
            self._open(held, repo_fd, boot_id)
            _clean(repo_fd, boot_id, expiry)
            self.fd = reading.open_directory(f"{self._path}/objects", repo_fd)
            held.callback(os.close, self.fd)
            self._repo_fd = repo_fd
            self._left = f"{self._path}/left"
            self._found = {path for _, path in _objects(repo_fd, self._left)}
            self._prefixes: set[str] = set()
            self._count = count(1)
            # What was taken, given back in reverse at the end.
            self._held = held.pop_all()

    def _open(self, held: ExitStack, repo_fd: int, boot_id: str) -> None:
        for name in reading.names("tmp", repo_fd):
            if name.startswith(f"staging-{boot_id}-") and not name.endswith("-lock"):
                with suppress(Busy, PermissionError):
                    lock = lock_file(f"tmp/{name}-lock", repo_fd, exclusive=True, mode=0o600)
                    held.callback(os.close, lock)
                    # The one that held it may have removed both in the meantime.
                    if os.fstat(lock).st_nlink and os.access(f"tmp/{name}", os.F_OK, dir_fd=repo_fd):
                        self._path = f"tmp/{name}"
                        _set_aside(self._path, repo_fd)
                        return
        while True:
            self._path = f"tmp/staging-{boot_id}-{os.urandom(3).hex()}"
            with suppress(Busy):
                lock = lock_file(f"{self._path}-lock", repo_fd, exclusive=True, mode=0o600)
                held.callback(os.close, lock)
                # Until now others could take it for one that was left behind.
                if os.fstat(lock).st_nlink:
                    break
        writing.make_directory(self._path, repo_fd, 0o775)
        writing.make_directory(f"{self._path}/objects", repo_fd, 0o775)

    def close(self, *, keep: bool) -> None:
        """`keep` leaves to the next transaction what is there, if anything is."""
        with doing(self._doing), self._held:
            if not keep or not any(_objects(self._repo_fd, f"{self._path}/objects")):
                trees.remove_tree(self._path, self._repo_fd)
                writing.remove(f"{self._path}-lock", self._repo_fd)

    def path(self, path: str) -> str:
        """Return where the object lies that shall have this path below objects/; the directory is made."""
        if path.endswith(".commit"):
            return _commit_path(path)
        if path[:2] not in self._prefixes:
            with doing(self._doing):
                writing.make_directory(path[:2], self.fd)
            self._prefixes.add(path[:2])
        return path

    @contextmanager
    def temporary(self) -> Iterator[str]:
        """Give the name of a file for an object that is not whole yet; it goes where it comes to nothing."""
        path = f"new-{os.getpid()}-{next(self._count)}"
        try:
            yield path
        except BaseException:
            with suppress(FileNotFoundError):
                writing.remove(path, self.fd)
            raise

    def place(self, paths: Iterable[str], objects_fd: int, *, durable: bool) -> None:
        """Move the objects that shall have these paths to objects/."""
        prefixes: dict[str, list[str]] = {}
        for path in paths:
            prefixes.setdefault(path[:2], []).append(path)
        for prefix, inside in prefixes.items():
            # A directory that is not there yet comes as a whole.
            if not any(path.endswith(".commit") for path in inside) and writing.rename_to_new(
                prefix, self.fd, prefix, objects_fd
            ):
                continue
            writing.make_directory(prefix, objects_fd)
            for path in inside:
                # An object that another has brought meanwhile stays, and ours goes with the directory.
                if path.endswith(REPLACED):
                    writing.rename(self.path(path), self.fd, path, objects_fd)
                else:
                    writing.rename_to_new(self.path(path), self.fd, path, objects_fd)
        # What is added from now on finds its directories gone.
        self._prefixes.clear()
        if not prefixes or not durable:
            return
        # What the objects hold was synced before; these are their names, and then the names of new directories. Until
        # both are on the disk no ref may name a commit among them.
        for prefix in prefixes:
            writing.sync_directory(prefix, objects_fd)
        writing.sync(objects_fd)

    def has_left(self, path: str) -> bool:
        """Return whether an earlier transaction left an object that shall have this path; asked once."""
        found = path in self._found
        self._found.discard(path)
        return found

    def take(self, path: str, to: str) -> bool:
        """Take it over as `to`; it may be damaged. False where another process of ours was first."""
        with doing(self._doing), suppress(FileNotFoundError):
            writing.rename(f"{self._left}/{path}", self._repo_fd, to, self.fd)
            return True
        return False

    def drop(self, path: str) -> None:
        """Remove what was taken over and is damaged."""
        with doing(self._doing):
            writing.remove(path, self.fd)


def _set_aside(staging: str, repo_fd: int) -> None:
    """Set aside what lies in a staging directory, as what is left of it, of the C tool's too."""
    writing.make_directory(f"{staging}/left", repo_fd)
    for below in f"{staging}/objects", staging:
        for name, path in _objects(repo_fd, below):
            writing.make_directory(f"{staging}/left/{path[:2]}", repo_fd)
            writing.rename(f"{below}/{name}", repo_fd, f"{staging}/left/{path}", repo_fd)
    trees.remove_tree(f"{staging}/objects", repo_fd)
    writing.make_directory(f"{staging}/objects", repo_fd, 0o775)


def _commit_path(path: str) -> str:
    """Return where a commit waits: apart from the rest, which may be moved by whole directories."""
    return path.replace("/", "")


def _objects(repo_fd: int, directory: str) -> Iterator[tuple[str, str]]:
    """Yield what lies in a directory laid out like objects/, but for commits: where, and the path that it shall
    have."""
    for prefix in reading.names(directory, repo_fd):
        if len(prefix) == 2:
            yield from [(path := f"{prefix}/{name}", path) for name in reading.names(f"{directory}/{prefix}", repo_fd)]
        elif COMMIT.fullmatch(prefix):
            yield prefix, f"{prefix[:2]}/{prefix[2:]}"


def _clean(repo_fd: int, boot_id: str, expiry: int) -> None:
    """Remove from tmp/ what processes left behind: staging directories of other boots, their locks without a directory,
    the rest when it is old."""
    found = reading.names("tmp", repo_fd)
    for name in set(found) - {"cache"}:
        path = f"tmp/{name}"
        with suppress(FileNotFoundError, PermissionError, Busy):
            if name.startswith("staging-"):
                directory = name.removesuffix("-lock")
                if not (name.startswith(f"staging-{boot_id}-") and directory in found):
                    _remove_staging(f"tmp/{directory}", repo_fd)
            # By the time of its last change: who is at work on it has changed it since.
            elif time.time() - os.stat(path, dir_fd=repo_fd, follow_symlinks=False).st_mtime > expiry:
                trees.remove_tree(path, repo_fd)


def _remove_staging(path: str, repo_fd: int) -> None:
    """Raises Busy where it is used: on a file system that machines share, another boot may be one of today."""
    with reading.closing(lock_file(f"{path}-lock", repo_fd, exclusive=True, mode=0o600)):
        trees.remove_tree(path, repo_fd)
        writing.remove(f"{path}-lock", repo_fd)
