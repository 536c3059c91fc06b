"""Trees with all that is hard, through tar: between larix, the C tool and GNU tar, in both directions."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.judge import everything, larix, ostree, picture
from tests.test_nasty import make_small

ROOT = os.geteuid() == 0
KEEP = ["--xattrs", "--xattrs-include=*", "--preserve-permissions", "--numeric-owner"]
COMMIT = ["commit", "-s", "Tar", "--timestamp=@1767323045"]
# GNU's own format has no extended attributes.
WRITERS = {
    "pax": ["--format=pax", *KEEP],
    "pax, sparse files": ["--format=pax", "--sparse", *KEEP],
    "gnu": ["--format=gnu", "--numeric-owner"],
    "gnu, sparse files": ["--format=gnu", "--sparse", "--numeric-owner"],
    "compressed": ["--format=pax", "--xz", *KEEP],
}


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """But for attributes without a value, of which larix makes none, for the C tool takes a bare repo with them for
    a broken one."""
    root = make_small(tmp_path_factory.mktemp("nasty") / "root")
    for path in everything(root):
        for key in os.listxattr(path, follow_symlinks=False):
            if not os.getxattr(path, key, follow_symlinks=False):
                os.removexattr(path, key, follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def easier(nasty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the C tool can do: in archives two normal forms of Unicode are one name to it, and attributes unsorted."""
    root = tmp_path_factory.mktemp("easier") / "root"
    subprocess.run(["cp", "-a", nasty, root], check=True)
    (root / "names/e\u0301").unlink()
    for path in everything(root):
        for key in os.listxattr(path, follow_symlinks=False)[1:]:
            os.removexattr(path, key, follow_symlinks=False)
    return root


def gnu_tar(*args: str | Path) -> None:
    subprocess.run(["tar", *args], check=True)


def unpack(archive: Path, into: Path) -> dict[str, object]:
    into.mkdir()
    gnu_tar("-x", *KEEP, "-f", archive, "-C", into)
    return picture(into)


def content(repo: Path, rev: str) -> str:
    """The checksums of the tree, without those of who committed it when."""
    return ostree(repo, "ls", "-d", "-C", rev)


@pytest.mark.parametrize("form", WRITERS)
def test_what_gnu_tar_wrote(tmp_path: Path, nasty: Path, form: str) -> None:
    archive, repo = tmp_path / "tree.tar", tmp_path / "repo"
    gnu_tar("-c", *WRITERS[form], "-f", archive, "-C", nasty, ".")
    larix(repo, "init", "--mode=bare" if ROOT else "--mode=bare-user")
    larix(repo, *COMMIT, "-b", "main", f"--tree=tar={archive}")
    ostree(repo, "fsck")
    if ROOT:
        larix(repo, "checkout", "-C", "main", tmp_path / "out")
        assert picture(tmp_path / "out") == unpack(archive, tmp_path / "unpacked")


@pytest.mark.parametrize("form", ["pax", "gnu", "compressed"])
def test_the_c_tool_makes_the_same_commit(tmp_path: Path, easier: Path, form: str) -> None:
    archive = tmp_path / "tree.tar"
    gnu_tar("-c", *WRITERS[form], "-f", archive, "-C", easier, ".")
    commits = []
    for name, tool in {"ostree": ostree, "larix": larix}.items():
        tool(tmp_path / name, "init", "--mode=bare-user")
        commits.append(tool(tmp_path / name, *COMMIT, "-b", "main", f"--tree=tar={archive}"))
    assert commits[0] == commits[1]


def test_what_larix_wrote(tmp_path: Path, nasty: Path, easier: Path) -> None:
    repo = tmp_path / "repo"
    larix(repo, "init", "--mode=archive")
    for name, tree, tools in ("nasty", nasty, [larix]), ("easier", easier, [larix, ostree]):
        larix(repo, *COMMIT, "-b", name, f"--tree=dir={tree}")
        larix(repo, "export", name, "-o", tmp_path / f"{name}.tar")
        for tool in tools:
            tool(repo, *COMMIT, "-b", "again", f"--tree=tar={tmp_path}/{name}.tar")
            assert content(repo, "again") == content(repo, name)
        if ROOT:
            assert unpack(tmp_path / f"{name}.tar", tmp_path / name) == picture(tree)


def test_what_the_c_tool_wrote(tmp_path: Path, easier: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    # Built without support for extended attributes in archives, it exports trees that have none.
    ostree(repo, *COMMIT, "-b", "main", "--no-xattrs", f"--tree=dir={easier}")
    ostree(repo, "export", "main", "-o", tmp_path / "tree.tar")
    larix(repo, *COMMIT, "-b", "again", f"--tree=tar={tmp_path}/tree.tar")
    assert content(repo, "again") == content(repo, "main")
