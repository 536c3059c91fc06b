"""What becomes of /etc when another tree is deployed, worked out before anything is touched.

Three trees: the defaults (usr/etc) and the /etc of the deployment one comes from, and the defaults of the new tree.
Whatever differs from the old defaults wins over the new ones, a directory that is none there with all that is in it;
what was removed stays removed. Each tree is a mapping
of paths to items, so that planning reads no disk.
"""

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


# Path relative to /etc -> what is there. Each directory stands in it, and the top does not.
Items = Mapping[str, Item]


class Reason(StrEnum):
    """Of a conflict. With the first two one's own is kept; the others stop a deployment."""

    BOTH_CHANGED = "both-changed"
    DIRECTORY_OVER_FILE = "directory-over-file"
    FILE_OVER_DIRECTORY = "file-over-directory"
    # What was changed lies in a directory of /etc that is none in the new tree; a symlink is not followed.
    BELOW_FILE = "below-file"


class Conflict(NamedTuple):
    path: str
    reason: Reason

    @property
    def stops(self) -> bool:
        return self.reason in (Reason.FILE_OVER_DIRECTORY, Reason.BELOW_FILE)


@dataclass(frozen=True, slots=True)
class EtcPlan:
    """`kept`: what an administrator did, which is carried over. `incoming`: what the new defaults bring.

    To carry it out, on a copy of the new defaults: remove `removals`, trees or files; then place `placed`, which is to
    be taken from the old /etc, each directory before what is in it.
    """

    kept: Changes = field(default_factory=Changes)
    incoming: Changes = field(default_factory=Changes)
    conflicts: tuple[Conflict, ...] = ()
    removals: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()


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
    work = _Work(etc, new)
    for path in kept.removed:
        work.remove(path)
    for path in sorted(kept.modified + kept.added):
        if is_carried(etc[path].mode):
            work.take(path)
            if new.get(path) not in (old.get(path), etc[path]):
                work.conflicts.setdefault(path, Reason.BOTH_CHANGED)
    for top in kept.removed:
        for path in (top, *_below(top, new)):
            if path in new and new[path] != old.get(path):
                work.conflicts.setdefault(path, Reason.BOTH_CHANGED)
    return EtcPlan(
        kept,
        compare({path: item for path, item in etc.items() if is_carried(item.mode)}, work.result),
        tuple(Conflict(*pair) for pair in sorted(work.conflicts.items())),
        tuple(work.removals),
        tuple(sorted(work.placed)),
    )


class _Work:
    """The new /etc while it is being planned."""

    def __init__(self, etc: Items, new: Items) -> None:
        self._etc = etc
        self.result = dict(new)
        self.conflicts: dict[str, Reason] = {}
        self.removals: list[str] = []
        self.placed: set[str] = set()

    def remove(self, top: str) -> None:
        if top in self.result:
            self.removals.append(top)
            for path in [top, *_below(top, self.result)]:
                del self.result[path]

    def take(self, path: str) -> None:
        for parent in _parents(path):
            if parent not in self.result:
                self._place(parent)
            elif not self.result[parent].is_directory:
                self.conflicts[parent] = Reason.BELOW_FILE
                return
        there, own = self.result.get(path), self._etc[path]
        if own.is_directory and (there is None or not there.is_directory):
            if there is not None:
                self.conflicts[path] = Reason.DIRECTORY_OVER_FILE
                self.remove(path)
            for each in (path, *_below(path, self._etc)):
                if is_carried(self._etc[each].mode):
                    self._place(each)
        elif there is None or there.is_directory == own.is_directory:
            self._place(path)
        else:
            self.conflicts[path] = Reason.FILE_OVER_DIRECTORY

    def _place(self, path: str) -> None:
        self.result[path] = self._etc[path]
        self.placed.add(path)


def _below(top: str, items: Items) -> list[str]:
    return [path for path in items if path.startswith(f"{top}/")]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _parents(path: str) -> Iterator[str]:
    """The directories above, the highest first."""
    parts = path.split("/")
    for i in range(1, len(parts)):
        yield "/".join(parts[:i])
