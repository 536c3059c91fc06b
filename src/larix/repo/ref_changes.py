"""Refs and aliases that change together: all of them, or none where something is in the way or fails."""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from types import EllipsisType

from larix.errors import Invalid, Moved, NotFound
from larix.formats.checksum import Checksum
from larix.linux import trees, writing
from larix.repo.refs import HEADS, MAX_ALIASES, find_at, list_aliases, list_below, ref_path, target_of
from larix.repo.staging import temporary_path

# What the commit of a ref must be before the change; `...`: whatever it is.
Expected = Checksum | None | EllipsisType

# From so many files on, one sync of the file system takes less than one of each.
MANY = 8
TOP = "refs"


class RefChanges:
    """By their paths in the repo. What is made comes first, an alias after what it means, what is removed last: no
    moment shows less than there was."""

    def __init__(self) -> None:
        self._refs: dict[str, Checksum] = {}
        # To where they lead, as symlinks do.
        self._aliases: dict[str, str] = {}
        self._removed: dict[str, None] = {}
        self._expected: dict[str, Checksum | None] = {}

    def __bool__(self) -> bool:
        return bool(self._refs or self._aliases or self._removed)

    def set(self, path: str, checksum: Checksum | None, expected: Expected) -> None:
        self._forget(path)
        if checksum is None:
            self._removed[path] = None
        else:
            self._refs[path] = checksum
        if not isinstance(expected, EllipsisType):
            self._expected[path] = expected

    def set_alias(self, alias: str, ref: str) -> None:
        """Both are names of branches. Raises Invalid."""
        path, target = ref_path(None, alias), ref_path(None, ref)
        self._forget(path)
        self._aliases[path] = os.path.relpath(target, os.path.dirname(path))

    def _forget(self, path: str) -> None:
        for changes in self._refs, self._aliases, self._removed, self._expected:
            changes.pop(path, None)

    def check(self, repo_fd: int) -> None:
        """Raises Invalid where a name is in the way, also one that is to be removed, or where an alias would mean
        nothing; NotFound where there is nothing to remove; Moved."""
        made = {**self._refs, **self._aliases}
        for path in made:
            _check_place(repo_fd, path, made)
        for path in self._removed:
            if not _is_there(repo_fd, path):
                raise NotFound(f"Ref {_name(path)} does not exist")
        self._check_aliases(repo_fd)
        for path, expected in self._expected.items():
            # One that is there already is as good as made.
            if (found := find_at(repo_fd, path, _name(path))) not in (expected, self._refs.get(path)):
                was = f"at {expected}" if expected else "not there"
                now = f"at {found}" if found else "not there"
                raise Moved(f"Ref {_name(path)} was {was} and is {now}: something else changed it; try again")

    def _check_aliases(self, repo_fd: int) -> None:
        for path in self._aliases:
            if not self._leads_to_a_ref(repo_fd, path):
                target = os.path.normpath(f"{os.path.dirname(path)}/{self._aliases[path]}")
                raise Invalid(f"Cannot create alias to non-existent ref: {_name(target)}")
        if any(path.startswith(f"{HEADS}/") for path in self._removed):
            for alias, ref in list_aliases(repo_fd).items():
                path = f"{HEADS}/{alias}"
                stays = path not in self._removed and path not in self._refs and path not in self._aliases
                if stays and f"{HEADS}/{ref}" in self._removed:
                    raise Invalid(f"Ref '{ref}' has an active alias: '{alias}'")

    def _leads_to_a_ref(self, repo_fd: int, path: str) -> bool:
        """Return whether an alias leads to a ref, as all will be."""
        for _ in range(MAX_ALIASES):
            if path in self._aliases:
                path = os.path.normpath(f"{os.path.dirname(path)}/{self._aliases[path]}")
            elif path in self._refs:
                return True
            elif path in self._removed or not _is_there(repo_fd, path):
                return False
            elif (target := target_of(repo_fd, path)) is None:
                return True
            else:
                path = target
        return False

    def make(self, repo_fd: int, *, durable: bool) -> None:
        """After `check`, while nobody else changes refs. Raises OSError; then all are as they were."""
        with ExitStack() as temporaries, ExitStack() as undo:
            for path in (*self._refs, *self._aliases):
                undo.callback(remove_empty, repo_fd, os.path.dirname(path))
            # All that takes space comes first: renames and removals work on a full disk too.
            written = self._write(repo_fd, temporaries, durable=durable)
            # One change is made or not; it leaves nothing to put back.
            several = len(written) + len(self._removed) > 1
            kept = {path: _keep(repo_fd, path, temporaries) for path in (*written, *self._removed) if several}
            for path in kept:
                undo.callback(_put_back, repo_fd, path, kept[path])
            for path, temporary in written.items():
                _clear(repo_fd, path)
                writing.rename(temporary, repo_fd, path, repo_fd)
            # Last: one that is removed is kept alive by nothing, should something fail before.
            for path in self._removed:
                writing.remove(path, repo_fd)
            undo.pop_all()
        for path in self._removed:
            remove_empty(repo_fd, os.path.dirname(path))
        if durable:
            _sync_directories(repo_fd, [*written, *self._removed])

    def _write(self, repo_fd: int, temporaries: ExitStack, *, durable: bool) -> dict[str, str]:
        """Under other names, by the path that each is to have. Those that stay are removed with `temporaries`."""
        each = len(self._refs) < MANY
        written = {}
        for path, content in (*self._refs.items(), *self._aliases.items()):
            writing.make_parents(path, repo_fd)
            written[path] = temporary = temporary_path()
            temporaries.callback(_remove_if_there, repo_fd, temporary)
            if path in self._refs:
                writing.put(temporary, repo_fd, [content.encode() + b"\n"], durable=durable and each)
            else:
                writing.symlink(content, temporary, repo_fd)
        if durable and not each:
            # Of many files one sync of all is faster than one of each.
            writing.sync_file_system(repo_fd)
        return written


def _check_place(repo_fd: int, path: str, made: Mapping[str, str]) -> None:
    """Raises Invalid where a ref and a directory of refs would have one name."""
    above = os.path.dirname(path)
    while above:
        if above in made or _is_there(repo_fd, above):
            raise Invalid(f"Ref {_name(path)} cannot stand beside ref {_name(above)}, which is a part of its name")
        above = os.path.dirname(above)
    if (below := next(list_below(repo_fd, path), None)) is not None:
        raise Invalid(f"Ref {_name(path)} cannot stand beside ref {_name(below)}, of whose name it is a part")


def _name(path: str) -> str:
    """Return what a path is called in messages."""
    return path.split("/", 2)[-1]


def _is_there(repo_fd: int, path: str) -> bool:
    """Return whether there is a ref or an alias, whatever it holds."""
    try:
        return not stat.S_ISDIR(os.stat(path, dir_fd=repo_fd, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _keep(repo_fd: int, path: str, temporaries: ExitStack) -> str | None:
    """Another name of what is there, from which it can be put back on a disk that takes nothing any more."""
    if not _is_there(repo_fd, path):
        return None
    kept = temporary_path()
    temporaries.callback(_remove_if_there, repo_fd, kept)
    try:
        writing.link(path, repo_fd, kept, repo_fd)
    except OSError:
        # A file system without hard links, or the file of another user.
        writing.copy(path, repo_fd, kept, repo_fd, temporary=temporary_path())
    return kept


def _put_back(repo_fd: int, path: str, kept: str | None) -> None:
    if kept is None:
        _remove_if_there(repo_fd, path)
    else:
        # Where it was not replaced yet, both names are of one file, and nothing happens.
        writing.rename(kept, repo_fd, path, repo_fd)


def _remove_if_there(repo_fd: int, path: str) -> None:
    with suppress(FileNotFoundError, IsADirectoryError):
        writing.remove(path, repo_fd)


def _clear(repo_fd: int, path: str) -> None:
    """Remove directories of the name, in which there are no refs: left by one that was killed, or by another tool."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(path, dir_fd=repo_fd, follow_symlinks=False).st_mode):
            trees.remove_tree(path, repo_fd)


def remove_empty(repo_fd: int, directory: str) -> None:
    """Remove a directory of refs and those above it, as far as nothing is in them."""
    parts = directory.split("/")
    # refs/heads and its like stay: without them the C tool ends with an error where it lists refs.
    while len(parts) > 2 and writing.remove_if_empty("/".join(parts), repo_fd):
        parts.pop()


def _sync_directories(repo_fd: int, paths: Iterable[str]) -> None:
    """Sync the directories that hold these refs, and those above, of which some may be new, or lack one that is
    gone."""
    directories = set()
    for path in paths:
        while path != TOP:
            directories.add(path := os.path.dirname(path))
    for directory in sorted(directories):
        with suppress(FileNotFoundError):
            writing.sync_directory(directory, repo_fd)
