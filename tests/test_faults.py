"""Each change a command makes to the disk is once its last: it is killed there, or the disk is full or fails."""

import errno
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults import KILL, KILL_WORKER, Outcome, run_until
from tests.judge import admin, by_c, c_admin, everything, ostree, run_c
from tests.power import Disk, Event, record
from tests.servers import serve
from tests.sysroots import edit_etc

# In `make test`, every so manieth change is the last one, and a quarter as many fail; all in `make test-slow`.
STRIDE = 20
# Of power cuts, so many between two syncs; in `make test` this share of them.
CUTS = 20
SHARE = 0.05
FAILURES = errno.ENOSPC, errno.EIO
DATE = "--timestamp=2026-01-02 03:04:05 +0000"


@dataclass(frozen=True)
class Case:
    """A command, and what it works on. `make` fills a directory, and returns the command for a copy of it."""

    make: Callable[[Path, Path, str], None]
    words: tuple[str, ...]
    # Below the directory: the repo that is changed, and the sysroot it is in.
    repo: str = "repo"
    sysroot: str = ""


def make_repo(mode: str) -> Callable[[Path, Path, str], None]:
    """With three releases on one branch, another with one of its own, a new tree, and the repo of another mode."""

    def make(top: Path, releases: Path, url: str) -> None:
        for name, kind in ("repo", mode), ("source", "bare" if mode == "archive" else "archive"):
            ostree(top / name, "init", f"--mode={kind}")
            ostree(top / name, "config", "set", "core.min-free-space-percent", "0")
            ostree(top / name, "remote", "add", "--no-gpg-verify", "origin", url)
        ostree(top / "source", "pull-local", releases)
        for i in 1, 2, 3:
            ostree(top / "repo", "pull-local", releases, f"os/{i}")
            ostree(top / "repo", "commit", "-b", "main", f"--tree=ref=os/{i}", f"--timestamp=@{i}")
        ostree(top / "repo", "refs", "--delete", "os/2")
        ostree(top / "repo", "refs", "--delete", "os/3")
        tree = top / "tree"
        ostree(top / "repo", "checkout", *([] if os.geteuid() == 0 else ["-U"]), "main", tree)
        for i in range(6):
            (tree / f"usr/bin/new{i}").write_text(f"new {i}" * 1000)
        (tree / "usr/bin/link").symlink_to("tool")
        os.setxattr(tree / "usr/bin/new1", "user.key", b"value")

    return make


def make_outdated(top: Path, releases: Path, url: str) -> None:
    """With much that no ref names."""
    make_repo("archive")(top, releases, url)
    ostree(top / "repo", "pull-local", releases, "os/4")
    for ref in "os/1", "os/4":
        ostree(top / "repo", "refs", "--delete", ref)


def make_machine(top: Path, releases: Path, url: str) -> None:
    """Three deployments, /etc changed by its administrator, and a newer release upstream."""
    sysroot = by_c(top / "sysroot", releases)
    repo = sysroot / "ostree/repo"
    ostree(repo, "config", "set", "core.min-free-space-percent", "0")
    ostree(repo, "remote", "add", "--no-gpg-verify", "--force", "origin", url)
    c_admin(sysroot, "deploy", "--os=test", "--karg=rw", "origin:os/1")
    c_admin(sysroot, "deploy", "--os=test", "--retain", "origin:os/2")
    (top / "origin").write_text("[origin]\nrefspec=origin:os/4\n")
    c_admin(sysroot, "deploy", "--os=test", "--retain", f"--origin-file={top}/origin", "origin:os/stable")
    edit_etc(sysroot)
    ostree(repo, "refs", "--delete", "origin:os/3")
    ostree(repo, "refs", "--delete", "origin:os/4")


def commit(mode: str) -> Case:
    words = "commit", "-b", "main", "--tree=dir={top}/tree", "--parent=none", DATE, "--owner-uid=0", "--owner-gid=0"
    return Case(make_repo(mode), words)


def on_machine(*words: str) -> Case:
    return Case(make_machine, ("admin", *words, "--sysroot={top}/sysroot"), "sysroot/ostree/repo", "sysroot")


CASES = {
    **{f"commit-{mode}": commit(mode) for mode in ("archive", "bare", "bare-user")},
    **{f"pull-{mode}": Case(make_repo(mode), ("pull", "origin", "os/4", "os/3")) for mode in ("archive", "bare")},
    **{
        f"pull-local-{mode}": Case(make_repo(mode), ("pull-local", "{top}/source", "os/4", "os/3"))
        for mode in ("archive", "bare")
    },
    "prune": Case(make_outdated, ("prune", "--refs-only", "--depth=0")),
    "deploy": on_machine("deploy", "--os=test", "--karg=quiet", "origin:os/1"),
    "upgrade": on_machine("upgrade", "--os=test"),
    "undeploy": on_machine("undeploy", "1"),
    "cleanup": on_machine("cleanup"),
}
# In `make test-slow` alone.
MORE_CASES = {
    "commit-bare-user-only": commit("bare-user-only"),
    "pull-bare-user": Case(make_repo("bare-user"), ("pull", "origin", "os/4", "os/3")),
    "pull-mirror": Case(make_repo("archive"), ("pull", "--mirror", "origin", "os/4", "os/3")),
    "pull-local-bare-user": Case(make_repo("bare-user"), ("pull-local", "{top}/source", "os/4", "os/3")),
    "set-kargs": on_machine("instutil", "set-kargs", "--merge", "--append=quiet"),
}


class Bench:
    """One case: its directory as it is before, and what it is after the command has run."""

    def __init__(self, case: Case, top: Path) -> None:
        self.case, self.top, self.before = case, top / "work", top / "before"
        self._names: dict[str, set[str]] = {}
        self.fresh()
        self.old = self.state()
        done = self.run()
        assert done.done is not None
        assert done.done.status == 0, done
        self.changes = done.changes
        self.new, self.names = self.state(), self.list()
        again = self.run().done
        # Or it goes on from there, as a second deployment of a commit does.
        self.repeatable = again is not None and (self.state(), self.list()) == (self.new, self.names)

    def fresh(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)
        subprocess.run(["cp", "-a", self.before, self.top], check=True)

    def run(self, fault: int = KILL, at: int = 0) -> Outcome:
        return run_until(fault, at, *self.words())

    def words(self) -> list[str]:
        words = [word.format(top=self.top) for word in self.case.words]
        return words if self.case.sysroot else [f"--repo={self.repo}", *words]

    @property
    def repo(self) -> Path:
        return self.top / self.case.repo

    def state(self) -> dict[str, str]:
        """What the refs and the boot entries name; what lies under refs is whole, by the C tool."""
        assert run_c(f"--repo={self.repo}", "fsck", "--quiet").returncode == 0
        found = {}
        for path in everything(refs := self.repo / "refs"):
            if path.is_file() and not path.is_relative_to(refs / "heads/ostree"):
                found[str(path.relative_to(refs))] = path.read_text()
        if self.case.sysroot:
            sysroot = self.top / self.case.sysroot
            entries = sorted((sysroot / "boot/loader/entries").iterdir())
            options = [
                line for entry in entries for line in entry.read_text().split("\n") if line.startswith("options")
            ]
            found["deployments"] = later("\n".join([c_admin(sysroot, "status"), *map(without_target, options)]))
            self.check_whole(sysroot)
        return found

    def check_whole(self, sysroot: Path) -> None:
        """Whatever boots has its kernel, and a tree that is its commit's."""
        entries = [*(sysroot / "boot/loader/entries").iterdir()]
        assert entries
        for entry in entries:
            lines = dict(line.split(" ", 1) for line in entry.read_text().splitlines())
            assert {"options", "linux", "initrd"} <= lines.keys(), (entry, lines)
            options = lines["options"].split()
            target = next(word for word in options if word.startswith("ostree=/")).removeprefix("ostree=/")
            root = (sysroot / target).resolve(strict=True)
            modules = next((root / "usr/lib/modules").iterdir())
            for key, name in ("linux", "vmlinuz"), ("initrd", "initramfs.img"):
                assert (sysroot / "boot" / lines[key].lstrip("/")).read_bytes() == (modules / name).read_bytes()
            found = {f"/{path.relative_to(root)}" for path in [root / "usr", *everything(root / "usr")]}
            assert found == self.names_in(root.name.partition(".")[0])
            assert (root / "usr/bin/tool").read_text().startswith("tool ")
            assert (root / "etc/os-release").is_symlink()

    def names_in(self, commit: str) -> set[str]:
        """All that is in /usr of a commit, by the C tool."""
        if commit not in self._names:
            names = ostree(self.repo, "ls", "-R", "--nul-filenames-only", commit, "/usr").split("\0")[:-1]
            self._names[commit] = set(names)
        return self._names[commit]

    def list(self) -> Sequence[str]:
        """All that is there, so that litter is seen; but for a file in tmp/ of the repo, which goes after a day."""
        found = sorted(later(str(path.relative_to(self.top))) for path in everything(self.top))
        return [path for path in found if not path.startswith(f"{self.case.repo}/tmp/new-")]


def without_target(options: str) -> str:
    return re.sub(r"ostree=\S+", "", options)


def later(text: str) -> str:
    """Of deployments of one commit, the later ones may have any number: both tools leave out that of a killed one."""
    return re.sub(r"([0-9a-f]{64})\.[0-9]", r"\1.N", text)


@pytest.fixture(scope="module")
def url(releases: Path) -> Iterator[str]:
    with serve(releases) as found:
        yield found


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, releases: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    case = (CASES | MORE_CASES)[request.param]
    if case.sysroot and os.geteuid() != 0:
        pytest.skip("the C tool deploys only as root")
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    (tmp_path / "before").mkdir()
    case.make(tmp_path / "before", releases, url)
    return Bench(case, tmp_path)


def break_off(bench: Bench, fault: int, at: int) -> bool:
    """Let one change be the last, or fail, and go on. Whether the command came that far."""
    bench.fresh()
    outcome = bench.run(fault, at)
    where = (errno.errorcode.get(fault, "killed"), at, outcome)
    between = check_between(bench, where)
    if fault != KILL:
        refs = {name: value for name, value in between.items() if name != "deployments"}
        whole = [{name: side.get(name, value) for name, value in refs.items()} for side in (bench.old, bench.new)]
        assert refs in whole, where
    if outcome.done is not None and outcome.done.status == 0:
        assert between == bench.new, where
        return False
    if outcome.done is not None:
        assert outcome.done.status == 1, where
        message = outcome.done.err
        assert message.startswith("error: "), where
        assert message.count("\n") == 1, where
        if fault == KILL_WORKER:
            assert "worker process was ended" in message, where
        else:
            assert os.strerror(fault) in message, where
            assert str(bench.top) in message, where
    go_on(bench, between, where)
    return True


def check_between(bench: Bench, where: object) -> dict[str, str]:
    """Each ref and boot entry is the old one or the new one."""
    between = bench.state()
    assert between.keys() >= bench.old.keys() & bench.new.keys(), where
    for name, value in between.items():
        assert value in (bench.old.get(name), bench.new.get(name)), (name, where)
    return between


def go_on(bench: Bench, between: dict[str, str], where: object) -> None:
    """The command, run again, does the work, and takes away what was left."""
    again = bench.run()
    assert again.done is not None
    after = bench.state()
    if bench.repeatable or between == bench.old:
        assert again.done.status == 0, (where, again)
        assert after == bench.new, (where, again)
        if between != bench.old and bench.case.sysroot:
            # Nothing was left to do for it but to clean up.
            admin(bench.top / bench.case.sysroot, "cleanup")
        assert bench.list() == bench.names, (where, again)


@pytest.mark.parametrize("bench", CASES, indirect=True)
def test_some_changes(bench: Bench) -> None:
    done = [break_off(bench, KILL, at) for at in range(1, bench.changes + 1, STRIDE)]
    assert sum(done) >= len(done) - 1
    done = [
        break_off(bench, FAILURES[i % 2], at) for i, at in enumerate(range(STRIDE // 2, bench.changes + 1, 4 * STRIDE))
    ]
    assert sum(done) >= len(done) - 1


@pytest.mark.parametrize("bench", ["commit-archive", "pull-bare", "pull-local-archive"], indirect=True)
def test_a_worker_is_killed(bench: Bench) -> None:
    bench.fresh()
    changes = bench.run(KILL_WORKER).changes
    assert changes > 10
    done = [break_off(bench, KILL_WORKER, at) for at in range(1, changes // 2, STRIDE // 2)]
    assert all(done)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [KILL, *FAILURES], ids=["killed", "full", "broken"])
@pytest.mark.parametrize("bench", CASES | MORE_CASES, indirect=True)
def test_every_change(bench: Bench, fault: int, record_property: Callable[[str, object], None]) -> None:
    record_property("changes", bench.changes)
    done = [break_off(bench, fault, at) for at in range(1, bench.changes + 1)]
    # Workers come in another order each time, and the last changes may not be reached.
    assert sum(done) > len(done) * 9 // 10


@dataclass(frozen=True)
class Tried:
    states: int
    bad: list[str]


def cut_power(bench: Bench, log: Path, share: float = 1, ignore: Callable[[int], bool] | None = None) -> Tried:
    """Run the command, and look at the disk as power cuts leave it: at each sync, and at 20 moments between two.

    A `share` of these is tried. With syncs that are to be left out by their numbers, nothing is expected.
    """
    bench.fresh()
    before = Disk(bench.top)
    done, events = record(log, *bench.words())
    assert done.status == 0, done
    choose = random.Random(1)
    moments = plan_cuts(events, deepcopy(before), choose)
    disk = deepcopy(before)
    if ignore is not None:
        disk.ignore = ignore
    tried, bad = 0, []
    for i, event in enumerate([*events, None]):
        for seed in moments.get(i, []):
            if choose.random() > share and event is not None:
                continue
            tried += 1
            remove(bench.top)
            disk.build(disk.after_power_cut(random.Random(seed) if seed else None))
            where = ("power cut", i, len(events), seed)
            try:
                between = check_between(bench, where)
                if event is None:
                    # It had said that all is done.
                    assert between == bench.new, where
                go_on(bench, between, where)
            except (AssertionError, OSError, StopIteration, ValueError) as error:
                bad.append(f"{where}: {error!r:.400}")
        if event is not None:
            disk.happen(event)
    return Tried(tried, bad)


def plan_cuts(events: Sequence[Event], disk: Disk, choose: random.Random) -> dict[int, list[int]]:
    """Before which events, and from which seeds what is not durable is chosen; from 0: nothing of it."""
    moments: dict[int, list[int]] = {len(events): [0]}
    ends = []
    for i, event in enumerate(events):
        if disk.happen(event):
            moments.setdefault(i + 1, []).append(0)
            ends.append(i)
    # What comes after the last sync may get lost, and does no harm.
    for begin, end in pairwise([0, *ends, len(events)]):
        for _ in range(CUTS):
            moments.setdefault(choose.randrange(begin, end + 1), []).append(choose.getrandbits(32) | 1)
    return moments


def remove(top: Path) -> None:
    shutil.rmtree(top, ignore_errors=True)
    assert not top.exists()


@pytest.mark.parametrize("bench", ["commit-archive", "pull-bare", "prune", "upgrade", "undeploy"], indirect=True)
def test_some_power_cuts(bench: Bench, tmp_path: Path) -> None:
    tried = cut_power(bench, tmp_path / "log", SHARE)
    assert not tried.bad, "\n".join(tried.bad)
    assert tried.states > 1


@pytest.mark.parametrize("bench", ["deploy"], indirect=True)
def test_power_cuts_without_syncs_are_seen(bench: Bench, tmp_path: Path) -> None:
    assert cut_power(bench, tmp_path / "log", SHARE, ignore=lambda number: True).bad


@pytest.mark.slow
@pytest.mark.parametrize("bench", CASES | MORE_CASES, indirect=True)
def test_power_cuts(bench: Bench, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    tried = cut_power(bench, tmp_path / "log")
    record_property("states", tried.states)
    # Where there are few, all.
    share = SHARE if tried.states > CUTS / SHARE else 1
    control = cut_power(bench, tmp_path / "log", share, ignore=lambda number: True)
    record_property("control", f"{len(control.bad)} of {control.states} bad")
    assert not tried.bad, "\n".join(tried.bad)
