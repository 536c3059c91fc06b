"""Workers: whatever the tasks and their ends, all comes back, or what went wrong does."""

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

import pytest

import larix
from larix.errors import Error
from larix.linux.workers import CORES, IN_HAND, start_workers
from larix.ops.commit.rework import lay_changed
from tests.judge import everything, ostree, picture

SMALL_PIPE = 4096
KINDS = pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    """What waits for ever ends with an error."""

    def give_up(*_: object) -> NoReturn:
        raise AssertionError("it waits for ever")

    old = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


def square(n: int) -> int:
    return n * n


def turn_around(data: bytes) -> bytes:
    return data[::-1]


@KINDS
def test_all_comes_back(threads: bool) -> None:
    results: list[int] = []
    with start_workers(square, results.append, threads=threads) as workers:
        for n in range(1000):
            workers.submit(n)
    assert sorted(results) == [n * n for n in range(1000)]


def test_large_tasks_and_answers_pass_small_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with many pipes is given small ones."""
    import fcntl

    real = os.pipe

    def pipe() -> tuple[int, int]:
        ends = real()
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, SMALL_PIPE)
        return ends

    monkeypatch.setattr(os, "pipe", pipe)
    results: list[bytes] = []
    with start_workers(turn_around, results.append) as workers:
        for n in range(20):
            workers.submit(bytes([n]) * 1_000_000)
    assert sorted(data[0] for data in results) == list(range(20))


@pytest.mark.parametrize("names", [250, 10])
def test_deep_trees_with_long_names(names: int, tmp_path: Path) -> None:
    """What a batch names is more than a pipe holds: the way to it, and the files."""
    fd = os.open(tmp_path, os.O_RDONLY)
    for level in range(300):
        for n in range(40):
            os.close(os.open(f"{n:03}".ljust(names, "x"), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.mkdir(name := f"{level:03}".ljust(names, "d"), dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    command = [sys.executable, "-c", DIRECTORY_AS_TREE, str(tmp_path)]
    done = subprocess.run(command, timeout=50, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # By its descriptors: its paths are longer than the kernel takes.
    shutil.rmtree(tmp_path / f"{0:03}".ljust(names, "d"))


DIRECTORY_AS_TREE = "import sys, larix; sys.setrecursionlimit(5000); larix.directory_as_tree(sys.argv[1])"


@KINDS
def test_what_a_task_raises_arrives_whole(threads: bool) -> None:
    def fail_here(_: int) -> NoReturn:
        raise Error("no such thing") from KeyError("the cause")

    with (
        pytest.raises(Error, match="no such thing") as caught,
        start_workers(fail_here, print, threads=threads) as some,
    ):
        some.submit(1)
    if not threads:
        told = "".join(caught.value.__notes__)
        assert "fail_here" in told
        assert "the cause" in told


class Stubborn(Exception):
    """Can be pickled, not unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def leave(_: int) -> NoReturn:
    sys.exit("left")


def be_stubborn(_: int) -> NoReturn:
    raise Stubborn("one", "two")


def be_closed(_: int) -> NoReturn:
    error = Error("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


@pytest.mark.parametrize(
    ("work", "kind", "said"),
    [
        (leave, SystemExit, "left"),
        (be_stubborn, RuntimeError, "one and two"),
        (be_closed, RuntimeError, "holds a lock"),
        (lambda _: threading.Lock(), TypeError, "pickle"),
    ],
    ids=["exit", "stubborn", "closed", "result"],
)
def test_what_cannot_travel_is_told(work: Callable[[int], object], kind: type[BaseException], said: str) -> None:
    with pytest.raises(kind, match=said) as caught, start_workers(work, print) as workers:
        workers.submit(1)
    # Newer Pythons note more.
    assert any(note.startswith("In a worker:\nTraceback") for note in caught.value.__notes__)


def test_a_worker_that_ends_is_an_error() -> None:
    for first in os.getpid(), 0:
        # With a task in hand, and before the next.
        with pytest.raises(Error, match="was ended by something else"), start_workers(end_unless(first), print) as some:
            for n in range(CORES * IN_HAND * 2):
                some.submit(n)


def end_unless(pid: int) -> Callable[[int], int]:
    def end(n: int) -> int:
        if n == 0 or not pid:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    return end


def wait_for_ever(_: int) -> None:
    signal.pause()


def test_an_error_ends_what_is_under_way() -> None:
    for error in KeyboardInterrupt, Error:
        with suppress(error), start_workers(wait_for_ever, print) as workers:
            for n in range(CORES * IN_HAND):
                workers.submit(n)
            raise error
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_event_loop_is_not_told_of_what_ends_workers() -> None:
    """It learns of signals through a socket, which a forked process has too."""
    told, tell = socket.socketpair()
    tell.setblocking(False)
    told.setblocking(False)
    old = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    try:
        with suppress(Error), start_workers(wait_for_ever, print) as workers:
            for n in range(CORES):
                workers.submit(n)
            raise Error("x")
        with pytest.raises(BlockingIOError):
            told.recv(1)
    finally:
        signal.set_wakeup_fd(old)
        told.close()
        tell.close()


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    before = os.listdir("/proc/self/fd")
    said = "Starting a worker process: Resource temporarily unavailable"
    with pytest.raises(Error, match=said), start_workers(square, print) as workers:
        workers.submit(1)
    assert os.listdir("/proc/self/fd") == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_keyboard_ends_a_commit_at_once(tmp_path: Path) -> None:
    """While a worker reads a file of a tebibyte, which is all hole."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    ostree(repo, "config", "set", "core.min-free-space-percent", "0")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/hole").touch()
    os.truncate(tmp_path / "tree/hole", 1 << 40)
    # A shell's background jobs, of which this may be one, ignore it.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "larix", f"--repo={repo}"]
    command += ["commit", "-b", "x", str(tmp_path / "tree")]
    with subprocess.Popen(command, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == -signal.SIGINT
    assert [path.name for path in (repo / "tmp").iterdir()] == ["cache"]


def test_whoever_started_us_ignores_children(tmp_path: Path, tree: Path) -> None:
    ostree(tmp_path / "repo", "init", "--mode=archive")
    command = [sys.executable, "-m", "larix", f"--repo={tmp_path / 'repo'}", "commit", "-b", "x", str(tree)]
    ignoring = ["env", "--ignore-signal=CHLD", *command]
    done = subprocess.run(ignoring, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_repo_without_forks(
    tmp_path: Path, tree: Path, c_repos: dict[str, Path], behind_nginx: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb that works on all cores does so in threads, to the same end."""

    def fork() -> NoReturn:
        raise AssertionError("forked")

    def add(transaction: larix.Transaction, repo: larix.Repo) -> None:
        larix.lay_directory(transaction, larix.Directory(), str(tree))
        stored = larix.Stored(repo.load_commit(expected).dirtree, repo.load_commit(expected).dirmeta)
        lay_changed(transaction, larix.Directory(), stored, larix.Modification(larix.Modifier(owner_uid=7)))

    modifier = larix.Modifier(owner_uid=0, owner_gid=0)
    options = larix.CommitOptions(timestamp=0)
    forked = larix.directory_as_tree(str(tree), modifier).top
    with larix.Repo.init(str(tmp_path / "forking"), "archive") as repo:
        expected = larix.commit_directory(repo, str(tree), "x", options, modifier)
        with larix.Transaction(repo) as transaction:
            add(transaction, repo)
            counts = transaction.counts()
    monkeypatch.setattr(os, "fork", fork)
    assert larix.directory_as_tree(str(tree), modifier, threads=True).top == forked
    with larix.Repo.init(str(tmp_path / "repo"), "archive", options=larix.RepoOptions(threads=True)) as repo:
        assert larix.commit_directory(repo, str(tree), "x", options, modifier) == expected
        with larix.Transaction(repo) as transaction:
            add(transaction, repo)
            assert transaction.counts() == counts
        larix.add_remote(repo, larix.Remote("origin", {"url": behind_nginx, "gpg-verify": "false"}))
        pulled = larix.pull_remote(repo, "origin", ["os/stable"])
        assert pulled.content > 0
        with closing(larix.RepoSource(str(c_repos["bare-user"]), trusted=False)) as source:
            larix.pull(repo, source, {"os/stable": None}, None)
        assert list(larix.check_all(repo)) == []
        larix.checkout(repo, expected, str(tmp_path / "tree"), larix.CheckoutOptions(user_mode=True, copy=True))
    ostree(tmp_path / "repo", "fsck")
    ostree(tmp_path / "repo", "checkout", "-U", "x", tmp_path / "by-c")
    assert picture(tmp_path / "tree") == picture(tmp_path / "by-c")
    assert everything(tmp_path / "tree")


def test_what_a_worker_knows_and_tells(tmp_path: Path) -> None:
    """What was there when it began, and what it has told already: it adds neither again, and tells each once."""
    header = larix.FileHeader(0, 0, stat.S_IFREG | 0o644)
    with larix.Repo.init(str(tmp_path / "repo"), "bare-user") as repo, larix.Transaction(repo) as transaction:
        first = transaction.add_file(header, 1, [b"1"])
        pid = os.fork()
        if not pid:
            status = 1
            try:
                second = transaction.add_file(header, 1, [b"2"])
                assert transaction.hand_over() == (1, [second], [])
                place = transaction._staging_path(larix.ObjectName(first, larix.ObjectType.FILE))
                staged = os.stat(place, dir_fd=transaction._fd)
                for content, checksum in (b"1", first), (b"2", second):
                    assert transaction.add_file(header, 1, [content]) == checksum
                assert transaction.hand_over() == (2, [], [])
                now = os.stat(place, dir_fd=transaction._fd)
                assert (now.st_ino, now.st_ctime_ns) == (staged.st_ino, staged.st_ctime_ns)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
