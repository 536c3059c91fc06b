"""The fault door: a command of larix whose N-th change to the disk is its last one, or fails.

Every change goes through a function of `os`, by `larix/linux`; in a forked process those are replaced. Workers that
the command forks count with it.
"""

import fcntl
import functools
import importlib
import os
import pickle
import pkgutil
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import Value
from typing import Any

import larix
from larix.linux import syscalls, writing
from tests.judge import Done, run_larix

KILL = 0
# One of the workers alone is killed; then the changes of workers alone are counted.
KILL_WORKER = -1
# Of `os`. Those of the first kind take a descriptor, and count when it is a file's; of the second, a name.
BY_DESCRIPTOR = "write", "writev", "pwrite", "ftruncate", "fchmod", "fchown", "fsync", "fdatasync", "copy_file_range"
BY_NAME = "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "link", "symlink", "mknod", "mkfifo", "truncate"
BY_EITHER = "chmod", "chown", "utime", "setxattr", "removexattr"
MAKING = os.O_CREAT | os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `done` is None when it was killed; and how many changes it had begun by then."""

    done: Done | None
    changes: int


def run_until(fault: int, at: int, *words: str) -> Outcome:
    """Run larix in a process of its own; its change number `at`, from 1, kills it or raises an errno. 0 is never.

    With KILL its workers are killed too.
    """
    count = Value("q", 0)
    done = run_apart(_patched(fault, at, count), *words)
    assert done is not None or fault == KILL
    return Outcome(done, count.value)


def run_apart(patched: AbstractContextManager[None], *words: str) -> Done | None:
    """Run larix in a process of its own, within `patched`; None where it was killed."""
    import_all()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            os.close(reading)
            with patched:
                done = run_larix(*words)
            os.write(writing, pickle.dumps(done))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    assert said, "the command ended without a word"
    done = pickle.loads(said)
    assert isinstance(done, Done)
    return done


@functools.cache
def import_all() -> None:
    """Once, and not in each process again."""
    for module in pkgutil.walk_packages(larix.__path__, "larix."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@contextmanager
def _patched(fault: int, at: int, count: Any) -> Iterator[None]:
    command = os.getpid()

    def change(name: object) -> None:
        if fault == KILL_WORKER and os.getpid() == command:
            return
        with count.get_lock():
            count.value += 1
            now = count.value
        if now != at:
            return
        if fault == KILL:
            os.killpg(0, signal.SIGKILL)
        if fault == KILL_WORKER:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(fault, os.strerror(fault), *([name] if isinstance(name, str | bytes) else []))

    def is_file(fd: int) -> bool:
        return stat.S_IFMT(os.fstat(fd).st_mode) in (stat.S_IFREG, stat.S_IFDIR)

    def guarded(real: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(*args: Any, **words: Any) -> Any:
            if counts(*args):
                change(args[0])
            return real(*args, **words)

        return call

    def by_either(target: Any, *_: object) -> bool:
        return not isinstance(target, int) or is_file(target)

    places: list[tuple[Any, str, Callable[..., bool]]] = [
        *((os, name, lambda fd, *_: is_file(fd)) for name in BY_DESCRIPTOR),
        *((os, name, lambda *_: True) for name in BY_NAME),
        *((os, name, by_either) for name in BY_EITHER),
        (os, "open", lambda _, flags=0, *__: bool(flags & MAKING)),
        (fcntl, "ioctl", lambda _, request, *__: request == writing.SET_FLAGS),
        (syscalls, "syncfs", lambda *_: True),
        (syscalls, "rename_to_new", lambda *_: True),
    ]
    old = [(where, name, getattr(where, name)) for where, name, _ in places]
    for where, name, counts in places:
        setattr(where, name, guarded(getattr(where, name), counts))
    try:
        yield
    finally:
        for where, name, real in old:
            setattr(where, name, real)
