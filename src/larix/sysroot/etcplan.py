"""What becomes of /etc when another tree is deployed, worked out before anything is touched.

Three trees: the defaults (usr/etc) and the /etc of the deployment one comes from, and the defaults of the new tree.
Whatever differs from the old defaults wins over the new ones, a directory that is none there with all that is in it;
what was removed stays removed. Where the new tree wants a directory, or no directory any more, and what was changed
cannot stay where it is, it is kept beside: nothing of /etc ends an upgrade. Each tree is a mapping of paths to items,
so that planning reads no disk.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Mapping
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
    for each path where in the old /etc it is taken from, each directory before what is in it. `left_out` are FIFOs,
    sockets and devices.
    """

    kept: Changes = field(default_factory=Changes)
    incoming: Changes = field(default_factory=Changes)
    conflicts: tuple[Conflict, ...] = ()
    removals: tuple[str, ...] = ()
    left_out: Changes = field(default_factory=Changes)
    placed: Mapping[str, str] = field(default_factory=dict)


def is_carried(mode: int) -> bool:
    """Return whether it is carried over: not sockets and FIFOs, which belong to a running program, nor devices."""
    return stat.S_IFMT(mode) in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)


def compare(old: Items, new: Items) -> Changes:
    """Return what makes `new` of `old`, each directory before what is in it; of a removed directory only itself."""
    removed = [
        path
        for path in sorted(old)
        if path not in new and ((parent := _parent(path)) == "" or (parent in new and new[parent].is_directory))
    ]
    modified = [path for path in sorted(new) if path in old and old[path] != new[path]]
    return Changes(modified, removed, [path for path in sorted(new) if path not in old])


def plan_merge(old: Items, etc: Items, new: Items) -> EtcPlan:
    """`old` are the defaults of the tree that /etc belongs to, `new` those of the next one."""
    changes = compare(old, etc)
    kept, left_out = Changes(removed=changes.removed), Changes()
    for path in changes.modified:
        (kept if is_carried(etc[path].mode) else left_out).modified.append(path)
    for path in changes.added:
        (kept if is_carried(etc[path].mode) else left_out).added.append(path)
    work = _Work(old, etc, new)
    for path in kept.removed:
        work.remove(path)
    for path in sorted(kept.modified + kept.added):
        work.take(path)
    for path in kept.removed:
        work.tell_removed(path)
    carried = {path: item for path, item in etc.items() if is_carried(item.mode)}
    return EtcPlan(
        kept,
        compare(carried, {path: item for path, item in work.result.items() if path == work.placed.get(path, path)}),
        tuple(work.conflicts[path] for path in sorted(work.conflicts)),
        tuple(work.removals),
        left_out,
        dict(sorted(work.placed.items())),
    )


class _Work:
    """The new /etc while it is being planned. Paths come in order, each directory before what is in it."""

    def __init__(self, old: Items, etc: Items, new: Items) -> None:
        self._old = old
        self._etc = etc
        self._new = new
        self._in_etc, self._in_new = _Index(etc), _Index(new)
        # Directories of the old /etc, and where in the new one what is in them goes.
        self._homes = {"": ""}
        self.result = dict(new)
        self.conflicts: dict[str, Conflict] = {}
        self.removals: list[str] = []
        self.placed: dict[str, str] = {}

    def tell(self, path: str, reason: Reason, yours: str | None) -> None:
        self.conflicts.setdefault(path, Conflict(path, reason, yours, path in self._new))

    def tell_removed(self, top: str) -> None:
        """Tell of what was removed with all in it, and is another in the new tree."""
        for path in (top, *self._in_new.below(top)):
            if path in self._new and self._new[path] != self._old.get(path):
                self.tell(path, Reason.REMOVED, None)

    def remove(self, top: str) -> None:
        """Remove one of the new defaults: nothing was placed there."""
        if top in self.result:
            self.removals.append(top)
            for path in (top, *self._in_new.below(top)):
                self.result.pop(path, None)

    def take(self, path: str) -> None:
        """Place what was changed or added, with the directories it needs."""
        parent = _parent(path)
        home = self._find_home(parent)
        if home != parent:
            self._place(path, _join(home, path))
            return
        own, old, new, planned = self._etc[path], self._old.get(path), self._new.get(path), self.result.get(path)
        if own.is_directory:
            if planned is not None and not planned.is_directory:
                self.tell(path, Reason.DIRECTORY_OVER_FILE, path)
                self.remove(path)
                planned = None
            for each in (path,) if planned is not None else (path, *self._in_etc.below(path)):
                if is_carried(self._etc[each].mode):
                    self._place(each, each)
        elif planned is not None and planned.is_directory:
            if old is None or not old.is_directory:
                self._keep_beside(path, Reason.FILE_OVER_DIRECTORY)
                return
            # Somebody decided against this very directory.
            self.tell(path, Reason.FILE_OVER_DIRECTORY, path)
            self.remove(path)
            self._place(path, path)
        else:
            self._place(path, path)
        if new not in (old, own):
            self.tell(path, Reason.DEFAULT_REMOVED if new is None else Reason.BOTH_CHANGED, path)

    def _find_home(self, directory: str) -> str:
        """Return where what is in a directory of the old /etc goes; it is placed there, where it is not there
        already."""
        unknown = []
        while directory not in self._homes:
            unknown.append(directory)
            directory = _parent(directory)
        home = self._homes[directory]
        for each in reversed(unknown):
            in_place = home == _parent(each)
            home = _join(home, each)
            planned = self.result.get(home)
            if planned is None:
                self._place(each, home)
            elif in_place and not planned.is_directory:
                home = self._keep_beside(each, Reason.BELOW_FILE)
            self._homes[each] = home
        return home

    def _keep_beside(self, path: str, reason: Reason) -> str:
        beside = _free_name(path, self._etc, self.result)
        self.tell(path, reason, beside)
        self._place(path, beside)
        return beside

    def _place(self, path: str, target: str) -> None:
        self.result[target] = self._etc[path]
        self.placed[target] = path


class _Index:
    """The paths of a tree, in which those below one are found without looking at all."""

    def __init__(self, items: Items) -> None:
        self._paths = sorted(items)

    def below(self, top: str) -> list[str]:
        # "0" comes after the slash.
        return self._paths[bisect_left(self._paths, f"{top}/") : bisect_left(self._paths, f"{top}0")]


def _free_name(path: str, *taken: Items) -> str:
    above, slash, name = path.rpartition("/")
    while len(os.fsencode(name)) > LONGEST_NAME - len(BESIDE) - 4:
        name = name[:-1]
    names = (f"{above}{slash}{name}{BESIDE}{number}" for number in ("", *range(2, 1000)))
    return next(name for name in names if not any(name in items for items in taken))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _join(directory: str, path: str) -> str:
    """Return the last name of a path, in a directory."""
    name = path.rpartition("/")[2]
    return f"{directory}/{name}" if directory else name
