"""The power door: what a command does to the disk is recorded, and the disk is built as a power cut would leave it.

A change is durable when it was synced: a file's content and attributes by a sync of the file, names by a sync of their
directory, all by a sync of the file system. Of the other changes any part may be there, in any order; of a file that
was being written, any piece, or zeros in its place. A rename is one change.
"""

import os
import pickle
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import Lock
from pathlib import Path
from typing import Any

from larix.linux import syscalls
from larix.repo import repo
from tests.faults import MAKING, run_apart
from tests.judge import Done

Key = tuple[int, int]
# Directory, and a name in it.
Place = tuple[Key, str]


@dataclass(frozen=True)
class Content:
    """A piece of a file's content was written; None: it was cut off there."""

    inode: Key
    at: int
    data: bytes | None


@dataclass(frozen=True)
class Attributes:
    """Mode, owner or extended attributes of an inode were set to these."""

    inode: Key
    to: "About"


@dataclass(frozen=True)
class Names:
    """These came to mean other inodes, or none."""

    to: tuple[tuple[Place, Key | None], ...]


@dataclass(frozen=True)
class New:
    """An inode was made, with no name yet. Its number may have been another's before."""

    inode: Key
    about: "About"
    target: str = ""
    device: int = 0


@dataclass(frozen=True)
class Synced:
    """An inode, or, where that is None, all."""

    inode: Key | None


Event = Content | Attributes | Names | New | Synced


@dataclass(frozen=True)
class About:
    mode: int
    uid: int
    gid: int
    xattrs: tuple[tuple[str, bytes], ...] = ()


# Recording


class _Recorder:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lock = Lock()
        self._write = os.write

    def add(self, *events: Event) -> None:
        for event in events:
            data = pickle.dumps(event)
            self._write(self._fd, len(data).to_bytes(8, "little") + data)

    def instead_of(self, real: Callable[..., Any], record: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, done and recorded while no other process does either."""

        def call(*args: Any, **words: Any) -> Any:
            with self._lock:
                return record(real, *args, **words)

        return call

    # Each does what the function of `os` does, and says what that was.

    def open(
        self, real: Callable[..., int], path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if not flags & MAKING:
            return real(path, flags, mode, dir_fd=dir_fd)
        unnamed = flags & os.O_TMPFILE == os.O_TMPFILE
        there = not unnamed and os.access(path, os.F_OK, dir_fd=dir_fd, follow_symlinks=False)
        fd = real(path, flags, mode, dir_fd=dir_fd)
        if unnamed:
            self.add(New(key(os.fstat(fd)), about(fd)))
        elif not there:
            self.add(New(inode := key(os.fstat(fd)), about(fd)), Names(((place(path, dir_fd), inode),)))
        elif flags & os.O_TRUNC:
            self.add(Content(key(os.fstat(fd)), 0, None))
        return fd

    def write(self, real: Callable[..., int], fd: int, data: Any) -> int:
        return self._written(fd, bytes(data), real(fd, data))

    def writev(self, real: Callable[..., int], fd: int, parts: Sequence[bytes]) -> int:
        return self._written(fd, b"".join(parts), real(fd, parts))

    def _written(self, fd: int, data: bytes, done: int) -> int:
        if stat.S_ISREG((found := os.fstat(fd)).st_mode):
            self.add(Content(key(found), os.lseek(fd, 0, os.SEEK_CUR) - done, data[:done]))
        return done

    def mkdir(self, real: Callable[..., None], path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        real(path, mode, dir_fd=dir_fd)
        self._made(path, dir_fd)

    def symlink(self, real: Callable[..., None], target: str, path: Any, *, dir_fd: int | None = None) -> None:
        real(target, path, dir_fd=dir_fd)
        self._made(path, dir_fd, target=os.fsdecode(target))

    def mknod(self, real: Callable[..., None], path: Any, mode: int, device: int, *, dir_fd: int | None = None) -> None:
        real(path, mode, device, dir_fd=dir_fd)
        self._made(path, dir_fd, device=device)

    def _made(self, path: Any, dir_fd: int | None, target: str = "", device: int = 0) -> None:
        inode = key(os.stat(path, dir_fd=dir_fd, follow_symlinks=False))
        self.add(New(inode, about(path, dir_fd), target, device), Names(((place(path, dir_fd), inode),)))

    def link(
        self,
        real: Callable[..., None],
        source: Any,
        path: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        real(source, path, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        inode = key(os.stat(path, dir_fd=dst_dir_fd, follow_symlinks=False))
        self.add(Names(((place(path, dst_dir_fd), inode),)))

    def rename(
        self,
        real: Callable[..., None],
        source: Any,
        path: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        before, after = place(source, src_dir_fd), place(path, dst_dir_fd)
        inode = key(os.stat(source, dir_fd=src_dir_fd, follow_symlinks=False))
        real(source, path, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.add(Names(((after, inode), (before, None))))

    def rename_to_new(self, real: Callable[..., None], source: str, source_fd: int, name: str, dir_fd: int) -> None:
        words = {"src_dir_fd": source_fd, "dst_dir_fd": dir_fd}
        self.rename(lambda *_, **__: real(source, source_fd, name, dir_fd), source, name, **words)

    def unlink(self, real: Callable[..., None], path: Any, *, dir_fd: int | None = None) -> None:
        gone = place(path, dir_fd)
        real(path, dir_fd=dir_fd)
        self.add(Names(((gone, None),)))

    def by_descriptor(self, real: Callable[..., None], fd: int, *args: Any) -> None:
        real(fd, *args)
        self.add(Attributes(key(os.fstat(fd)), about(fd)))

    def by_either(self, real: Callable[..., None], target: Any, *args: Any, **words: Any) -> None:
        real(target, *args, **words)
        dir_fd, follow = words.get("dir_fd"), words.get("follow_symlinks", True)
        inode = key(os.stat(target, dir_fd=dir_fd, follow_symlinks=follow or isinstance(target, int)))
        self.add(Attributes(inode, about(target, dir_fd)))

    def fsync(self, real: Callable[..., None], fd: int) -> None:
        real(fd)
        self.add(Synced(key(os.fstat(fd))))

    def syncfs(self, real: Callable[..., None], fd: int) -> None:
        real(fd)
        self.add(Synced(None))

    def refuse(self, real: Callable[..., None], *args: Any, **words: Any) -> None:
        raise AssertionError(f"a change of this kind is not recorded: {real}, {args}")


def key(found: os.stat_result) -> Key:
    return found.st_dev, found.st_ino


def place(path: Any, dir_fd: int | None) -> Place:
    parent, _, name = os.fsdecode(path).rstrip("/").rpartition("/")
    if os.fsdecode(path).startswith("/") and not parent:
        parent = "/"
    return key(os.stat(parent or ".", dir_fd=dir_fd)), name


def about(target: Any, dir_fd: int | None = None) -> About:
    """Of a path in a directory itself, without following it, or of a descriptor."""
    if isinstance(target, int):
        found, path, follow = os.fstat(target), f"/proc/self/fd/{target}", True
    else:
        found, follow = os.stat(target, dir_fd=dir_fd, follow_symlinks=False), False
        base = os.getcwd() if dir_fd is None else f"/proc/self/fd/{dir_fd}"
        path = os.path.join(base, os.fsdecode(target))
    names = os.listxattr(path, follow_symlinks=follow)
    xattrs = tuple((name, os.getxattr(path, name, follow_symlinks=follow)) for name in sorted(names))
    return About(found.st_mode, found.st_uid, found.st_gid, xattrs)


@contextmanager
def _recording(log: Path) -> Iterator[None]:
    recorder = _Recorder(log)
    with ExitStack() as held:

        def put(where: Any, name: str, record: Callable[..., Any]) -> None:
            real = getattr(where, name)
            held.callback(setattr, where, name, real)
            setattr(where, name, recorder.instead_of(real, record))

        for name in "open", "write", "writev", "mkdir", "symlink", "mknod", "link", "rename", "unlink", "fsync":
            put(os, name, getattr(recorder, name))
        put(os, "rmdir", recorder.unlink)
        for name in "fchmod", "fchown":
            put(os, name, recorder.by_descriptor)
        for name in "chmod", "chown", "setxattr", "removexattr":
            put(os, name, recorder.by_either)
        for name in "replace", "remove", "truncate", "ftruncate", "pwrite", "fdatasync", "copy_file_range", "mkfifo":
            put(os, name, recorder.refuse)
        put(syscalls, "syncfs", recorder.syncfs)
        put(syscalls, "rename_to_new", recorder.rename_to_new)
        # The disk is looked at after another start of the machine.
        held.callback(setattr, repo, "BOOT_ID", repo.BOOT_ID)
        other = log.with_name("boot_id")
        other.write_text("00000000-0000-0000-0000-000000000000\n")
        repo.BOOT_ID = str(other)
        yield


def record(log: Path, *words: str) -> tuple[Done, list[Event]]:
    """Run larix in a process of its own; how it ended, and what it and its workers did to the disk."""
    log.unlink(missing_ok=True)
    done = run_apart(_recording(log), *words)
    assert done is not None
    data = memoryview(log.read_bytes())
    events: list[Event] = []
    while data:
        end = 8 + int.from_bytes(data[:8], "little")
        events.append(pickle.loads(data[8:end]))
        data = data[end:]
    return done, events


# The disk


@dataclass
class Inode:
    about: About
    content: bytes = b""
    target: str = ""
    device: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Inode":
        return Inode(self.about, self.content, self.target, self.device, dict(self.names))


class Disk:
    """What is on it, all of it if the power stays on, and in `pending` the changes that are not durable."""

    def __init__(self, top: Path) -> None:
        """As it is now, all of it durable."""
        self._top = top
        # The syncs that are left out, known by their numbers, from 0.
        self.ignore: Callable[[int], bool] = lambda number: False
        self._numbers: dict[Key, int] = {}
        self._live: dict[int, Inode] = {}
        self._read(str(top))
        self._durable = {number: inode.copy() for number, inode in self._live.items()}
        self._pending: list[tuple[Event, list[int | None]]] = []
        self._root = self._numbers[key(os.stat(top))]
        self.syncs = 0

    def _read(self, path: str) -> int:
        found = os.lstat(path)
        if (number := self._numbers.get(key(found))) is not None:
            return number
        number = self._numbers[key(found)] = len(self._live)
        inode = self._live[number] = Inode(about(path))
        if stat.S_ISLNK(found.st_mode):
            inode.target = os.readlink(path)
        elif stat.S_ISREG(found.st_mode):
            inode.content = Path(path).read_bytes()
        elif stat.S_ISDIR(found.st_mode):
            for name in os.listdir(path):
                inode.names[name] = self._read(f"{path}/{name}")
        return number

    def happen(self, event: Event) -> bool:
        """Whether it was a sync of something here."""
        if isinstance(event, New):
            number = self._numbers[event.inode] = len(self._live)
            inode = Inode(event.about, b"", event.target, event.device)
            # It has no name yet, so it does no harm to be there.
            self._live[number], self._durable[number] = inode, inode.copy()
            return False
        if isinstance(event, Synced):
            return self._sync(event)
        if isinstance(event, Names):
            numbers = [self._numbers.get(directory) for (directory, _), _ in event.to]
            numbers += [self._numbers.get(inode) if inode is not None else None for _, inode in event.to]
        else:
            numbers = [self._numbers.get(event.inode)]
        if numbers[0] is None:
            # Elsewhere.
            return False
        _apply(self._live, event, numbers)
        self._pending.append((event, numbers))
        return False

    def _sync(self, event: Synced) -> bool:
        number = self._numbers.get(event.inode) if event.inode is not None else None
        if event.inode is not None and number is None:
            return False
        self.syncs += 1
        if self.ignore(self.syncs - 1):
            return True
        if number is None:
            self._durable = {number: inode.copy() for number, inode in self._live.items()}
            self._pending = []
            return True
        left = []
        settled: set[tuple[int | None, str]] = set()
        for change, numbers in reversed(self._pending):
            touches = number in numbers[: len(change.to)] if isinstance(change, Names) else number == numbers[0]
            places = _places(change, numbers)
            # What came before with one of these names comes too: a file is not renamed that was not made.
            if touches or not settled.isdisjoint(places):
                settled.update(places)
            else:
                left.append((change, numbers))
        kept = {id(change) for change, _ in left}
        for change, numbers in self._pending:
            if id(change) not in kept:
                _apply(self._durable, change, numbers)
        self._pending = left[::-1]
        return True

    def after_power_cut(self, choose: random.Random | None) -> dict[int, Inode]:
        """What is there: all that is durable, and of the rest what is chosen, or nothing."""
        found = {number: inode.copy() for number, inode in self._durable.items()}
        if choose is None:
            return found
        share = choose.choice([0.1, 0.5, 0.9])
        for change, numbers in self._pending:
            if choose.random() < share:
                if isinstance(change, Content) and change.data and choose.random() < 0.2:
                    change = Content(change.inode, change.at, bytes(len(change.data)))
                _apply(found, change, numbers)
        return found

    def build(self, found: dict[int, Inode]) -> None:
        """Make the directory hold it; it must not be there."""
        paths: dict[int, str] = {}

        def make(number: int, path: str) -> None:
            inode = found[number]
            kind = stat.S_IFMT(inode.about.mode)
            if number in paths:
                os.link(paths[number], path, follow_symlinks=False)
                return
            if kind != stat.S_IFDIR:
                paths[number] = path
            if kind == stat.S_IFLNK:
                os.symlink(inode.target, path)
            elif kind == stat.S_IFREG:
                Path(path).write_bytes(inode.content)
            elif kind == stat.S_IFDIR:
                os.mkdir(path)
                for name, inside in inode.names.items():
                    make(inside, f"{path}/{name}")
            else:
                os.mknod(path, inode.about.mode, inode.device)
            os.lchown(path, inode.about.uid, inode.about.gid)
            for name, value in inode.about.xattrs:
                os.setxattr(path, name, value, follow_symlinks=False)
            if kind != stat.S_IFLNK:
                os.chmod(path, stat.S_IMODE(inode.about.mode))

        make(self._root, str(self._top))


def _places(change: Event, numbers: Sequence[int | None]) -> list[tuple[int | None, str]]:
    """Names that the change is about, by the numbers of their directories."""
    if not isinstance(change, Names):
        return []
    return [(number, name) for number, ((_, name), _) in zip(numbers, change.to, strict=False)]


def _apply(disk: dict[int, Inode], change: Event, numbers: Sequence[int | None]) -> None:
    if isinstance(change, Names):
        targets = numbers[len(change.to) :]
        for (directory, name), target, (_, wanted) in zip(_places(change, numbers), targets, change.to, strict=True):
            if directory is None:
                continue
            if wanted is None:
                disk[directory].names.pop(name, None)
            elif target is not None:
                disk[directory].names[name] = target
        return
    assert numbers[0] is not None
    inode = disk[numbers[0]]
    if isinstance(change, Attributes):
        inode.about = change.to
    elif isinstance(change, Content):
        if change.data is None:
            inode.content = inode.content[: change.at]
        else:
            begin = inode.content[: change.at].ljust(change.at, b"\0")
            inode.content = begin + change.data + inode.content[change.at + len(change.data) :]
