"""Refs: names of commits, one small file each.

    refs/heads/REF                 branches made here
    refs/remotes/REMOTE/REF        what a remote had at the last pull
    refs/mirrors/COLLECTION/REF    a copy of a branch of another repo, which is known by its collection

The file holds the checksum and a line feed. A reader sees the old or the new commit. A branch may be an alias: a
relative symlink to another branch. Paths are those in the repo.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from larix.errors import Corrupt, NotFound
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import Ref, RemoteName, check_collection, check_ref, check_remote, is_ref
from larix.linux import reading

HEADS, REMOTES, MIRRORS = "refs/heads", "refs/remotes", "refs/mirrors"
MEND = {
    HEADS: "`larix reset` gives it one, `larix refs --delete` removes it",
    REMOTES: "a pull gives it one, `larix refs --delete` removes it",
    MIRRORS: "a pull gives it one, `larix refs -c --delete` removes those of its collection",
}
MAX_SIZE = 4096
# Called for a ref that cannot be read, where the others are wanted all the same; None: that is an error.
PassOver = Callable[[Corrupt], None] | None
# What may follow the checksum: some editor or script of an administrator wrote it.
SPACE = " \t\n\f\r"
# As for symlinks of the kernel.
MAX_ALIASES = 40


def ref_path(remote: str | None, ref: str) -> str:
    """Raises Invalid for a name that is none."""
    check_ref(ref)
    return f"refs/remotes/{check_remote(remote)}/{ref}" if remote is not None else f"{HEADS}/{ref}"


def mirror_path(collection: str, ref: str) -> str:
    """Raises Invalid."""
    return f"{MIRRORS}/{check_collection(collection)}/{check_ref(ref)}"


def find_ref(repo_fd: int, remote: str | None, ref: str) -> Checksum | None:
    return find_at(repo_fd, ref_path(remote, ref), ref)


def find_at(repo_fd: int, path: str, name: str) -> Checksum | None:
    """Return what the ref at this path has; `name` is for messages. Raises Corrupt."""
    try:
        return _read(repo_fd, path, name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def unknown(text: str, repo_path: str) -> NotFound:
    return NotFound(f"Refspec '{text}' not found in {repo_path}; `larix refs` lists what is there")


def _read(repo_fd: int, path: str, name: str) -> Checksum:
    for _ in range(MAX_ALIASES):
        try:
            checksum = reading.read(path, repo_fd, MAX_SIZE).decode("ascii", "replace").rstrip(SPACE)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            path = _aim(repo_fd, path)
            continue
        if not is_checksum(checksum):
            mend = next(text for top, text in MEND.items() if path.startswith(top))
            raise Corrupt(f"Ref {name}: {path} does not hold a checksum; {mend}")
        return Checksum(checksum)
    raise Corrupt(f"Ref {name}: an alias of an alias, and so on, more than {MAX_ALIASES} times")


def _target(repo_fd: int, path: str) -> str:
    """Return where the symlink leads, from the repo."""
    return os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path, dir_fd=repo_fd)))


def _aim(repo_fd: int, path: str) -> str:
    """Return where the alias leads. Raises Corrupt where that is no branch."""
    target = _target(repo_fd, path)
    if not path.startswith(f"{HEADS}/") or not target.startswith(f"{HEADS}/"):
        raise Corrupt(f"Ref {path.removeprefix(f'{HEADS}/')} is an alias of {target}, which is no branch")
    return target


def list_refs(repo_fd: int, pass_over: PassOver = None) -> dict[tuple[RemoteName | None, Ref], Checksum]:
    """Return (remote or None, ref) -> commit, of heads and remotes, sorted by name. Raises Corrupt."""
    found = {}
    for remote, ref in list_names(repo_fd):
        with _passing_over(pass_over):
            if (checksum := find_ref(repo_fd, remote, ref)) is not None:
                found[remote, ref] = checksum
            elif remote is None:
                _check_gone(repo_fd, ref)
    return found


@contextmanager
def _passing_over(pass_over: PassOver) -> Iterator[None]:
    try:
        yield
    except Corrupt as error:
        if pass_over is None:
            raise
        pass_over(error)


def _check_gone(repo_fd: int, ref: str) -> None:
    """Check a branch that was there and has no commit. Raises Corrupt for an alias, which is removed before what it
    means."""
    path = ref_path(None, ref)
    if reading.is_link(path, repo_fd):
        target = os.readlink(path, dir_fd=repo_fd)
        raise Corrupt(
            f"Ref {ref} is an alias of {target}, which is not there; `larix refs --delete {ref}` removes the alias"
        )


def list_strays(repo_fd: int) -> list[str]:
    """Return paths of what lies among the refs and cannot be one, by its name: an editor's copy, say."""
    found = [f"{HEADS}/{path}" for path in _walk(repo_fd, HEADS) if not is_ref(path)]
    for top in REMOTES, MIRRORS:
        with suppress(FileNotFoundError):
            found += [f"{top}/{path}" for path in _walk(repo_fd, top) if not is_ref(path) or "/" not in path]
    return sorted(found)


def list_names(repo_fd: int) -> list[tuple[RemoteName | None, Ref]]:
    """Return (remote or None, ref), sorted, also of those that do not hold a checksum, without strays."""
    keys: list[tuple[RemoteName | None, Ref]]
    keys = [(None, Ref(path)) for path in sorted(_walk(repo_fd, HEADS)) if is_ref(path)]
    for path in sorted(_walk(repo_fd, REMOTES)):
        remote, _, ref = path.partition("/")
        if is_ref(remote) and is_ref(ref):
            keys.append((RemoteName(remote), Ref(ref)))
    return keys


def list_mirrors(repo_fd: int, pass_over: PassOver = None) -> dict[tuple[str, str], Checksum]:
    """Return (collection, ref) -> commit, sorted by name."""
    found = {}
    for collection, ref in list_mirror_names(repo_fd):
        path = f"{collection}/{ref}"
        with _passing_over(pass_over):
            if (checksum := find_at(repo_fd, f"{MIRRORS}/{path}", path)) is not None:
                found[collection, ref] = checksum
    return found


def list_mirror_names(repo_fd: int) -> list[tuple[str, str]]:
    """Return (collection, ref), sorted, also of those that do not hold a checksum, without strays."""
    try:
        paths = sorted(_walk(repo_fd, MIRRORS))
    except FileNotFoundError:
        # A repo that was made before there were any.
        return []
    parts = (path.partition("/") for path in filter(is_ref, paths))
    return [(collection, ref) for collection, _, ref in parts if ref]


def target_of(repo_fd: int, path: str) -> str | None:
    """Return where an alias leads; None where there is none."""
    try:
        return _target(repo_fd, path)
    except OSError:
        return None


def list_aliases(repo_fd: int) -> dict[str, str]:
    """Alias -> the branch that it means, sorted by name; or the path it leads to, where that is no branch."""
    found = {}
    for ref in sorted(filter(is_ref, _walk(repo_fd, HEADS))):
        # Removed in between.
        with suppress(FileNotFoundError):
            about = os.stat(f"{HEADS}/{ref}", dir_fd=repo_fd, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                found[ref] = _target(repo_fd, f"{HEADS}/{ref}").removeprefix(f"{HEADS}/")
    return found


def list_below(repo_fd: int, path: str) -> Iterator[str]:
    """Yield paths of the refs of which this one is a part."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for below in _walk(repo_fd, path):
            yield f"{path}/{below}"


def _walk(repo_fd: int, top: str) -> Iterator[str]:
    """Raises FileNotFoundError where `top` is not there."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            # A path that the kernel does not take in one piece, no ref of ours has.
            fd = reading.open_directory(f"{top}/{below}".rstrip("/"), repo_fd)
        except FileNotFoundError:
            if not below:
                raise
            # Removed in between.
            continue
        with reading.closing(fd), os.scandir(fd) as entries:
            for entry in entries:
                # Temporary files begin with a dot, refs do not.
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{below}{entry.name}/")
                else:
                    yield below + entry.name
