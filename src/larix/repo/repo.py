"""The repo: a directory of objects, refs and a config. `Repo` reads; a `Transaction` adds.

config        core.repo_version, core.mode and what remotes and people add
objects/      see layout.py
refs/         see refs.py
state/        CHECKSUM.commitpartial: objects of this commit may be missing; `f` in it: fsck found so
extensions/   of other programs; larix/damaged/ has what fsck moved aside
tmp/          staging directories of transactions, their locks
.lock         shared by those who add, exclusive for those who delete
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from types import TracebackType
from typing import NamedTuple, Self

from larix.errors import Corrupt, Error, Invalid, NotFound, Unsupported
from larix.formats import names, objects
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.keyfile import KeyFile
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata, ObjectName, ObjectType
from larix.gvariant import decode
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.repo.archive import Archive
from larix.repo.bare import Bare
from larix.repo.bare_split_xattrs import BareSplitXattrs
from larix.repo.bare_user import BareUser
from larix.repo.bare_user_only import BareUserOnly
from larix.repo.layout import Layout, StoredFile, object_path
from larix.repo.object_errors import about, differing, object_error, read_about
from larix.repo.revisions import Refs
from larix.repo.staging import temporary_path

# Of directories below objects/.
PREFIX = re.compile(r"[0-9a-f]{2}")
LAYOUTS: dict[str, Layout] = {
    "archive": Archive(),
    "archive-z2": Archive(),
    "bare": Bare(),
    "bare-user": BareUser(),
    "bare-user-only": BareUserOnly(),
    "bare-split-xattrs": BareSplitXattrs(),
}
BOOT_ID = "/proc/sys/kernel/random/boot_id"
DIRECTORIES = ["extensions", "objects", "refs", "refs/heads", "refs/mirrors", "refs/remotes", "state", "tmp"]
DIRECTORIES += ["tmp/cache"]
MAX_CONFIG_SIZE = 1 << 20
LOCK_TIMEOUT = 30
# Below the root of a sysroot: files with more remotes for its repo.
REMOTES = "etc/ostree/remotes.d"
SYSTEM_REMOTES = f"/{REMOTES}"
SYSTEM_REPOS = ("/ostree/repo", "/sysroot/ostree/repo")
# Of dirmetas kept in memory: a tree has few different ones.
MAX_DIRMETAS = 4096


# No dataclass: to import what makes them takes a tenth of the time that a short command has.
class RepoOptions(NamedTuple):
    """How a program uses a repo, whatever the config of the repo says.

    Without `fsync` nothing is waited for until it is on the disk; with it, core.fsync decides. `lock_timeout`: for how
    many seconds others who use the repo are waited for, negative for ever; None: as core.lock-timeout-secs says. What
    is done on all cores is done by forked processes, or by `threads`, where the program must not fork. `boot_id` names
    the time between two starts of the machine, in place of what the kernel says. `remotes_dir` is a directory of files
    with more remotes, to which new ones go if `adds_to_remotes_dir` and the config says nothing of it; None: that of
    the system, where the repo is the system's. `before_commit` is called each time that a transaction has written all,
    and has placed nothing; what it raises ends the transaction, of which the objects are kept for the next.
    """

    fsync: bool = True
    lock_timeout: float | None = None
    threads: bool = False
    boot_id: str | None = None
    remotes_dir: str | None = None
    adds_to_remotes_dir: bool = True
    before_commit: Callable[[], None] | None = None


class Repo:
    """An open repo; close it, or use it in a `with`. Reading is safe from several threads.

    What it does not have is looked for in its `parent`, which the config names as core.parent, if there is one.
    """

    def __init__(self, path: str, options: RepoOptions | None = None, *, _children: tuple[str, ...] = ()) -> None:
        """Open the repo at `path`. Raises NotFound, Corrupt, Invalid for a mode that larix does not know; Unsupported
        where Python takes names of files for another encoding than UTF-8.
        """
        if not reading.names_are_utf8():
            raise Unsupported("Names of files must be UTF-8; start Python with PYTHONUTF8=1 or -X utf8")
        self.path = path
        self.parent: Repo | None = None
        options = options or RepoOptions()
        if options.remotes_dir is None and os.path.realpath(path) in SYSTEM_REPOS:
            options = options._replace(remotes_dir=SYSTEM_REMOTES)
        self.options = options
        self._dirmetas: dict[Checksum, DirMeta] = {}
        self.refs = Refs(self)
        with doing(f"Opening repo {path}"):
            self.fd = reading.open_directory(path)
        try:
            with doing(f"Opening repo {path}"):
                try:
                    text = reading.read("config", self.fd, MAX_CONFIG_SIZE)
                except FileNotFoundError:
                    raise NotFound(f"{path} is no repo: it has no config; `larix init` makes one") from None
                self.objects_fd = reading.open_directory("objects", self.fd)
        except BaseException:
            os.close(self.fd)
            raise
        try:
            # Before the config is read: a repo whose tmp/ somebody has removed is whole all the same.
            if not os.access("tmp", os.F_OK, dir_fd=self.fd):
                _make_tmp(self.fd)
            self.config = KeyFile.decode(text, f"{path}/config")
            if self.config.find("core", "repo_version") != "1":
                raise Corrupt(f"{path}/config: core.repo_version must be 1; other repos no OSTree can read")
            mode = self.config.find("core", "mode") or "bare"
            if mode not in LAYOUTS:
                raise Invalid(f"{path}/config: unknown core.mode {mode!r}; known are {', '.join(LAYOUTS)}")
            self.layout = LAYOUTS[mode]
            self.fsync = self.config.find_bool("core", "fsync", True) and options.fsync
            # Seconds that others who use the repo are waited for; negative: for ever.
            self.lock_timeout: float = self.config.find_int("core", "lock-timeout-secs", LOCK_TIMEOUT)
            if options.lock_timeout is not None:
                self.lock_timeout = options.lock_timeout
            self.collection_id = self.config.find("core", "collection-id")
            self.owner = os.fstat(self.fd).st_uid
            if (parent := self.config.find("core", "parent")) is not None:
                self._open_parent(parent, (*_children, os.path.realpath(path)))
        except BaseException:
            self.close()
            raise

    def _open_parent(self, path: str, children: tuple[str, ...]) -> None:
        if os.path.realpath(path) in children:
            raise Invalid(f"{self.path}/config: core.parent={path} leads back to the repo itself")
        try:
            above = self.options._replace(remotes_dir=None)
            self.parent = Repo(path, above, _children=children)
        except Error as error:
            raise type(error)(f"{self.path}/config: core.parent: {error}") from None

    @classmethod
    def init(cls, path: str, mode: str, collection_id: str | None = None, options: RepoOptions | None = None) -> Self:
        """Make a repo in the directory `path`, which is made too, or open the one that is there already."""
        if collection_id is not None:
            names.check_collection(collection_id)
        if mode not in LAYOUTS:
            raise Invalid(f"Unknown mode {mode!r}; known are {', '.join(LAYOUTS)}")
        with doing(f"Making repo {path}"):
            writing.make_all(path)
            with reading.closing(reading.open_directory(path)) as fd:
                made = [name for name in DIRECTORIES if writing.make_directory(name, fd)]
                # Last: a directory with a config is a repo, for both tools.
                if not os.access("config", os.F_OK, dir_fd=fd):
                    config = KeyFile()
                    config.set("core", "repo_version", "1")
                    config.set("core", "mode", LAYOUTS[mode].mode)
                    if collection_id is not None:
                        config.set("core", "collection-id", collection_id)
                    writing.replace("config", str(config).encode(), fd, temporary=temporary_path())
                    made.append("config")
                if made:
                    writing.sync_file_system(fd)
        return cls(path, options)

    @classmethod
    def of_sysroot(cls, path: str, options: RepoOptions | None = None) -> Self:
        """Open the repo of a sysroot, given by its root: that of a disk, or that of a deployment as it runs, where the
        disk is in /sysroot. Raises as the constructor."""
        running = os.access(os.path.join(path, "sysroot/ostree"), os.F_OK)
        options = options or RepoOptions()
        if options.remotes_dir is None:
            options = options._replace(remotes_dir=os.path.join(path, REMOTES), adds_to_remotes_dir=running)
        return cls(os.path.join(path, "ostree/repo"), options)

    @cached_property
    def boot_id(self) -> str:
        """Names the time between two starts of the machine; nothing that was written without a sync outlives it."""
        if self.options.boot_id is not None:
            return self.options.boot_id
        with doing("Asking when the machine was started"):
            return reading.read_whole(BOOT_ID).decode("ascii").strip()

    def close(self) -> None:
        """May be called twice."""
        if self.parent is not None:
            self.parent.close()
        for name in "objects_fd", "fd":
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def above(self) -> Refs | None:
        """The refs of its parent."""
        return self.parent.refs if self.parent is not None else None

    def check_writable(self) -> None:
        """Raises Unsupported for a repo whose mode allows no change of its objects."""
        if not self.layout.writable:
            raise Unsupported(f"Not allowed due to repo mode: {self.path}, of mode {self.layout.mode}, is only read")

    # Objects

    def object_path(self, name: ObjectName) -> str:
        return object_path(name, self.layout.extension)

    def has(self, name: ObjectName) -> bool:
        return self.has_own(name) or (self.parent is not None and self.parent.has(name))

    def has_own(self, name: ObjectName) -> bool:
        """Return whether the object lies in this repo itself."""
        return os.access(self.object_path(name), os.F_OK, dir_fd=self.objects_fd, follow_symlinks=False)

    def holder(self, name: ObjectName) -> "Repo":
        """Return the repo in which the object lies: this one or a parent; this one also where none has it."""
        if self.parent is None or self.has_own(name) or not self.parent.has(name):
            return self
        return self.parent.holder(name)

    def load(self, name: ObjectName) -> bytes:
        """Return the bytes of a metadata object, of the checksum that they must have. Raises NotFound, Corrupt."""
        repo = self.holder(name)
        try:
            data = reading.read(repo.object_path(name), repo.objects_fd, objects.MAX_METADATA_SIZE)
        except OSError as error:
            raise object_error(name, error) from None
        if name.type != ObjectType.COMMIT_META and objects.checksum_of(data) != name.checksum:
            raise differing(name, objects.checksum_of(data))
        return data

    def load_commit(self, checksum: Checksum) -> Commit:
        name = ObjectName(checksum, ObjectType.COMMIT)
        with about(name):
            return objects.decode_commit(self.load(name))

    def load_detached_metadata(self, commit: Checksum) -> Metadata:
        """Return what lies beside a commit; empty where nothing does. Raises Corrupt."""
        name = ObjectName(commit, ObjectType.COMMIT_META)
        if not self.has(name):
            return Metadata()
        with about(name):
            return Metadata(decode(objects.DETACHED_TYPE, self.load(name)))

    def load_dirtree(self, checksum: Checksum) -> DirTree:
        name = ObjectName(checksum, ObjectType.DIR_TREE)
        with about(name):
            return objects.decode_dirtree(self.load(name))

    def load_dirmeta(self, checksum: Checksum) -> DirMeta:
        if (known := self._dirmetas.get(checksum)) is not None:
            return known
        name = ObjectName(checksum, ObjectType.DIR_META)
        with about(name):
            meta = objects.decode_dirmeta(self.load(name))
        if not meta.xattrs and len(self._dirmetas) < MAX_DIRMETAS:
            self._dirmetas[checksum] = meta
        return meta

    def open_file(self, checksum: Checksum, *, exact: bool = False) -> StoredFile:
        """Return a file object, its content not compared with the checksum; `exact` is as for a layout.

        Raises NotFound, Corrupt.
        """
        name = ObjectName(checksum, ObjectType.FILE)
        repo = self.holder(name)
        try:
            stored = repo.layout.read(repo.object_path(name), repo.objects_fd, exact=exact)
        except (OSError, Corrupt) as error:
            raise object_error(name, error) from None
        stored.content = read_about(name, stored.content)
        return stored

    def look_at_file(self, checksum: Checksum) -> tuple[FileHeader, int]:
        """Return the header of a file object, perhaps without extended attributes, and the size of its content in
        bytes.

        Raises NotFound, Corrupt.
        """
        name = ObjectName(checksum, ObjectType.FILE)
        repo = self.holder(name)
        try:
            return repo.layout.look(repo.object_path(name), repo.objects_fd)
        except (OSError, Corrupt) as error:
            raise object_error(name, error) from None

    def stored_size(self, name: ObjectName) -> int:
        """Return how many bytes the object has as it lies there. Raises NotFound."""
        repo = self.holder(name)
        try:
            return os.stat(repo.object_path(name), dir_fd=repo.objects_fd, follow_symlinks=False).st_size
        except OSError as error:
            raise object_error(name, error) from None

    def objects(self, *kinds: ObjectType) -> Iterator[ObjectName]:
        """Yield the objects of these kinds, or all, that lie in this repo itself, in no order."""
        ends = {**objects.EXTENSIONS, ObjectType.FILE: self.layout.extension}
        wanted = {ends[kind]: kind for kind in kinds or ends}
        parse = re.compile(rf"([0-9a-f]{{62}})\.({'|'.join(wanted)})").fullmatch
        for prefix in os.listdir(self.objects_fd):
            if PREFIX.fullmatch(prefix):
                for found in filter(None, map(parse, reading.names(prefix, self.objects_fd))):
                    yield ObjectName(Checksum(prefix + found[1]), wanted[found[2]])


def _make_tmp(repo_fd: int) -> None:
    """Make tmp/: what is below may always be removed, and people remove it as a whole."""
    try:
        writing.make_directory("tmp", repo_fd)
    except OSError as error:
        # Of someone else, or on a medium that is only read: for reading, none is needed.
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
