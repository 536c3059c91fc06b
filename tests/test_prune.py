"""Pruning, comparing and exporting beside the C tool: it gets a copy of the same repo and the same command line."""

import io
import os
import random
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from larix.cli.dates import parse_date
from larix.cli.output import size
from larix.errors import Busy, Invalid
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.prune import PruneOptions, delete_commit, execute_prune, plan_prune
from larix.ops.tree.reach import reach
from larix.repo.exclusive import Exclusive
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction
from tests.judge import NEWEST, everything, fails, larix, ostree, picture, release, run_c

ROOT = os.geteuid() == 0


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with branches m, n, origin:r of four commits each, one a year from 2001 on, and an orphan."""
    top = tmp_path_factory.mktemp("grown")
    repo, tree = top / "repo", top / "tree"
    (tree / "sub").mkdir(parents=True)
    ostree(repo, "init", "--mode=archive")
    for year in range(2001, 2005):
        (tree / "sub/same").write_text(f"of {year}")
        for branch in "m", "n", "r":
            (tree / "file").write_text(f"{branch} of {year}")
            at = f"--timestamp={year}-06-01 00:00 +0000"
            ostree(repo, "commit", "-b", branch, at, "--add-detached-metadata-string=k=v", f"--tree=dir={tree}")
    ostree(repo, "refs", "--create=origin:r", "r")
    ostree(repo, "refs", "--delete", "r")
    (tree / "file").write_text("orphan")
    ostree(repo, "commit", "--orphan", "--timestamp=2003-01-01 00:00 +0000", f"--tree=dir={tree}")
    return repo


PRUNES = [
    [],
    ["--no-prune"],
    ["--refs-only"],
    ["--refs-only", "--no-prune", "--depth=1"],
    ["--depth=0"],
    ["--refs-only", "--depth=0"],
    ["--refs-only", "--depth=2", "--commit-only"],
    ["--keep-younger-than=2003-01-01 00:00:00 +0000"],
    ["--keep-younger-than=@2000000000"],
    ["--keep-younger-than=2003-01-01", "--depth=0"],
    ["--keep-younger-than=2003-01-01", "--only-branch=m"],
    ["--only-branch=m", "--depth=1"],
    ["--only-branch=m", "--only-branch=origin:r", "--depth=1"],
    ["--only-branch=n"],
    ["--retain-branch-depth=m=2", "--depth=1"],
    ["--retain-branch-depth=m=0"],
    ["--retain-branch-depth=nowhere=0", "--depth=0"],
    ["--retain-branch-depth=n=-1", "--keep-younger-than=2004-01-01"],
]


@pytest.mark.parametrize("options", PRUNES, ids=" ".join)
def test_prune_leaves_what_the_c_tool_leaves(grown: Path, tmp_path: Path, options: list[str]) -> None:
    ours, theirs = (Path(shutil.copytree(grown, tmp_path / name)) for name in ("ours", "theirs"))
    printed = ostree(theirs, "prune", *options)
    assert larix(ours, "prune", *options) == printed.replace("\xa0", " ")
    assert picture(ours) == picture(theirs)
    ostree(ours, "fsck")


def test_tombstones(grown: Path, tmp_path: Path) -> None:
    ours, theirs = (Path(shutil.copytree(grown, tmp_path / name)) for name in ("ours", "theirs"))
    doomed = ostree(grown, "rev-parse", "m^^")
    for by, repo in (larix, ours), (ostree, theirs):
        by(repo, "prune", f"--delete-commit={doomed}")
        by(repo, "prune", "--refs-only", "--depth=1")
    assert picture(ours) == picture(theirs)
    assert (ours / f"objects/{doomed[:2]}/{doomed[2:]}.tombstone-commit").exists()
    assert "No such commit" in fails(f"--repo={ours}", "prune", f"--delete-commit={doomed}")
    head = ostree(grown, "rev-parse", "origin:r")
    assert "is referenced by 'origin:r'" in fails(f"--repo={ours}", "prune", f"--delete-commit={head}")
    assert picture(ours) == picture(theirs)


def test_prune_of_a_repo_with_holes(grown: Path, tmp_path: Path) -> None:
    """A partial commit keeps what it has; a whole one that cannot be read stops everything; history may end early."""
    repo = Path(shutil.copytree(grown, tmp_path / "repo"))

    def path(checksum: str, kind: str) -> Path:
        return repo / f"objects/{checksum[:2]}/{checksum[2:]}.{kind}"

    head, third = ostree(repo, "rev-parse", "m"), ostree(repo, "rev-parse", "m^")
    path(third, "commit").unlink()
    tree = next(line for line in ostree(repo, "ls", "-dC", "m").split() if len(line) == 64)
    before = len(everything(repo))
    path(tree, "dirtree").unlink()
    assert f"{tree}.dirtree" in fails(f"--repo={repo}", "prune", "--refs-only")
    assert len(everything(repo)) == before - 1
    (repo / f"state/{head}.commitpartial").touch()
    copy = Path(shutil.copytree(repo, tmp_path / "copy"))
    assert larix(repo, "prune", "--refs-only") == ostree(copy, "prune", "--refs-only").replace("\xa0", " ")
    assert picture(repo) == picture(copy)
    ostree(repo, "refs", "--delete", "m")
    larix(repo, "prune", "--refs-only")
    assert not (repo / f"state/{head}.commitpartial").exists()


def test_a_mirrored_collection_keeps_its_commits(grown: Path, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(grown, tmp_path / "repo"))
    mirror = repo / "refs/mirrors/org.example.Os/m"
    mirror.parent.mkdir()
    (repo / "refs/heads/m").rename(mirror)
    copy = Path(shutil.copytree(repo, tmp_path / "copy"))
    assert larix(repo, "prune", "--refs-only") == ostree(copy, "prune", "--refs-only").replace("\xa0", " ")
    assert picture(repo) == picture(copy)


def test_nobody_adds_while_one_deletes(grown: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(grown, tmp_path / "repo"))
    larix(path, "config", "set", "core.lock-timeout-secs", "0")
    with Repo(str(path)) as repo:
        with Transaction(repo):
            assert "locked" in fails(f"--repo={path}", "prune", "--refs-only", "--depth=0")
            # One that has nothing to delete is in nobody's way.
            assert "No unreachable objects" in larix(path, "prune")
        with Exclusive(repo), pytest.raises(Busy):
            Transaction(repo)


@pytest.fixture
def with_orphans(tmp_path: Path) -> tuple[Path, Path, str]:
    """A repo with branch m; a tree that was deleted from it, but for the objects; the commit it had had."""
    repo, tree = tmp_path / "repo", tmp_path / "tree"
    ostree(repo, "init", "--mode=archive")
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/kept").write_text("kept")
    ostree(repo, "commit", "-b", "m", f"--tree=dir={tree}")
    for i in range(20):
        (tree / f"sub/{i}").write_text(f"orphan {i}")
    return repo, tree, ostree(repo, "commit", "--orphan", f"--tree=dir={tree}")


def test_others_add_while_a_prune_looks(with_orphans: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the plan calls unneeded, and a commit counts on that comes before the deletion, stays."""
    path, tree, orphan = with_orphans

    def reach_slowly(*args: Any) -> Iterator[ObjectName]:
        if not ostree(path, "refs", "--list", "new"):
            larix(path, "commit", "--lock-timeout=0", "-b", "new", f"--tree=dir={tree}")
        yield from reach(*args)

    monkeypatch.setattr("larix.ops.prune.reach", reach_slowly)
    assert larix(path, "prune", "--refs-only", "--lock-timeout=0").startswith("Total objects: 28\nDeleted 1 objects")
    ostree(path, "fsck")
    assert ostree(path, "ls", "new", "sub/19")
    assert orphan not in {entry.name.partition(".")[0] for entry in (path / "objects").glob("*/*.commit")}


def test_between_looking_and_deleting(with_orphans: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Come may a commit without a ref, the rest of a partial one, or another that deletes."""
    path, tree, orphan = with_orphans
    options = PruneOptions(refs_only=True)
    ostree(tmp_path / "origin", "init", "--mode=archive")
    ostree(tmp_path / "origin", "pull-local", path, orphan)
    with Repo(str(path)) as repo:
        plan = plan_prune(repo, options)
        new = larix(path, "commit", "--orphan", "-s", "came meanwhile", f"--tree=dir={tree}")
        with Exclusive(repo) as exclusive:
            assert list(execute_prune(exclusive, plan).unneeded) == [ObjectName(Checksum(orphan), ObjectType.COMMIT)]
        ostree(path, "fsck")
        ostree(path, "refs", "--create=part", new)
        # A directory is missing whose files are there.
        directory = ostree(path, "ls", "-dC", "part", "/sub").split()[4]
        (path / f"objects/{directory[:2]}/{directory[2:]}.dirtree").unlink()
        (path / f"state/{new}.commitpartial").touch()
        plan = plan_prune(repo, options)
        assert len(plan.unneeded) == 20
        larix(path, "pull-local", tmp_path / "origin", orphan)
        with Exclusive(repo) as exclusive:
            assert not execute_prune(exclusive, plan).unneeded
        (path / f"state/{new}.commitpartial").unlink()
        ostree(path, "fsck")
        ostree(path, "refs", "--delete", "part")
        plan = plan_prune(repo, options)
        assert len(plan.unneeded) == 24
        assert "Deleted 24 objects" in larix(path, "prune", "--refs-only")
        with Exclusive(repo) as exclusive:
            assert not execute_prune(exclusive, plan).unneeded
    ostree(path, "fsck")


def test_wrong_prunes(grown: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(grown, tmp_path / "copy"))
    before = picture(grown)
    for options, said in [
        (["--only-branch=nowhere"], "Refspec 'nowhere' not found"),
        (["--retain-branch-depth=m"], "must specify BRANCH=DEPTH"),
        (["--keep-younger-than=garbage"], "Could not parse 'garbage'"),
        (["--delete-commit=m"], "m"),
        (["--no-prune", "--delete-commit=" + "a" * 64], "both"),
        (["--static-deltas-only"], "static deltas"),
    ]:
        assert said in fails(f"--repo={grown}", "prune", *options)
        assert run_c(f"--repo={copy}", "prune", *options, check=False).returncode == 1
    assert picture(grown) == before


def test_dates() -> None:
    now = datetime(2024, 3, 31, 12, 0, 0, tzinfo=UTC)

    def ago(text: str) -> str:
        return datetime.fromtimestamp(parse_date(text, now), UTC).strftime("%F %H:%M")

    assert ago("2 weeks ago") == "2024-03-17 12:00"
    assert ago("an hour ago") == "2024-03-31 11:00"
    assert ago("Yesterday") == "2024-03-30 12:00"
    # As `date -d '2024-03-31 12:00 1 month ago'` says.
    assert ago("1 month ago") == "2024-03-02 12:00"
    assert ago("1 year ago") == "2023-03-31 12:00"
    assert (parse_date("@7"), parse_date("1970-01-02 00:00 +0000")) == (7, 86400)
    assert (parse_date("@-7"), parse_date("1969-12-31 00:00 +0000")) == (-7, -86400)
    for wrong in "2024-13-01", "9999999 years ago", "@x", "@--1":
        with pytest.raises(Invalid):
            parse_date(wrong, now)


PRINTED = [
    "Tue, 01 Dec 2026 13:24:57 +0100",
    "Tue Dec  1 13:24:57 UTC 2026",
    "Tue Dec  1 01:23:55 PM UTC 2026",
    "Tue Dec  1 12:23:55 AM EST 2026",
    "Wed Jul  1 12:00:00 CEST 2026",
    "Tue Dec  1 12:00:00 CET 2026",
    "1 Dec 2026 12:00 GMT",
    "Tue Dec  1 12:00:00 XYZ 2026",
    "Tue Dec 31 25:00:00 UTC 2026",
    "Tue Dec  1 13:00:00 PM UTC 2026",
    "Tue Feb 30 12:00:00 UTC 2026",
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai"])
def test_dates_as_programs_print_them(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    environment = {**os.environ, "LC_ALL": "C"}

    def date(*words: str) -> str:
        done = subprocess.run(["date", *words], capture_output=True, text=True, env=environment, check=False)
        return done.stdout.strip()

    texts = [
        date(*option, f"--date=@{at}") for at in (0, 1782907200, 1796126400) for option in ([], ["-R"], ["-Iseconds"])
    ]
    for text in texts + PRINTED:
        expected = date("--date", text, "+%s")
        try:
            found = str(parse_date(text))
        except Invalid:
            found = ""
        # Date knows zones of others too.
        assert found == expected or (not found and "CE" in text and zone != "Europe/Berlin"), text
    monkeypatch.undo()
    time.tzset()


def test_sizes() -> None:
    assert list(map(size, (0, 1, 999, 1000, 1_049_000, 5 * 10**15))) == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "1.0 kB",
        "1.0 MB",
        "5000.0 TB",
    ]


def scramble(root: Path, seed: int) -> None:
    """Change a tree made of d0/d1/… and f0, f1, … here and there; the same for the same seed."""
    dice = random.Random(seed)
    for path in sorted(everything(root), reverse=True):
        luck = dice.random()
        if luck < 0.15:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif luck < 0.3:
            path.chmod(0o700)
        elif luck < 0.4:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.write_text("now a file") if dice.random() < 0.5 else path.mkdir()
        elif luck < 0.5:
            (path / f"new{seed}").mkdir() if path.is_dir() else path.write_text("changed")
    (root / "more/and/more").mkdir(parents=True)
    (root / "more/and/file").write_text("new")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A repo with branches t0 to t4, and the trees they are of."""
    top = tmp_path_factory.mktemp("changed")
    ostree(top / "repo", "init", "--mode=archive")
    trees = [top / f"{seed}" for seed in range(5)]
    for seed, tree in enumerate(trees):
        for i in range(40):
            path = tree / f"d{i % 3}/d{i % 5}/f{i}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{i}")
        if seed:
            scramble(tree, seed)
        ostree(top / "repo", "commit", "-b", f"t{seed}", f"--tree=dir={tree}")
    return top / "repo", trees


def test_diff_of_commits(changed: tuple[Path, list[Path]]) -> None:
    repo, trees = changed
    for old in range(len(trees)):
        for new in range(len(trees)):
            words = ["diff", f"t{old}", f"t{new}"]
            assert larix(repo, *words) == ostree(repo, *words)
            assert larix(repo, *words, "--stats") == ostree(repo, *words, "--stats").replace("\xa0", " ")
    assert larix(repo, "diff", "t0", "t1")
    words = ["diff", "--stats", "--fs-diff", "t1", "t2"]
    assert larix(repo, *words) == ostree(repo, *words).replace("\xa0", " ")


def test_diff_of_directories(changed: tuple[Path, list[Path]]) -> None:
    repo, trees = changed

    def same(*words: str | Path) -> None:
        ours, theirs = (by(repo, "diff", *words).splitlines() for by in (larix, ostree))
        assert sorted(ours) == sorted(theirs)

    for old, new in (0, 1), (1, 2), (3, 2):
        same(f"t{old}", trees[new])
        same(trees[old], f"t{new}")
        same(trees[old], trees[new])
        same("--owner-uid=7", f"t{old}", trees[new])
    os.setxattr(trees[0] / "d0/d0/f0", "user.k", b"v")
    same("t0", trees[0])
    same("--no-xattrs", "t0", trees[0])
    assert larix(repo, "diff", "--no-xattrs", "t0", trees[0]) == ""


def test_diff_needs_something_to_compare(changed: tuple[Path, list[Path]]) -> None:
    repo, trees = changed
    ostree(repo, "commit", "-b", "two", f"--tree=dir={trees[0]}")
    ostree(repo, "commit", "-b", "two", f"--tree=dir={trees[1]}")
    assert larix(repo, "diff", "two") == ostree(repo, "diff", "two") != ""
    assert "has no parent" in fails(f"--repo={repo}", "diff", "t0")
    assert "no directory" in fails(f"--repo={repo}", "diff", "--stats", "t0", trees[1])
    assert "nowhere" in fails(f"--repo={repo}", "diff", "t0", "./nowhere")


@pytest.fixture
def plain(tree: Path, tmp_path: Path) -> Path:
    """A repo with the tree, of which the C tool would not export extended attributes, as branch os."""
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    ostree(repo, "commit", "-b", "os", "--timestamp=2026-01-02 03:04:05 +0000", f"--tree=dir={tree}")
    return repo


def export_both(repo: Path, folder: Path, *options: str) -> tuple[bytes, bytes]:
    done = []
    for by, name in (larix, "ours.tar"), (ostree, "theirs.tar"):
        by(repo, "export", "os", f"--output={folder / name}", *options)
        done.append((folder / name).read_bytes())
    return done[0], done[1]


FILE_OR_LINK = ("type", "size", "linkname", "chksum")


def members(data: bytes) -> list[object]:
    found: list[object] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            # Older C tools make no hard links.
            is_file = member.isreg() or member.islnk()
            content = archive.extractfile(member) if is_file else None
            info = {key: value for key, value in member.get_info().items() if not is_file or key not in FILE_OR_LINK}
            found.append((info, is_file, content.read() if content else b""))
    return found


def test_a_depth_that_means_nothing(grown: Path) -> None:
    """The C tool takes it for 0, and deletes all but the newest commits."""
    before = picture(grown)
    assert "Invalid depth -2" in fails(f"--repo={grown}", "prune", "--refs-only", "--depth=-2")
    assert picture(grown) == before


def test_a_branch_in_the_history_of_another(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    for second in "12345":
        ostree(repo, "commit", "-b", "whole", f"--timestamp=@{second}", tmp_path / "tree")
    ostree(repo, "refs", "--create=part", "whole^^")
    larix(repo, "prune", "--refs-only", "--only-branch=part", "--depth=0")
    assert larix(repo, "log", "whole").count("\nDate: ") == 5
    larix(repo, "prune", "--refs-only", "--only-branch=whole", "--depth=0")
    assert [larix(repo, "log", name).count("\nDate: ") for name in ("whole", "part")] == [1, 3]


def test_export_is_that_of_the_c_tool(plain: Path, tmp_path: Path) -> None:
    for options in ["--subpath=/usr", "--prefix=/x"], ["--subpath=usr/share"]:
        ours, theirs = export_both(plain, tmp_path, "--no-xattrs", *options)
        assert (ours == theirs) if release() >= NEWEST else (members(ours) == members(theirs))
    # A name that is too long for its field stands in one before it, of which libarchive writes more than is read.
    for options in [], ["--prefix=pre/"]:
        ours, theirs = export_both(plain, tmp_path, "--no-xattrs", *options)
        assert members(ours) == members(theirs)


def test_a_file_that_stands_twice_is_exported_once(tmp_path: Path) -> None:
    """As C 2026.4 does it: the second is a hard link to the first, an empty one too, a symlink not."""
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    for name, content in ("a/1", "x"), ("b/2", "x"), ("c", "x"), ("a/e", ""), ("b/e", ""), ("other", "y"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(content)
    for name in "a/l", "b/l":
        (tmp_path / "tree" / name).symlink_to("c")
    os.setxattr(tmp_path / "tree/other", "user.key", b"value")
    ostree(repo, "commit", "-b", "os", tmp_path / "tree")
    for options, prefix in ([], ""), (["--prefix=x/"], "x/"):
        with tarfile.open(fileobj=io.BytesIO(export_both(repo, tmp_path, *options)[0])) as archive:
            links = {member.name: member.linkname for member in archive if member.islnk()}
            archive.extractall(out := tmp_path / f"out{len(options)}", filter="tar")
        assert links == {f"{prefix}a/1": f"{prefix}c", f"{prefix}b/2": f"{prefix}c", f"{prefix}b/e": f"{prefix}a/e"}
        assert (out / prefix / "b/2").read_text() == "x"
    larix(repo, "commit", "-b", "again", f"--tree=tar={tmp_path}/ours.tar", "--tar-pathname-filter=^x/,")
    trees = {larix(repo, "ls", "-dC", branch, "/").split()[4] for branch in ("os", "again")}
    assert len(trees) == 1


def test_export_to_a_pipe_has_whole_records(plain: Path) -> None:
    assert len(larix(plain, "export", "os", "--no-xattrs", "--subpath=/usr/share").encode()) % 10240 == 0
    assert "not a directory" in fails(f"--repo={plain}", "export", "os", "--subpath=/large")
    assert "COMMIT" in fails(f"--repo={plain}", "export")


def test_tombstones_for_one_that_was_open_before(grown: Path, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(grown, tmp_path / "repo"))
    first, second = ostree(repo, "rev-parse", "m^^"), ostree(repo, "rev-parse", "m^^^")
    with Repo(str(repo)) as early:
        larix(repo, "prune", f"--delete-commit={first}")
        with Exclusive(early) as exclusive:
            delete_commit(exclusive, Checksum(second))
    assert {path.name[:4] for path in repo.glob("objects/??/*.tombstone-commit")} >= {first[2:6], second[2:6]}


def test_a_commit_of_the_parent_repo_is_not_deleted(grown: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    ostree(child, "init", "--mode=archive")
    ostree(child, "config", "set", "core.parent", str(grown))
    before = (child / "config").read_text()
    commit = ostree(grown, "rev-parse", "m^^")
    assert "No such commit" in fails(f"--repo={child}", "prune", f"--delete-commit={commit}")
    assert (child / "config").read_text() == before
    assert not [*child.glob("objects/??/*")]
