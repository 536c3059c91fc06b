"""Modes that keep less, or keep it elsewhere: bare-user-only and bare-split-xattrs, beside the C tool."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from larix import gvariant
from larix.formats import xattrs as xattr_format
from larix.linux import xattr
from tests.judge import everything, fails, larix, ostree, picture, run_c, run_larix

ROOT = os.geteuid() == 0


def objects(repo: Path) -> dict[str, object]:
    return picture(repo / "objects")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Branches of an archive: `plain`, which every repo can have, and some that have one thing more."""
    repo = tmp_path / "archive"
    ostree(repo, "init", "--mode=archive")
    for name, mode in ("plain", 0o775), ("world", 0o666), ("setuid", 0o4755), ("sticky", 0o1755), ("owned", 0o644):
        tree = tmp_path / name
        (tree / "d").mkdir(parents=True)
        (tree / "d/file").write_text(name)
        (tree / "d/file").chmod(mode)
        (tree / "link").symlink_to("d/file")
        for bits in "777", "1777", "700", "2755", "555":
            (tree / bits).mkdir()
            (tree / bits).chmod(int(bits, 8))
        owner = 7 if name == "owned" else 0
        ostree(repo, "commit", "-b", name, f"--tree=dir={tree}", f"--owner-uid={owner}", "--owner-gid=0")
    return repo


def test_bare_user_only_holds_what_the_c_tool_puts_there(archive: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    larix(ours, "init", "--mode=bare-user-only")
    ostree(theirs, "init", "--mode=bare-user-only")
    assert (ours / "config").read_bytes() == (theirs / "config").read_bytes()
    larix(ours, "pull-local", archive, "plain")
    ostree(theirs, "pull-local", archive, "plain")
    assert objects(ours) == objects(theirs)
    for repo in ours, theirs:
        larix(repo, "fsck")
        ostree(repo, "fsck")
    for options in [], ["-H"], ["-U"], ["-C"]:
        for tool, repo in (larix, theirs), (ostree, ours):
            tool(repo, "checkout", *options, "plain", tmp_path / tool.__name__)
        assert picture(tmp_path / "larix") == picture(tmp_path / "ostree")
        linked = [(tmp_path / name / "d/file").stat().st_nlink for name in ("larix", "ostree")]
        assert linked == [1 if options == ["-C"] else 2] * 2
        for name in "larix", "ostree":
            shutil.rmtree(tmp_path / name)


def test_plain_files_of_bare_user_are_linked(archive: Path, tmp_path: Path) -> None:
    tree, user = tmp_path / "tree", tmp_path / "user"
    tree.mkdir()
    for i, bits in enumerate((0o644, 0o775)):
        (tree / f"file{i}").write_text(str(i))
        (tree / f"file{i}").chmod(bits)
    (tree / "link").symlink_to("file0")
    ostree(user, "init", "--mode=bare-user")
    ostree(user, "commit", "-b", "main", f"--tree=dir={tree}", "--no-xattrs", "--owner-uid=0", "--owner-gid=0")
    for name, tool in ("c", ostree), ("larix", larix):
        larix(tmp_path / name, "init", "--mode=bare-user-only")
        tool(tmp_path / name, "pull-local", user)
        for judge in ostree, larix:
            judge(tmp_path / name, "fsck")
    objects = {path.relative_to(user) for path in (user / "objects").glob("*/*.file")}
    inodes = {(user / path).lstat().st_ino for path in objects}
    linked = [
        {path for path in objects if (tmp_path / name / path).lstat().st_ino in inodes} for name in ("c", "larix")
    ]
    assert len(objects) == 3
    assert len(linked[0]) == 2
    assert linked[1] == linked[0]


@pytest.mark.skipif(not ROOT, reason="only root may read such a file")
def test_a_file_that_lies_otherwise_in_bare_user_is_copied(tmp_path: Path) -> None:
    """Its object has a bit that the file has not, so that its owner can read it. The C tool links it all the same."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    (tmp_path / "tree/file").chmod(0o055)
    larix(tmp_path / "user", "init", "--mode=bare-user")
    larix(tmp_path / "user", "commit", "-b", "main", "--no-xattrs", "--canonical-permissions", tmp_path / "tree")
    larix(tmp_path / "only", "init", "--mode=bare-user-only")
    larix(tmp_path / "only", "pull-local", tmp_path / "user")
    for judge in ostree, larix:
        judge(tmp_path / "only", "fsck")


@pytest.mark.parametrize("branch", ["world", "setuid", "sticky"])
def test_what_bare_user_only_cannot_have_is_refused(archive: Path, tmp_path: Path, branch: str) -> None:
    for mode, options in ("bare-user-only", []), ("bare-user", ["--bareuseronly-files"]):
        repo = tmp_path / mode
        ostree(repo, "init", f"--mode={mode}")
        done = run_c(f"--repo={repo}", "pull-local", *options, archive, branch, check=False)
        assert done.returncode == 1
        message = fails(f"--repo={repo}", "pull-local", *options, archive, branch)
        # The same bits of the same object.
        assert done.stderr.split("Content object ")[1] in message
        assert not [path for path in everything(repo / "objects") if path.is_file()]


def test_owners_that_would_be_lost_are_refused(archive: Path, tmp_path: Path) -> None:
    larix(tmp_path / "repo", "init", "--mode=bare-user-only")
    message = fails(f"--repo={tmp_path / 'repo'}", "pull-local", archive, "owned")
    assert "owner 7:0 cannot be kept" in message


@pytest.mark.parametrize("mode", ["archive", "bare", "bare-user", "bare-user-only"])
def test_files_that_their_owner_may_not_read(tmp_path: Path, mode: str) -> None:
    if mode in ("bare", "bare-user-only") and not ROOT:
        pytest.skip("only root may read such an object of the C tool")
    tree = tmp_path / "tree"
    tree.mkdir()
    overrides = ""
    for bits in "0", "200", "100", "40", "4111", "6000", "444", "755":
        (tree / bits).write_text(bits)
        overrides += f"={int(bits, 8)} /{bits}\n"
    (tree / "empty").touch()
    (tmp_path / "overrides").write_text(f"{overrides}=0 /empty\n")
    repos = {"c": ostree, "larix": larix}
    for name, tool in repos.items():
        tool(tmp_path / name, "init", f"--mode={mode}")
        options = [f"--statoverride={tmp_path / 'overrides'}", "--timestamp=@0", f"--tree=dir={tree}"]
        tool(tmp_path / name, "commit", "-b", "main", *options)
    assert ostree(tmp_path / "c", "rev-parse", "main") == larix(tmp_path / "larix", "rev-parse", "main")
    links = [["-U", "-H"]] if mode.startswith("bare-user") else []
    for options in ["-U"], ["-U", "-C"], *links:
        pictures = []
        for name, tool in repos.items():
            out = tmp_path / f"{name}-out"
            tool(tmp_path / name, "checkout", *options, "main", out)
            linked = {path.name for path in everything(out) if path.stat().st_nlink > 1}
            pictures.append((picture(out), linked))
            shutil.rmtree(out)
        assert pictures[0] == pictures[1]


@pytest.fixture
def split(archive: Path, tmp_path: Path) -> Path:
    """A repo of mode bare-split-xattrs, which neither tool makes: one of mode bare, its attributes put elsewhere."""
    if not ROOT:
        pytest.skip("only root may give files to others")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "with").write_text("with")
    os.setxattr(tree / "with", "user.key", b"value")
    (tree / "without").write_text("without")
    (tree / "link").symlink_to("with")
    repo = tmp_path / "split"
    ostree(repo, "init", "--mode=bare")
    ostree(repo, "commit", "-b", "main", f"--tree=dir={tree}")
    for path in (repo / "objects").glob("*/*.file"):
        pairs: list[tuple[bytes, bytes]] = []
        if not path.is_symlink():
            fd = os.open(path, os.O_RDONLY)
            pairs = list(xattr.get_all(fd))
            os.close(fd)
            for key, _ in pairs:
                os.removexattr(path, key)
        data = gvariant.encode(xattr_format.TYPE, xattr_format.to_variant(tuple(pairs)))
        checksum = hashlib.sha256(data).hexdigest()
        shared = repo / "objects" / checksum[:2] / f"{checksum[2:]}.file-xattrs"
        shared.parent.mkdir(exist_ok=True)
        shared.write_bytes(data)
        os.link(shared, path.with_suffix(".file-xattrs-link"))
    ostree(repo, "config", "set", "core.mode", "bare-split-xattrs")
    ostree(repo, "fsck")
    return repo


def test_bare_split_xattrs_is_read(split: Path, archive: Path, tmp_path: Path) -> None:
    larix(split, "fsck")
    for command in ["ls", "-R", "-X", "-C", "main"], ["log", "main"]:
        assert larix(split, *command) == ostree(split, *command)
    for options in [], ["-C"]:
        out = tmp_path / f"out{options}"
        larix(split, "checkout", *options, "main", out)
        assert (out / "with").read_text() == "with"
        assert os.readlink(out / "link") == "with"
    larix(archive, "pull-local", split, "main")
    ostree(archive, "fsck")


def test_bare_split_xattrs_is_not_written_to(split: Path, archive: Path, tmp_path: Path) -> None:
    before = picture(split)
    for command in ["commit", "--orphan", tmp_path / "tree"], ["pull-local", archive, "plain"], ["prune"]:
        assert "Not allowed due to repo mode" in fails(f"--repo={split}", *command)
    after = picture(split)
    after.pop(".lock", None)
    before.pop(".lock", None)
    assert after == before
    assert run_larix(f"--repo={tmp_path / 'new'}", "init", "--mode=bare-split-xattrs").status == 0
    ostree(tmp_path / "new", "fsck")
