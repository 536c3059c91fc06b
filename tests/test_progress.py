"""How far it is: counts that are true, in time, and nothing where nobody looks."""

import json
import os
import pty
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from larix.cli.progress import line_of
from larix.progress import Counting, Step
from tests.judge import by_c, everything, ostree

Lines = dict[str, list[dict[str, Any]]]


def told(*words: str | Path) -> Lines:
    """What a command tells of its steps, by their names."""
    done = subprocess.run(
        [sys.executable, "-m", "larix", *map(str, words), "--progress=json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    steps: Lines = {}
    for line in done.stderr.splitlines():
        if line.startswith("{"):
            value = json.loads(line)
            steps.setdefault(value["step"], []).append(value)
    for lines in steps.values():
        check_step(lines)
    return steps


def check_step(lines: list[dict[str, Any]]) -> None:
    assert [line["ended"] for line in lines] == [False] * (len(lines) - 1) + [True]
    for name in "objects", "bytes", "objects_total", "bytes_total", "seconds":
        values = [line[name] for line in lines]
        assert values == sorted(values), name
    assert lines[-1]["objects"] == lines[-1]["objects_total"]
    assert all(line["seconds_left"] is None for line in lines if not line["known"])


def files_of(path: Path) -> list[Path]:
    return [found for found in everything(path) if not stat.S_ISDIR(found.lstat().st_mode)]


def test_commit_checkout_and_fsck(tmp_path: Path, tree: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=bare-user")
    count, size = len(files_of(tree)), sum(path.lstat().st_size for path in files_of(tree))
    last = told("commit", f"--repo={repo}", "-b", "x", tree)["Reading"][-1]
    assert (last["objects"], last["bytes"], last["bytes_total"], last["known"]) == (count, size, size, True)
    last = told("checkout", f"--repo={repo}", "-U", "x", tmp_path / "out")["Checking out"][-1]
    assert (last["objects"], last["known"]) == (count, True)
    last = told("checkout", f"--repo={repo}", "-UC", "x", tmp_path / "copy")["Checking out"][-1]
    assert last["objects"] == count
    objects = list(repo.glob("objects/*/*.file"))
    last = told("fsck", f"--repo={repo}")["Checking"][-1]
    assert (last["objects"], last["bytes"]) == (len(objects), sum(path.lstat().st_size for path in objects))


def test_what_is_left_out_is_not_expected(tmp_path: Path, tree: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    left_out = next(
        path for path in sorted(tree.iterdir()) if not path.is_symlink() and path.is_dir() and files_of(path)
    )
    skipped = tmp_path / "skip"
    skipped.write_text(f"/{left_out.name}\n")
    last = told("commit", f"--repo={repo}", "-b", "x", f"--skip-list={skipped}", tree)["Reading"][-1]
    assert last["objects"] == len(files_of(tree)) - len(files_of(left_out))


def test_pull(tmp_path: Path, c_repos: dict[str, Path]) -> None:
    source, repo = c_repos["archive"], tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    steps = told("pull-local", f"--repo={repo}", source, "os/stable")
    objects = [path for path in repo.glob("objects/*/*") if path.suffix != ".commitmeta"]
    # The parent is asked for only with --depth.
    assert steps["Importing"][-1]["objects"] == len(objects)
    assert told("pull-local", f"--repo={repo}", source, "os/stable", "--depth=1")["Importing"][-1]["objects"] == 1
    again = told("pull-local", f"--repo={repo}", source, "os/stable", "--depth=-1")["Importing"][-1]
    assert (again["objects"], again["known"]) == (0, True)


def test_deploy_and_upgrade(tmp_path: Path, releases: Path) -> None:
    sysroot = by_c(tmp_path / "sysroot", releases)
    where = ["admin", f"--sysroot={sysroot}"]
    os.environ["OSTREE_SYSROOT_DEBUG"] = "mutable-deployments"
    try:
        steps = told(*where, "deploy", "--os=test", "origin:os/stable")
        files = ostree(sysroot / "ostree/repo", "ls", "-R", "origin:os/stable").splitlines()
        assert steps["Checking out"][-1]["objects"] == sum(not line.startswith("d") for line in files)
        steps = told(*where, "switch", "--os=test", "os/2")
        assert list(steps) == ["Importing", "Writing", "Checking out"]
    finally:
        del os.environ["OSTREE_SYSROOT_DEBUG"]


def test_a_line_on_a_terminal(tmp_path: Path, c_repos: dict[str, Path]) -> None:
    words = [sys.executable, "-m", "larix", f"--repo={c_repos['bare']}", "fsck"]
    plain = subprocess.run(words, capture_output=True, text=True, check=True)
    assert plain.stderr == ""
    shown, end = pty.openpty()
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=end, text=True, check=True)
        text = os.read(shown, 1 << 16).decode()
        assert done.stdout == plain.stdout
        assert "Checking" in text
        assert text.endswith("\r\x1b[K"), "nothing stays there"
        assert "\n" not in text
        subprocess.run([*words, "-q"], stdout=subprocess.PIPE, stderr=end, check=True)
        subprocess.run([*words, "--progress=none"], stdout=subprocess.PIPE, stderr=end, check=True)
        os.set_blocking(shown, False)
        with pytest.raises(BlockingIOError):
            os.read(shown, 1)
    finally:
        os.close(shown)
        os.close(end)


class Kept(Counting):
    def __init__(self) -> None:
        super().__init__(interval=1)
        self.lines: list[str] = []

    def show(self, step: Step, *, ended: bool) -> None:
        self.lines.append(line_of(step) + ("." if ended else ""))


def test_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept = Kept()
    kept.start("Fetching")
    kept.expect(1000, 4_000_000)
    now[0] += 0.5
    kept.advance(100, 1_000_000)
    now[0] += 1.5
    kept.advance(0)
    kept.all_known()
    now[0] += 2
    kept.advance(100, 1_000_000)
    kept.start("Fetching")
    now[0] += 4000
    kept.advance(800, 2_000_000)
    kept.start("Writing")
    kept.end()
    kept.end()
    assert kept.lines == [
        "Fetching…",
        "Fetching 100/1,000+ objects, 1.0 MB of 4.0 MB, 500.0 kB/s",
        "Fetching 200/1,000 objects, 2.0 MB of 4.0 MB, 500.0 kB/s, 0:04 left",
        "Fetching 1,000/1,000 objects, 4.0 MB of 4.0 MB, 999 bytes/s, 0:00 left",
        "Fetching 1,000/1,000 objects, 4.0 MB of 4.0 MB, 999 bytes/s, 0:00 left.",
        "Writing…",
        "Writing….",
    ]
    hours = Step("Reading", 1, 3601, seconds=2.0, is_known=True)
    assert line_of(hours) == "Reading 1/3,601 objects, 2:00:00 left"
