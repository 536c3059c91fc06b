"""Refs change together or not at all, from what they were; and what there is one of is changed by one at a time."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import larix
from larix.formats.names import Ref, RemoteName
from larix.linux import writing
from larix.progress import Progress
from larix.repo.locking import lock_changes
from tests.judge import everything, fails, ostree
from tests.judge import larix as run_larix

A, B = "0" * 64, "1" * 64


@pytest.fixture
def repo(tmp_path: Path, tree: Path) -> Path:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    for ref in "main", "sub/one":
        ostree(repo, "commit", "-b", ref, "-s", ref, f"--tree=dir={tree / 'usr'}", "--timestamp=@0")
    return repo


def contents(repo: Path) -> dict[str, bytes | str | None]:
    """All but the lock."""
    found: dict[str, bytes | str | None] = {}
    for path in everything(repo):
        name = str(path.relative_to(repo))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif name != ".lock":
            found[name] = path.read_bytes() if path.is_file() else None
    return found


Change = Callable[[larix.Transaction], None]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.set_ref(None, "main/b", larix.Checksum(B)),
        lambda t: t.set_ref(None, "sub", larix.Checksum(B)),
        lambda t: t.set_ref(None, "y/z/w", larix.Checksum(B)),
        lambda t: t.set_alias("sub", "main"),
        lambda t: t.set_alias("main/b", "sub/one"),
        lambda t: t.set_ref(None, "missing", None),
        lambda t: t.set_ref(None, "sub/one", larix.Checksum(B), expected=larix.Checksum(A)),
        lambda t: t.set_ref(None, "sub/one", larix.Checksum(B), expected=None),
        lambda t: t.set_ref("origin", "x", larix.Checksum(B), expected=larix.Checksum(A)),
        lambda t: t.set_collection_ref("org.example", "x", larix.Checksum(B), expected=larix.Checksum(A)),
    ],
)
def test_one_that_cannot_be_set_leaves_all_as_they_were(change: Change, repo: Path) -> None:
    before = contents(repo)
    with (
        pytest.raises((larix.Invalid, larix.NotFound, larix.Moved)),
        larix.Repo(str(repo)) as opened,
        larix.Transaction(opened) as transaction,
    ):
        commit = transaction.add_metadata(larix.ObjectType.DIR_TREE, larix.DirTree({}, {}).encode())
        transaction.set_partial(larix.Checksum(A), True)
        for ref in "y/z", "main":
            transaction.set_ref(None, ref, commit)
        transaction.set_alias("alias", "main")
        change(transaction)
        transaction.commit()
    assert contents(repo) == before


@pytest.mark.parametrize("there", ["origin:sub", "origin:sub/one/d"])
def test_a_pull_whose_second_ref_is_in_the_way(there: str, repo: Path, tmp_path: Path) -> None:
    ostree(client := tmp_path / "client", "init", "--mode=archive")
    ostree(client, "remote", "add", "--no-gpg-verify", "origin", repo.as_uri())
    empty = tmp_path / "empty"
    empty.mkdir()
    ostree(client, "commit", "-b", "mine", f"--tree=dir={empty}")
    ostree(client, "refs", f"--create={there}", "mine")
    before = contents(client)
    said = fails(f"--repo={client}", "pull", "origin", "main", "sub/one")
    assert "Ref origin/sub" in said
    assert "cannot stand beside" in said
    after = {name: what for name, what in contents(client).items() if not name.startswith("tmp/staging-")}
    assert after == before


def test_directories_that_were_left_are_not_in_the_way(repo: Path) -> None:
    (repo / "refs/heads/d/e/f").mkdir(parents=True)
    run_larix(repo, "refs", "--create=d", "main")
    assert ostree(repo, "rev-parse", "d") == ostree(repo, "rev-parse", "main")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_disk_that_stays_full(at: int, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed is put back, by what takes no space."""
    calls = count(1)
    full = False

    def rename(source: str, source_fd: int, name: str, dir_fd: int) -> None:
        nonlocal full
        if name.startswith("refs/") and next(calls) == at:
            full = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_rename(source, source_fd, name, dir_fd)

    def refuse_if_full(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **words: object) -> object:
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **words)

        return call

    real_rename = writing.rename
    monkeypatch.setattr(writing, "rename", rename)
    for name in "link", "symlink", "mkdir":
        monkeypatch.setattr(os, name, refuse_if_full(getattr(os, name)))
    monkeypatch.setattr(writing, "create", refuse_if_full(writing.create))
    ostree(repo, "refs", "--create=other", "main")
    before = contents(repo)
    with larix.Repo(str(repo)) as opened, pytest.raises(larix.NoSpace), larix.Transaction(opened) as transaction:
        transaction.set_ref(None, "main", larix.Checksum(B))
        transaction.set_ref(None, "sub/one", larix.Checksum(B))
        transaction.set_ref(None, "new/one", larix.Checksum(B))
        transaction.set_ref(None, "other", None)
        transaction.commit()
    assert full
    assert contents(repo) == before


@pytest.mark.parametrize("at", range(4))
def test_a_disk_that_fails_in_the_middle(at: int, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ostree(repo, "refs", "--create=z", "main")
    ostree(repo, "refs", "--alias", "--create=alias", "main")
    before = contents(repo)
    real = {name: getattr(writing, name) for name in ("rename", "remove")}
    calls = count()

    def failing(name: str) -> Callable[..., None]:
        def call(*args: object) -> None:
            if any(str(arg).startswith("refs/") for arg in args) and next(calls) == at:
                raise OSError(5, os.strerror(5))
            real[name](*args)

        return call

    with larix.Repo(str(repo)) as opened, larix.Transaction(opened) as transaction:
        for ref in "new/x", "sub/one":
            transaction.set_ref(None, ref, larix.Checksum(A))
        transaction.set_alias("alias", "sub/one")
        transaction.set_ref(None, "z", None)
        for name in real:
            monkeypatch.setattr(writing, name, failing(name))
        with pytest.raises(larix.Error, match="Input/output error"):
            transaction.commit()
        assert next(calls) > at
    assert contents(repo) == before


class During(larix.Counting):
    """Calls back when all is read and nothing is written."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(interval=0)
        self._call = call

    def start(self, what: str) -> None:
        if what == "Writing":
            self._call()


def test_an_alias_means_something(repo: Path) -> None:
    """Also where another removes it meanwhile."""
    ostree(repo, "refs", "--create=z", "main")
    ostree(repo, "refs", "--alias", "--create=alias", "z")
    before = contents(repo)

    def change(*changes: Change) -> None:
        with larix.Repo(str(repo)) as opened, larix.Transaction(opened) as transaction:
            for one in changes:
                one(transaction)
            transaction.commit()

    for doomed in [
        [lambda t: t.set_ref(None, "z", None)],
        [lambda t: t.set_alias("new", "missing")],
        [lambda t: t.set_alias("new", "main"), lambda t: t.set_ref(None, "main", None)],
        [lambda t: t.set_alias("z", "z")],
        [lambda t: t.set_alias("z", "alias")],
        [lambda t: t.set_alias("new", "newer"), lambda t: t.set_alias("newer", "new")],
    ]:
        with pytest.raises(larix.Invalid, match="alias"):
            change(*doomed)
        assert contents(repo) == before
    change(lambda t: t.set_alias("new", "made"), lambda t: t.set_ref(None, "made", larix.Checksum(A)))
    change(lambda t: t.set_alias("newest", "newer"), lambda t: t.set_alias("newer", "new"))
    change(lambda t: t.set_ref(None, "newest", None), lambda t: t.set_ref(None, "newer", None))
    change(lambda t: t.set_alias("alias", "main"), lambda t: t.set_ref(None, "z", None))
    with larix.Repo(str(repo)) as opened:
        assert opened.refs.aliases() == {"alias": "main", "new": "made"}


def test_refs_that_come_while_they_are_listed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refs(self: larix.Refs, *args: Any) -> dict[tuple[RemoteName | None, Ref], larix.Checksum]:
        found = real(self, *args)
        ostree(repo, "refs", "--create=late", "main")
        return found

    real = larix.Refs.all
    monkeypatch.setattr(larix.Refs, "all", refs)
    assert [line.split()[0] for line in run_larix(repo, "refs", "-r").splitlines()] == ["main", "sub/one"]


def test_refs_as_long_as_the_kernel_takes(repo: Path, tree: Path) -> None:
    """The C tool makes them, and a prune that does not see one takes its commit away."""
    name = "/".join(["n" * 100] * 41)[:4084].rstrip("/")
    assert len(name) > 4000
    ostree(repo, "commit", "-b", "b", "--tree=dir=" + str(tree / "usr"), "-s", "another")
    ostree(repo, "refs", f"--create={name}", "b")
    ostree(repo, "refs", "--delete", "b")
    assert name in run_larix(repo, "refs").split()
    run_larix(repo, "prune", "--refs-only")
    ostree(repo, "fsck", "--quiet")
    run_larix(repo, "refs", "--delete", name)
    run_larix(repo, "refs", f"--create={name}", "main")
    assert ostree(repo, "rev-parse", name) == ostree(repo, "rev-parse", "main")


def test_two_that_commit_to_one_branch(repo: Path, tree: Path) -> None:
    """The second would take the first one's commit out of the branch."""

    def interfere() -> None:
        ostree(repo, "commit", "-b", "main", f"--tree=dir={tree / 'usr'}", "-s", "other")

    progress: Progress = During(interfere)
    with (
        larix.Repo(str(repo)) as opened,
        pytest.raises(larix.Moved, match=r"Ref main was at .* and is at .* try again"),
    ):
        larix.commit_directory(opened, str(tree / "usr"), "main", progress=progress)
    assert ostree(repo, "show", "main").endswith("other")


def test_two_that_pull_one_branch(repo: Path, tree: Path, tmp_path: Path) -> None:
    ostree(client := tmp_path / "client", "init", "--mode=archive")
    ostree(client, "remote", "add", "--no-gpg-verify", "origin", repo.as_uri())
    ostree(client, "pull", "origin", "main")

    def interfere() -> None:
        ostree(repo, "commit", "-b", "main", f"--tree=dir={tree / 'usr'}", "-s", "newest")
        ostree(client, "pull", "origin", "main")

    ostree(repo, "commit", "-b", "main", f"--tree=dir={tree / 'usr'}", "-s", "newer")
    with larix.Repo(str(client)) as opened:
        with pytest.raises(larix.Moved):
            larix.pull_remote(opened, "origin", ["main"], progress=During(interfere))
        assert ostree(client, "show", "origin:main").endswith("newest")
        # To the same commit, both may.
        ostree(client, "refs", "--delete", "origin:main")
        larix.pull_remote(opened, "origin", ["main"], progress=During(lambda: ostree(client, "pull", "origin", "main")))


def test_changes_wait_for_each_other(repo: Path) -> None:
    ostree(repo, "config", "set", "core.lock-timeout-secs", "0")
    with larix.Repo(str(repo)) as opened, lock_changes(opened):
        for command in (
            ["config", "set", "x.y", "z"],
            ["config", "unset", "core.mode"],
            ["remote", "add", "--no-gpg-verify", "origin", "http://localhost"],
            ["remote", "delete", "--if-exists", "origin"],
            ["summary", "-u"],
            ["refs", "--create=new", "main"],
            ["refs", "--delete", "main"],
            ["reset", "main", "sub/one"],
        ):
            assert "tmp/changes-lock" in fails(f"--repo={repo}", *command), command


def test_a_lock_that_was_left_is_not_swept_away(repo: Path) -> None:
    lock = repo / "tmp/changes-lock"
    lock.touch()
    os.utime(lock, (0, 0))
    with larix.Repo(str(repo)) as opened:
        with lock_changes(opened):
            # Whoever begins to write sweeps tmp/.
            ostree(repo, "commit", "-b", "c", "--tree=ref=main")
            with larix.Transaction(opened):
                pass
            assert lock.exists()
        assert not lock.exists()
        # Where somebody swept it all the same, and another holds the next.
        with lock_changes(opened):
            lock.unlink()
            with lock_changes(opened):
                pass
            lock.write_text("another's")
        assert lock.read_text() == "another's"


@pytest.mark.parametrize("text", ["", "zzz"])
def test_a_damaged_ref_can_be_replaced(text: str, repo: Path, tmp_path: Path) -> None:
    ostree(client := tmp_path / "client", "init", "--mode=archive")
    ostree(client, "remote", "add", "--no-gpg-verify", "origin", repo.as_uri())
    run_larix(client, "pull", "origin", "main")
    (client / "refs/remotes/origin/main").write_text(text)
    assert run_larix(client, "refs") == "origin:main" == ostree(client, "refs")
    run_larix(client, "pull", "origin", "main")
    assert ostree(client, "rev-parse", "origin:main") == ostree(repo, "rev-parse", "main")
    (client / "refs/remotes/origin/main").write_text(text)
    run_larix(client, "refs", "--delete", "origin:main")
    assert run_larix(client, "refs") == ""


@pytest.mark.parametrize("what", ["config", "summary"])
def test_many_writers_at_once(what: str, repo: Path) -> None:
    ostree(repo, "config", "set", "core.auto-update-summary", "true")
    words = ["config", "set", "x.y{}", "z"] if what == "config" else ["refs", "--create=ref{}", "main"]
    command = [sys.executable, "-m", "larix", f"--repo={repo}"]
    running = [subprocess.Popen([*command, *(word.format(n) for word in words)]) for n in range(12)]
    assert [process.wait() for process in running] == [0] * 12
    if what == "config":
        assert [ostree(repo, "config", "get", f"x.y{n}") for n in range(12)] == ["z"] * 12
    else:
        assert ostree(repo, "summary", "-v").count("* ref") == 12


@pytest.mark.parametrize(
    "name", ["heads/m~", "heads/sub/b d", "heads/\udcff", "remotes/file", "remotes/o/m~", "mirrors/x~/y"]
)
def test_names_that_are_no_refs_are_passed_over(name: str, repo: Path) -> None:
    """An editor leaves such; the C tool does not look at them."""
    (repo / "refs" / name).parent.mkdir(parents=True, exist_ok=True)
    (repo / "refs" / name).write_text("x")
    for words in ["fsck"], ["prune", "--refs-only"], ["summary", "-u"], ["refs", "--create=new", "main"]:
        run_larix(repo, *words)
    assert run_larix(repo, "refs").split() == ["main", "new", "sub/one"]
