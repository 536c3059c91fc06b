"""Putting one file of a checkout into a directory: as a hard link where the layout allows it, else as a copy.

A name that is there already is met as the options say. In user mode an archive links too: to a copy of the file in
`uncompressed-objects-cache`, which is made where it is missing, and laid out as `objects` is.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial

from larix.errors import Corrupt, Invalid, Unsupported
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, content_checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.linux import reading, trees, writing, xattr
from larix.linux.selinux import Labels
from larix.ops.commit.scan import open_entry
from larix.ops.tree.modify import labelled
from larix.repo.layout import StoredFile, object_path
from larix.repo.object_errors import object_error
from larix.repo.repo import Repo

CACHE = "uncompressed-objects-cache"
# A file of this name becomes the device by which overlayfs knows that a name is hidden.
PASSED_WHITEOUT = ".ostree-wh."
SET_IDS = stat.S_ISUID | stat.S_ISGID


class Overwrite(Enum):
    """What becomes of a file that is there already. REPLACE, KEEP and IDENTICAL go on in directories that are there."""

    REFUSE = 0
    REPLACE = 1
    KEEP = 2
    # Refused, unless it is the file that would be put there.
    IDENTICAL = 3


@dataclass(frozen=True, slots=True)
class CheckoutOptions:
    """`copy`: never link. `require_links`: rather fail than copy. `skipped`: paths of files, and of directories with a
    slash at the end, from `subpath` on. With `whiteouts` a file `.wh.NAME` removes NAME, and `.wh..wh..opq` what was
    in its directory. With `passed_whiteouts` a file `.ostree-wh.NAME` becomes the device NAME. `plain_directories` get
    only mode bits of 0775. `cache`: whether files of an archive may be linked to its cache. `labels`: by SELinux, for
    the paths that they have from `label_prefix` on (default: from the root of the tree on); then all is copied."""

    user_mode: bool = False
    copy: bool = False
    require_links: bool = False
    subpath: str = "/"
    overwrite: Overwrite = Overwrite.REFUSE
    whiteouts: bool = False
    passed_whiteouts: bool = False
    allow_missing: bool = False
    plain_directories: bool = False
    skipped: frozenset[str] = frozenset()
    cache: bool = True
    fsync: bool = False
    labels: Labels | None = None
    label_prefix: str | None = None

    def label_path(self, below: str) -> str:
        """Return the path to label by, of what is placed at a path below the top."""
        prefix = self.subpath if self.label_prefix is None else self.label_prefix
        return "/" + f"{prefix.strip('/')}/{below}".strip("/")


class Placer:
    """Puts files where one checkout wants them. `link` comes first, `copy` where that was not possible."""

    def __init__(self, repo: Repo, options: CheckoutOptions) -> None:
        self._repo = repo
        self._user_mode = options.user_mode
        self._overwrite = options.overwrite
        self._whiteouts = options.whiteouts
        self._passed_whiteouts = options.passed_whiteouts
        self._require_links = options.require_links
        self._labels = None if options.user_mode else options.labels
        copies = options.copy or options.labels is not None
        self._copies_all = copies or (repo.layout.keeps_packed and not options.require_links)
        self._cache_fd = -1
        if repo.layout.keeps_packed and options.user_mode and options.cache and not copies:
            self._cache_fd = _open_cache(repo)

    def close(self) -> None:
        if self._cache_fd >= 0:
            os.close(self._cache_fd)
            self._cache_fd = -1

    def link(self, checksum: Checksum, name: str, dir_fd: int) -> bool:
        """Link the file if it can be."""
        if self._copies_all:
            return False
        object_name = ObjectName(checksum, ObjectType.FILE)
        holder = self._repo.holder(object_name)
        source, layout = holder.object_path(object_name), holder.layout
        try:
            mode, size = layout.mode_and_size(source, holder.objects_fd)
        except (OSError, Corrupt) as error:
            raise object_error(object_name, error) from None
        is_symlink = stat.S_ISLNK(mode)
        if not is_symlink and self._passed_whiteouts and name.startswith(PASSED_WHITEOUT):
            return False
        # An empty file costs nothing to copy, and its object would soon have as many links as there can be.
        if not is_symlink and not size:
            return False
        if self._user_mode and _is_unreadable(mode):
            return False
        if not layout.links(mode, user_mode=self._user_mode):
            if self._require_links and not is_symlink:
                raise Unsupported(self._why_not())
            return False
        try:
            try:
                writing.link(source, holder.objects_fd, name, dir_fd)
            except FileExistsError:
                self._meet_link(checksum, name, dir_fd, lambda to: writing.link(source, holder.objects_fd, to, dir_fd))
        except OSError as error:
            # Another file system, an object with as many links as there can be, or of another user.
            if error.errno not in writing.CANNOT_LINK or self._require_links:
                raise
            return False
        return True

    def copy(self, checksum: Checksum, name: str, dir_fd: int, path: str) -> None:
        """`path` is what its label is for."""
        if self._cache_fd >= 0 and self._link_cached(checksum, name, dir_fd):
            return

        make = partial(self._copy_to, checksum, dir_fd, path)
        hides = self._passed_whiteouts and name.startswith(PASSED_WHITEOUT)
        if hides and not self._repo.look_at_file(checksum)[0].is_symlink:
            make = partial(self._make_whiteout, checksum, dir_fd)
            name = hidden_name(name, PASSED_WHITEOUT)
        try:
            make(name)
        except FileExistsError:
            self._meet(checksum, name, dir_fd, make)

    def _why_not(self) -> str:
        if self._repo.layout.keeps_packed:
            return "Archive repository mode cannot hardlink: its files are compressed"
        if self._user_mode:
            return "Bare repository mode cannot hardlink in user checkout mode"
        return "User repository mode requires user checkout mode to hardlink"

    def _meet(self, checksum: Checksum, name: str, dir_fd: int, make: Callable[[str], None]) -> None:
        """Do about a file that is there what the options say; `make` makes the new one under a name."""
        if self._overwrite is Overwrite.KEEP:
            return
        if self._overwrite is Overwrite.REPLACE:
            self._replace(name, dir_fd, make)
        elif self._overwrite is Overwrite.REFUSE:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        elif difference := self._difference(checksum, name, dir_fd):
            raise FileExistsError(errno.EEXIST, f"File exists, with {difference} than object {checksum}", name)

    def _meet_link(self, checksum: Checksum, name: str, dir_fd: int, make: Callable[[str], None]) -> None:
        # A copy that is the same file stays, as in the C tool, and so does a link: to rename one to it does nothing.
        if self._overwrite is not Overwrite.REPLACE or self._difference(checksum, name, dir_fd):
            self._meet(checksum, name, dir_fd, make)

    def _replace(self, name: str, dir_fd: int, make: Callable[[str], None]) -> None:
        temporary = f".checkout.{os.urandom(6).hex()}"
        try:
            make(temporary)
            try:
                writing.rename(temporary, dir_fd, name, dir_fd)
            except IsADirectoryError:
                # As with an upper layer of a container.
                if not self._whiteouts:
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name) from None
                trees.remove_tree(name, dir_fd)
                writing.rename(temporary, dir_fd, name, dir_fd)
        finally:
            # Also where both names were links to one file: then the kernel leaves both.
            with suppress(FileNotFoundError):
                writing.remove(temporary, dir_fd)

    def _difference(self, checksum: Checksum, name: str, dir_fd: int) -> str:
        """Compare with the file that is there; return what it has another of, '' where it is the object, or the same as
        that. In user mode the owner and extended attributes are not looked at."""
        there = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        object_name = ObjectName(checksum, ObjectType.FILE)
        holder = self._repo.holder(object_name)
        path = holder.object_path(object_name)
        if os.path.samestat(there, os.stat(path, dir_fd=holder.objects_fd, follow_symlinks=False)):
            return ""
        with self._repo.open_file(checksum) as stored:
            wanted, size = stored.header, stored.size
        mode = user_mode(wanted.mode) if self._user_mode and not wanted.is_symlink else wanted.mode
        if there.st_mode != mode:
            return f"another type or mode ({there.st_mode:o}, not {mode:o})"
        if not wanted.is_symlink and there.st_size != size:
            return f"another size ({there.st_size} bytes, not {size})"
        with open_entry(name, dir_fd, name) as entry:
            header = entry.header
            if self._user_mode:
                header = wanted._replace(target=header.target)
            if content_checksum(header, entry.content) == checksum:
                return ""
        return (
            "another target"
            if wanted.is_symlink
            else f"another content{'' if self._user_mode else ', owner or attribute'}"
        )

    def _copy_to(self, checksum: Checksum, dir_fd: int, path: str, name: str) -> None:
        with self._repo.open_file(checksum) as stored:
            header = stored.header
            if self._labels is not None:
                stored.header = header._replace(xattrs=labelled(self._labels, path, header.mode, header.xattrs))
            self._make(stored, name, dir_fd)

    def _make(self, stored: StoredFile, name: str, dir_fd: int) -> None:
        header = stored.header
        if header.is_symlink:
            writing.symlink(header.target, name, dir_fd)
            if not self._user_mode:
                writing.set_link_owner(name, dir_fd, header.uid, header.gid)
                for key, value in header.xattrs:
                    xattr.set_on_link(name, dir_fd, key, value)
            return
        with reading.closing(writing.create(name, dir_fd)) as fd:
            for piece in stored.content:
                writing.write_all(fd, piece)
            self._set_metadata(fd, header)

    def _set_metadata(self, fd: int, header: FileHeader) -> None:
        if self._user_mode:
            writing.set_mode(fd, stat.S_IMODE(user_mode(header.mode)))
            return
        # The owner first: to change it takes the set-uid bit and the capabilities away.
        writing.set_owner(fd, header.uid, header.gid)
        for key, value in header.xattrs:
            xattr.set_on(fd, key, value)
        writing.set_mode(fd, stat.S_IMODE(header.mode))

    def _make_whiteout(self, checksum: Checksum, dir_fd: int, name: str) -> None:
        with self._repo.open_file(checksum) as stored:
            header = stored.header
        writing.make_whiteout(name, dir_fd, stat.S_IMODE(header.mode))
        if not self._user_mode:
            writing.set_link_owner(name, dir_fd, header.uid, header.gid)
            for key, value in header.xattrs:
                xattr.set_on_link(name, dir_fd, key, value)

    def _link_cached(self, checksum: Checksum, name: str, dir_fd: int) -> bool:
        path = object_path(ObjectName(checksum, ObjectType.FILE), "file")

        def make(other: str) -> None:
            writing.link(path, self._cache_fd, other, dir_fd)

        try:
            try:
                if not os.access(path, os.F_OK, dir_fd=self._cache_fd) and not self._fill_cache(checksum, path):
                    return False
                make(name)
            except FileExistsError:
                self._meet_link(checksum, name, dir_fd, make)
        except OSError as error:
            if error.errno not in writing.CANNOT_LINK:
                raise
            return False
        return True

    def _fill_cache(self, checksum: Checksum, path: str) -> bool:
        """Return whether the file is of a kind that is cached."""
        with self._repo.open_file(checksum) as stored:
            if stored.header.is_symlink or not stored.size or _is_unreadable(stored.header.mode):
                return False
            writing.make_parents(path, self._cache_fd)
            temporary = f".{checksum[:16]}.{os.urandom(6).hex()}"
            try:
                self._make(stored, temporary, self._cache_fd)
                # Another worker, or command, may have been faster: to replace its file would fail whoever links it now.
                writing.rename_to_new(temporary, self._cache_fd, path, self._cache_fd)
            finally:
                with suppress(FileNotFoundError):
                    writing.remove(temporary, self._cache_fd)
        return True


def _open_cache(repo: Repo) -> int:
    """-1 where the repo does not want one, or is not ours to change."""
    if not repo.config.find_bool("core", "enable-uncompressed-cache", True):
        return -1
    if not os.access(".", os.W_OK, dir_fd=repo.fd):
        return -1
    writing.make_directory(CACHE, repo.fd)
    return reading.open_directory(CACHE, repo.fd, follow=False)


def _is_unreadable(mode: int) -> bool:
    """Return whether its owner could not read it, who would have nothing of such a file in user mode: there it is given
    the bit, so never linked."""
    return not stat.S_ISLNK(mode) and not mode & stat.S_IRUSR


def user_mode(mode: int) -> int:
    """Return what becomes of a file's mode in a checkout for a user alone."""
    return mode & ~SET_IDS | stat.S_IRUSR


def hidden_name(name: str, prefix: str) -> str:
    """Return what the whiteout `name` hides. Raises Invalid where that is no name."""
    hidden = name[len(prefix) :]
    if hidden in ("", ".", ".."):
        raise Invalid(f"Whiteout {name} hides nothing: no file can be named {hidden!r}")
    return hidden
