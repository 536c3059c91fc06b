"""What changes between a directory or an archive and the commit made of it: owners, modes, attributes, left out paths.

    statoverride    lines `[+]MODE PATH`: these bits are added to the mode; `=MODE PATH`: this is the mode.
    skip list       lines `PATH`

MODE is a decimal number, PATH begins with a slash at the top of the tree.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from larix.errors import Invalid
from larix.formats.content import FileHeader
from larix.formats.objects import MODE_BITS, DirMeta
from larix.formats.xattrs import Xattrs, canonical
from larix.linux.selinux import LABEL, Labels

CANONICAL_BITS = 0o755
EXECUTABLE, WRITABLE = 0o111, 0o222


@dataclass(frozen=True, slots=True)
class Override:
    """`bits` take the place of those of the mode, or are added to them."""

    bits: int
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Modifier:
    """`owner_uid` and `owner_gid` replace every owner. With `canonical` all belongs to root, without extended
    attributes and without set-uid, sticky and other's write bits, whatever else is asked."""

    owner_uid: int | None = None
    owner_gid: int | None = None
    xattrs: bool = True
    canonical: bool = False
    read_only_executables: bool = False
    overrides: Mapping[str, Override] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    # By SELinux; what it has no label for keeps its own.
    labels: Labels | None = None

    @property
    def changes_nothing(self) -> bool:
        return self == Modifier()

    def file(self, path: str, header: FileHeader) -> FileHeader:
        override = self.overrides.get(path)
        uid, gid, mode, xattrs = self._changed(override, header.uid, header.gid, header.mode, header.xattrs)
        return FileHeader(uid, gid, mode, header.target, labelled(self.labels, path, mode, xattrs))

    def directory(self, path: str, meta: DirMeta, *, adds: bool = False) -> DirMeta:
        """Without `adds` an override that would add bits is passed over: see `leaves`."""
        override = None if self.leaves(path, adds=adds) else self.overrides.get(path)
        changed = DirMeta(*self._changed(override, *meta))
        return changed._replace(xattrs=labelled(self.labels, path, changed.mode, changed.xattrs))

    def leaves(self, path: str, *, adds: bool) -> bool:
        """Return whether bits would be added to the mode of a directory of this machine, or of a commit. The C tool
        adds them to those of an archive alone, which are read with `adds`."""
        override = self.overrides.get(path)
        return override is not None and not override.replace and not adds

    def _changed(
        self, override: Override | None, uid: int, gid: int, mode: int, xattrs: Xattrs
    ) -> tuple[int, int, int, Xattrs]:
        if override is not None:
            mode = (stat.S_IFMT(mode) if override.replace else mode) | override.bits
        if self.read_only_executables and stat.S_ISREG(mode) and mode & EXECUTABLE:
            mode &= ~WRITABLE
        if self.canonical:
            return 0, 0, mode if stat.S_ISLNK(mode) else mode & (stat.S_IFMT(mode) | CANONICAL_BITS), ()
        uid = uid if self.owner_uid is None else self.owner_uid
        gid = gid if self.owner_gid is None else self.owner_gid
        return uid, gid, mode, xattrs if self.xattrs else ()


class Modification:
    """A modifier at work: besides what it changes, which of the paths that it names were met. All but `file` is called
    in one process, once for each path, however many trees lie over each other."""

    def __init__(self, modifier: Modifier | None = None) -> None:
        self.modifier = modifier or Modifier()
        self.file = self.modifier.file
        # Directories whose mode nothing was added to, though a line of the list says so.
        self.left: set[str] = set()
        self._met: set[str] = set()

    def skips(self, path: str) -> bool:
        """Note the path, and return whether to leave it out."""
        if path in self.modifier.overrides:
            self._met.add(path)
        if path in self.modifier.skipped:
            self._met.add(path)
            return True
        return False

    def directory(self, path: str, meta: DirMeta, *, adds: bool = False) -> DirMeta:
        if self.modifier.leaves(path, adds=adds):
            self.left.add(path)
        return self.modifier.directory(path, meta, adds=adds)

    def check_matched(self) -> None:
        """Raises Invalid where a path of a list was never met. One that replaces a mode need not be."""
        added = {path for path, override in self.modifier.overrides.items() if not override.replace}
        for what, paths in ("statoverride", added), ("skip-list", self.modifier.skipped):
            if missing := sorted(paths - self._met):
                raise Invalid(f"Unmatched {what} paths: {', '.join(missing)}")


def labelled(labels: Labels | None, path: str, mode: int, xattrs: Xattrs) -> Xattrs:
    """Return attributes with the label that the path is to have."""
    label = labels(path, mode) if labels is not None else None
    return xattrs if label is None else canonical([*(pair for pair in xattrs if pair[0] != LABEL), (LABEL, label)])


def parse_overrides(text: str) -> dict[str, Override]:
    """Read the lines of a statoverride file. Raises Invalid."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        mode, space, path = line.partition(" ")
        digits = mode.lstrip("+=") if mode[:1] in "+=" else mode
        if not space or not re.fullmatch("[0-9]{1,9}", digits) or int(digits) & ~MODE_BITS:
            raise Invalid(f"Malformed statoverride file, line {number}: {line[:80]!r} is not [+|=]MODE PATH")
        found[path.lstrip(" ")] = Override(int(digits), mode[0] == "=")
    return found


def parse_skip_list(text: str) -> frozenset[str]:
    return frozenset(line for line in text.splitlines() if line)
