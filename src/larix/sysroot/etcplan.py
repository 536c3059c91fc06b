"""What becomes of /etc when another tree is deployed, worked out before anything is touched.

Three trees: the defaults (usr/etc) and the /etc of the deployment one comes from, and the defaults of the new tree.
Whatever differs from the old defaults wins over the new ones, a directory that is none there with all that is in it;
what was removed stays removed. Where the new tree wants a directory, or no directory any more, and what was changed
cannot stay where it is, it is kept beside: nothing of /etc ends an upgrade. Each tree is a mapping of paths to items,
so that planning reads no disk.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from larix.ops.diff import Changes


class Item(NamedTuple):
    """Type and mode bits, owner, extended attributes in order; a symlink's target, or the SHA-256 of a file's bytes.

    Without `security.selinux`: a label is given by the policy, for /etc another than for /usr/etc.
    """

    mode: int
    uid: int
    gid: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    content: bytes = b""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


BESIDE = ".larix-kept"
LONGEST_NAME = 255
# Path relative to /etc -> what is there. Each directory stands in it, and the top does not.
Items = Mapping[str, Item]


class Reason(StrEnum):
    """Of a conflict."""

    BOTH_CHANGED = "both-changed"
    DEFAULT_REMOVED = "default-removed"
    REMOVED = "removed-by-you"
    DIRECTORY_OVER_FILE = "directory-over-file"
    FILE_OVER_DIRECTORY = "file-over-directory"
    # What was changed lies in a directory of /etc that is none in the new tree; a symlink is not followed.
    BELOW_FILE = "below-file"


class Conflict(NamedTuple):
    """`yours` is where in the new /etc lies what was at `path` in the old one; None for what was removed from it.

    `default` tells whether the new tree has something there, which is then to be found below /usr/etc.
    """

    path: str
    reason: Reason
    yours: str | None
    default: bool = True


@dataclass(frozen=True, slots=True)
class EtcPlan:
    """`kept`: what an administrator did, which is carried over. `incoming`: what the new defaults bring.

    To carry it out, on a copy of the new defaults: remove `removals`, trees or files; then place `placed`, which says
    for each path where in the old /etc it is taken from, each directory before what is in it.
    """

    kept: Changes = field(default_factory=Changes)
    incoming: Changes = field(default_factory=Changes)
    conflicts: tuple[Conflict, ...] = ()
    removals: tuple[str, ...] = ()
    placed: Mapping[str, str] = field(default_factory=dict)


def is_carried(mode: int) -> bool:
    """Not sockets and FIFOs, which belong to a running program, nor devices."""
    return stat.S_IFMT(mode) in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)


def compare(old: Items, new: Items) -> Changes:
    """What makes `new` of `old`, each directory before what is in it; of a removed directory only itself."""
    removed = [
        path
        for path in sorted(old)
        if path not in new and ((parent := _parent(path)) == "" or (parent in new and new[parent].is_directory))
    ]
    modified = [path for path in sorted(new) if path in old and old[path] != new[path]]
    return Changes(modified, removed, [path for path in sorted(new) if path not in old])


def plan_merge(old: Items, etc: Items, new: Items) -> EtcPlan:
    """`old` are the defaults of the tree that /etc belongs to, `new` those of the next one."""
    kept = compare(old, etc)
    work = _Work(old, etc, new)
    for path in kept.removed:
        work.remove(path)
    for path in sorted(kept.modified + kept.added):
        if is_carried(etc[path].mode):
            work.take(path)
    for top in kept.removed:
        for path in (top, *_below(top, new)):
            if path in new and new[path] != old.get(path):
                work.tell(path, Reason.REMOVED, None)
    carried = {path: item for path, item in etc.items() if is_carried(item.mode)}
    return EtcPlan(
        kept,
        compare(carried, {path: item for path, item in work.result.items() if path == work.placed.get(path, path)}),
        tuple(work.conflicts[path] for path in sorted(work.conflicts)),
        tuple(work.removals),
        dict(sorted(work.placed.items())),
    )


class _Work:
    """The new /etc while it is being planned."""

    def __init__(self, old: Items, etc: Items, new: Items) -> None:
        self._old = old
        self._etc = etc
        self._new = new
        self._beside: dict[str, str] = {}
        self.result = dict(new)
        self.conflicts: dict[str, Conflict] = {}
        self.removals: list[str] = []
        self.placed: dict[str, str] = {}

    def tell(self, path: str, reason: Reason, yours: str | None) -> None:
        self.conflicts.setdefault(path, Conflict(path, reason, yours, path in self._new))

    def remove(self, top: str) -> None:
        if top in self.result:
            self.removals.append(top)
            for path in [top, *_below(top, self.result)]:
                del self.result[path]

    def take(self, path: str) -> None:
        """Place what was changed or added, with the directories it needs."""
        if any(not self.result.get(parent, self._etc[parent]).is_directory for parent in _parents(path)):
            self._take_beside(path)
            return
        for parent in _parents(path):
            if parent not in self.result:
                self._place(parent)
        old, own, new, there = (items.get(path) for items in (self._old, self._etc, self._new, self.result))
        assert own is not None
        if own.is_directory:
            if there is not None and not there.is_directory:
                self.tell(path, Reason.DIRECTORY_OVER_FILE, path)
                self.remove(path)
                there = None
            for each in (path, *_below(path, self._etc)) if there is None else (path,):
                if is_carried(self._etc[each].mode):
                    self._place(each)
        elif there is not None and there.is_directory:
            if old is None or not old.is_directory:
                self._keep_beside(path, Reason.FILE_OVER_DIRECTORY)
                return
            # Somebody decided against this very directory.
            self.tell(path, Reason.FILE_OVER_DIRECTORY, path)
            self.remove(path)
            self._place(path)
        else:
            self._place(path)
        if new not in (old, own):
            self.tell(path, Reason.DEFAULT_REMOVED if new is None else Reason.BOTH_CHANGED, path)

    def _take_beside(self, path: str) -> None:
        for parent in _parents(path):
            beside = self._find_beside(parent)
            if beside is not None:
                self.placed.setdefault(beside, parent)
                self.result.setdefault(beside, self._etc[parent])
            elif not self.result[parent].is_directory:
                self._keep_beside(parent, Reason.BELOW_FILE)
        beside = self._find_beside(path)
        assert beside is not None
        self._place(path, beside)

    def _keep_beside(self, path: str, reason: Reason) -> None:
        self._beside[path] = _free_name(path, self._etc, self.result)
        self.tell(path, reason, self._beside[path])
        self._place(path, self._beside[path])

    def _find_beside(self, path: str) -> str | None:
        """Where that is kept which lies at or below something that is kept beside."""
        for top in (*_parents(path), path):
            if top in self._beside:
                return self._beside[top] + path.removeprefix(top)
        return None

    def _place(self, path: str, target: str | None = None) -> None:
        self.result[target or path] = self._etc[path]
        self.placed[target or path] = path


def _free_name(path: str, *taken: Items) -> str:
    above, slash, name = path.rpartition("/")
    while len(os.fsencode(name)) > LONGEST_NAME - len(BESIDE) - 4:
        name = name[:-1]
    names = (f"{above}{slash}{name}{BESIDE}{count}" for count in ("", *range(2, 1000)))
    return next(name for name in names if not any(name in items for items in taken))


def _below(top: str, items: Items) -> list[str]:
    return [path for path in items if path.startswith(f"{top}/")]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _parents(path: str) -> Iterator[str]:
    """The directories above, the highest first."""
    parts = path.split("/")
    for i in range(1, len(parts)):
        yield "/".join(parts[:i])
