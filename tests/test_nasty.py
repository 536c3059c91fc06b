"""Trees with what file systems allow and nobody expects, in each mode, by root and by an ordinary user.

Both tools must make the same commit, each accept the other's repo, and make the same of both.
"""

import hashlib
import importlib
import os
import pkgutil
import shutil
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import larix as larix_package
from tests.judge import everything, larix, make_tree, ostree

ROOT = os.geteuid() == 0
NOBODY = 65534
COMMIT = ["commit", "-b", "main", "-s", "Nasty", "--timestamp=@1767323045"]
# Mode -> the options of checkout by which files are linked, and those by which they are copied.
MODES = {
    "archive": [[], ["-U"]],
    "bare": [["-H"], ["-C"], ["-U"]],
    "bare-user": [["-U", "-H"], ["-U", "-C"], []],
    "bare-user-only": [["-H"], ["-C"]],
}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that an ordinary user can reach, which those of pytest are not."""
    path = Path(tempfile.mkdtemp(prefix="larix-nasty-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def cases() -> list[tuple[str, str]]:
    if not ROOT:
        return [(mode, "self") for mode in MODES if mode != "bare"]
    return [(mode, "root") for mode in MODES] + [(mode, "nobody") for mode in MODES if mode != "bare"]


@pytest.mark.parametrize(("mode", "who"), cases())
def test_small(scratch: Path, mode: str, who: str) -> None:
    run_as(who, scratch, lambda: compare(make_small(scratch / "tree"), scratch, mode))


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "who"), cases())
def test_large(scratch: Path, mode: str, who: str) -> None:
    run_as(who, scratch, lambda: compare(make_large(scratch / "tree"), scratch, mode))


def make_small(root: Path) -> Path:
    make_tree(root)
    names = [
        "-rf",
        " ",
        "\n",
        "\\",
        "'\"`$(id)",
        ".hidden",
        "...",
        "a\tb",
        "ＦＵＬＬ",
        "e\u0301",
        "é",
        "~",
        "%2f",
        "COM1:",
    ]
    (root / "names").mkdir()
    for i, name in enumerate(names):
        (root / "names" / name).write_text(str(i))
    (root / "names" / ("ж" * 127)).mkdir()
    (root / "names" / ("d" * 255)).mkdir(0o511)
    # Of 64 KiB less a byte and of more, and what compresses not at all.
    for i, size in enumerate((65535, 65536, 65537)):
        (root / f"random{i}").write_bytes(hashlib.shake_256(bytes([i])).digest(size))
    with (root / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    (root / "longest").symlink_to("/".join(["y" * 254] * 16) + "y" * 14)
    (root / "self").symlink_to("self")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "names/up").symlink_to("..")
    for bits in 0o400, 0o444, 0o777, 0o2755, 0o6711, 0o1644:
        (root / f"file{bits:o}").write_text("x")
        (root / f"file{bits:o}").chmod(bits)
        (root / f"dir{bits:o}").mkdir()
        (root / f"dir{bits:o}").chmod(bits | 0o500)
    for i in range(50):
        os.link(root / "file444", root / f"hard{i}")
    os.setxattr(root / "sparse", "user.large", b"v" * 3000)
    for i in range(20):
        os.setxattr(root / "random0", f"user.{'k' * (20 - i)}", bytes([i]))
    if os.geteuid() == 0:
        os.setxattr(root / "longest", "trusted.link", b"of a symlink", follow_symlinks=False)
        os.setxattr(root / "dir2755", "trusted.dir", b"")
        os.chown(root / "random1", 2**31, 2**32 - 2)
    return root


def make_large(root: Path) -> Path:
    """A file of 3 GB, 100,000 in one directory, and 200 directories in each other."""
    make_small(root)
    with (root / "huge").open("wb") as file:
        file.write(b"first")
        file.truncate(3_000_000_000)
        file.seek(2_500_000_000)
        file.write(b"in the middle")
    (root / "many").mkdir()
    for i in range(100_000):
        (root / f"many/{i}").write_text(str(i % 1000))
    deep = root
    for i in range(200):
        deep = deep / f"level{i}"
        deep.mkdir()
        (deep / "file").write_text(str(i))
    return root


def compare(tree: Path, scratch: Path, mode: str) -> None:
    tools: dict[str, Callable[..., str]] = {"ostree": ostree, "larix": larix}
    repos = {name: scratch / name for name in tools}
    others = {"ostree": repos["larix"], "larix": repos["ostree"]}
    commits = set()
    for name, tool in tools.items():
        tool(repos[name], "init", f"--mode={mode}")
        commits.add(tool(repos[name], *COMMIT, f"--tree=dir={tree}"))
    assert len(commits) == 1
    ostree(repos["larix"], "fsck")
    larix(repos["ostree"], "fsck")
    listings = {name: tool(repos[name], "ls", "-R", "-C", "-X", "main") for name, tool in tools.items()}
    assert listings["ostree"] == listings["larix"]
    for options in MODES[mode]:
        states = []
        for name, tool in tools.items():
            out = scratch / "out"
            tool(others[name], "checkout", *options, "main", out)
            states.append(state(out))
            make_writable(out)
            shutil.rmtree(out)
        assert_same(states[1], states[0], f"checkout {options}")
    make_writable(tree)


def state(root: Path) -> dict[str, object]:
    """Path -> owner, mode, extended attributes, content, and time but of symlinks."""
    found: dict[str, object] = {}
    for path in [root, *everything(root)]:
        status = path.lstat()
        keys = os.listxattr(path, follow_symlinks=False)
        pairs = {key: os.getxattr(path, key, follow_symlinks=False) for key in sorted(keys)}
        data: object = None
        if stat.S_ISLNK(status.st_mode):
            data = os.readlink(path)
        else:
            # Both tools leave the time at which a file was copied.
            pairs["mtime"] = b"now" if status.st_mtime > 1_000_000_000 else str(status.st_mtime_ns).encode()
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                data = status.st_size, hashlib.file_digest(file, "sha256").hexdigest()
        found[str(path.relative_to(root))] = (oct(status.st_mode), status.st_uid, status.st_gid, pairs, data)
    return found


def assert_same(found: dict[str, object], expected: dict[str, object], what: str) -> None:
    # Not the dictionaries as they are: of 100,000 names no one reads how they differ.
    differ = [path for path in sorted(found.keys() | expected.keys()) if found.get(path) != expected.get(path)]
    assert not differ, f"{what}: {[(path[:40], found.get(path), expected.get(path)) for path in differ[:5]]}"


def make_writable(root: Path) -> None:
    """So that its owner can remove it."""
    for path in [root, *everything(root)]:
        if stat.S_ISDIR(path.lstat().st_mode):
            path.chmod(0o700)


def run_as(who: str, scratch: Path, work: Callable[[], None]) -> None:
    """In a process of the ordinary user `nobody`, or in this one."""
    if who != "nobody":
        work()
        return
    os.chown(scratch, NOBODY, NOBODY)
    # What larix imports when it is used may be where only root gets at it.
    for module in pkgutil.walk_packages(larix_package.__path__, "larix."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not ROOT, reason="root makes a repo that is another's")
@pytest.mark.parametrize("options", [["-U"], ["-U", "--union"], ["-U", "--union-add"]], ids=" ".join)
def test_a_repo_of_another_user(options: list[str], scratch: Path) -> None:
    """Whose objects the kernel lets nobody else link (fs.protected_hardlinks)."""
    ostree(repo := scratch / "repo", "init", "--mode=bare-user")
    (scratch / "tree/sub").mkdir(parents=True)
    (scratch / "tree/sub/file").write_text("x")
    ostree(repo, "commit", "-b", "main", f"--tree=dir={scratch / 'tree'}")

    def check() -> None:
        larix(repo, "checkout", *options, "main", scratch / "out")
        assert (scratch / "out/sub/file").read_text() == "x"

    run_as("nobody", scratch, check)
