"""Archives as trees of a commit: the C tool makes the same commit of the same archives, and refuses the same."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from larix.repo.repo import Repo
from tests.judge import OLDEST, everything, fails, larix, ostree, picture, release, run_c, run_larix

# Archives

Member = tuple[str, bytes, str | bytes, int]
FILE, DIRECTORY, SYMLINK, LINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
TOP: Member = (".", DIRECTORY, "", 0o755)


def write_tar(path: Path, members: list[Member], headers: dict[str, str] | None = None) -> Path:
    """Of (name, type, target or content, mode)."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, what, mode in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = kind, mode, 3, 4
            if isinstance(what, str):
                info.linkname = what
            else:
                info.size = len(what)
                info.pax_headers = headers or {}
            tar.addfile(info, io.BytesIO(what if isinstance(what, bytes) else b""))
    return path


GOOD: dict[str, list[Member]] = {
    "other words": [TOP, ("./d", DIRECTORY, "", 0o700), ("/d//a", FILE, b"1", 0o600), ("d/./b", FILE, b"2", 0o640)],
    "a name twice": [TOP, ("a", FILE, b"1", 0o644), ("a", FILE, b"22", 0o600)],
    "a directory twice": [TOP, ("d", DIRECTORY, "", 0o700), ("d/a", FILE, b"1", 0o644), ("d", DIRECTORY, "", 0o711)],
    "hard links": [TOP, ("a", FILE, b"1", 0o644), ("b", LINK, "./a", 0), ("c", LINK, "/a", 0o600)],
    "a link before its file changes": [TOP, ("a", FILE, b"1", 0o600), ("b", LINK, "a", 0), ("a", FILE, b"22", 0o600)],
    "a hard link before its file": [TOP, ("b", LINK, "a", 0), ("a", FILE, b"1", 0o644)],
    "a hard link to a symlink": [TOP, ("s", SYMLINK, "to/there", 0o777), ("b", LINK, "s", 0)],
    "set-uid and sticky": [TOP, ("a", FILE, b"1", 0o6755), ("d", DIRECTORY, "", 0o1777)],
    "a file over two pieces": [TOP, ("a", FILE, b"x" * 1_100_000, 0o644)],
    "long names": [TOP, ("n" * 255, FILE, b"", 0o644), ("ü" * 100, SYMLINK, "t" * 300, 0o777)],
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_the_same_commit_of_an_archive(pair: list[Path], tmp_path: Path, what: str) -> None:
    path = write_tar(tmp_path / "good.tar", GOOD[what], {"SCHILY.xattr.user.k": "value"})
    options = ["commit", "-b", "x", "--tree=dir=b", f"--tree=tar={path}"]
    assert larix(pair[1], *options) == ostree(pair[0], *options)
    ostree(pair[1], "fsck", "-q")
    # The attribute stood at the files alone.
    assert ("value" in run_c(f"--repo={pair[1]}", "show", "--raw", "x").stdout) is False


BAD: dict[str, list[Member]] = {
    "no top": [("a", FILE, b"", 0o644)],
    "no parent": [TOP, ("d/a", FILE, b"", 0o644)],
    "a name that leaves": [TOP, ("../a", FILE, b"", 0o644)],
    "a name that leaves and comes back": [TOP, ("d", DIRECTORY, "", 0o755), ("d/../a", FILE, b"", 0o644)],
    "a fifo": [TOP, ("f", tarfile.FIFOTYPE, "", 0o644)],
    "a device": [TOP, ("f", tarfile.CHRTYPE, "", 0o644)],
    "a file over a directory": [TOP, ("d", DIRECTORY, "", 0o755), ("d", FILE, b"", 0o644)],
    "a directory over a file": [TOP, ("d", FILE, b"", 0o644), ("d", DIRECTORY, "", 0o755)],
    "a file below a symlink": [TOP, ("s", SYMLINK, "/tmp", 0o777), ("s/a", FILE, b"", 0o644)],
    "a hard link to nothing": [TOP, ("a", LINK, "none", 0o644)],
    "a hard link to a directory": [TOP, ("d", DIRECTORY, "", 0o755), ("a", LINK, "d", 0o644)],
    "a hard link that leaves": [TOP, ("a", LINK, "../../etc/passwd", 0o644)],
    "nothing": [],
}


@pytest.mark.parametrize("what", BAD)
def test_an_archive_that_is_refused(tmp_path: Path, what: str) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=bare-user")
    path = write_tar(tmp_path / "bad.tar", BAD[what])
    before = picture(repo)
    fails(f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={path}")
    fails(f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={path}", "--tree=dir=none")
    assert picture(repo).keys() - {".lock"} == before.keys()
    assert run_c(f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={path}", check=False).returncode != 0


@pytest.mark.parametrize("damage", [lambda data: data[:700], lambda data: data[:1536] + b"junk" * 128 + data[2048:]])
@pytest.mark.parametrize("compress", [None, "gzip", "xz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: object, compress: str | None) -> None:
    assert callable(damage)
    repo = tmp_path / "repo"
    larix(repo, "init", "--mode=bare-user")
    data = write_tar(tmp_path / "a.tar", [TOP, ("a", FILE, b"1" * 400, 0o644), ("b", FILE, b"2", 0o644)]).read_bytes()
    if compress is None:
        (tmp_path / "bad").write_bytes(damage(data))
    else:
        packed = subprocess.run([compress, "-c"], input=data, capture_output=True, check=True).stdout
        (tmp_path / "bad").write_bytes(packed[:-12])
    assert "archive" in fails(f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={tmp_path}/bad")


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A header that says more of what follows."""
    header = tarfile.TarInfo("more")
    header.type, header.size = kind, len(records)
    return header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % tarfile.BLOCKSIZE)


BAD_HEADERS = {
    "a length beyond all": extended(b"9" * 25 + b" path=x\n"),
    "a length of thousands of digits": extended(b"9" * 5000 + b" path=x\n"),
    "no length": extended(b"0 path=x\n"),
    "headers of headers": extended(b"11 path=xx\n") * 400,
    "long names of long names": extended(b"name\0", tarfile.GNUTYPE_LONGNAME) * 400,
    "headers for all that follows": extended(b"11 path=xx\n", tarfile.XGLTYPE) * 400,
    "a size below nothing": extended(b"11 size=-5\n"),
    "a map of holes that is none": extended(b"25 GNU.sparse.map=a,b,cc\n"),
    "holes without a map": extended(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_extended_headers_that_are_refused(tmp_path: Path, what: str) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=bare-user")
    (tmp_path / "bad.tar").write_bytes(BAD_HEADERS[what] + tarfile.TarInfo("a").tobuf() + bytes(1024))
    words = [f"--repo={repo}", "commit", "-b", "x", "--tar-autocreate-parents", f"--tree=tar={tmp_path}/bad.tar"]
    assert fails(*words).startswith("error: Reading the archive: ")
    # Newer ones of the libarchive that it reads with pass over some of them.
    assert release() != OLDEST or run_c(*words, check=False).returncode != 0


@pytest.mark.parametrize(
    "command", [["tar", "c"], ["tar", "cz"], ["tar", "cJ"], ["tar", "cj"], ["cpio", "-oH", "newc"]], ids=str
)
def test_archives_of_the_usual_programs(pair: list[Path], tmp_path: Path, command: list[str]) -> None:
    tree = tmp_path / "tree"
    shutil.copytree("a", tree, symlinks=True)
    (tree / "hard").hardlink_to(tree / "sub/two")
    (tree / "bin/hard").hardlink_to(tree / "sub/two")
    names = b"\n".join(str(path.relative_to(tree)).encode() for path in [tree, *everything(tree)])
    if command[0] == "tar":
        command = [*command, "--no-recursion", "-T", "-"]
    done = subprocess.run(command, cwd=tree, input=names, capture_output=True, check=True)
    (tmp_path / "archive").write_bytes(done.stdout)
    options = [f"--tree=tar={tmp_path}/archive", "--skip-list=skipped-file", "--no-xattrs"]
    made = larix(pair[1], "commit", "-b", "x", *options)
    assert made == ostree(pair[0], "commit", "-b", "x", *options)
    options[0] = f"--tree=dir={tree}"
    from_directory = larix(pair[1], "commit", "-b", "y", *options)
    trees = [larix(pair[1], "show", commit).splitlines()[1] for commit in (made, from_directory)]
    assert [line.startswith("ContentChecksum") for line in trees] == [True, True]
    assert trees[0] == trees[1]


FILTERS = ["^,top/", "^sub/,other/", "/two,/zwei", "^none/,x/", "([a-z]+)/two,\\1/2"]


@pytest.mark.parametrize("pattern", FILTERS)
def test_names_changed_on_the_way(pair: list[Path], tmp_path: Path, pattern: str) -> None:
    subprocess.run(["tar", "cf", tmp_path / "a.tar", "--owner=0", "--group=0", "-C", "a", "."], check=True)
    options = ["commit", "-b", "x", f"--tree=tar={tmp_path}/a.tar", f"--tar-pathname-filter={pattern}"]
    options += ["--tar-autocreate-parents"]
    assert larix(pair[1], *options) == ostree(pair[0], *options)
    for wrong in "(,x", "nocomma":
        fails(f"--repo={pair[1]}", *options[:-1], f"--tar-pathname-filter={wrong}")


def test_parents_that_an_archive_does_not_have(pair: list[Path], tmp_path: Path) -> None:
    path = write_tar(tmp_path / "p.tar", [("d/e/a", FILE, b"1", 0o600), ("d/b", FILE, b"2", 0o600)])
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    for archive in path, tmp_path / "empty.tar":
        options = ["commit", "-b", "x", "--tar-autocreate-parents", f"--tree=tar={archive}"]
        assert larix(pair[1], *options) == ostree(pair[0], *options)
    with_owner = [*options, "--owner-uid=7", "--owner-gid=8"]
    assert larix(pair[1], *with_owner) == ostree(pair[0], *with_owner)


def test_attributes_of_an_archive_are_sorted(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=bare-user")
    headers = {"SCHILY.xattr.user.z": "1", "LIBARCHIVE.xattr.user.a%20b": "d2VydA", "SCHILY.xattr.user.m": "ü\udcff"}
    path = write_tar(tmp_path / "x.tar", [TOP, ("f", FILE, b"1", 0o644)], headers)
    commit = larix(repo, "commit", "-b", "x", f"--tree=tar={path}")
    with Repo(str(repo)) as opened:
        tree = opened.load_dirtree(opened.load_commit(opened.refs.resolve(commit)).dirtree)
        with opened.open_file(tree.files["f"]) as stored:
            assert stored.header.xattrs == ((b"user.a b", b"wert"), (b"user.m", b"\xc3\xbc\xff"), (b"user.z", b"1"))
    ostree(repo, "fsck", "-q")
    # The C tool's of this age are not, and are read nevertheless.
    ostree(repo, "commit", "-b", "y", f"--tree=tar={path}")
    assert "user.z" in larix(repo, "ls", "-X", "y", "/f")
    assert run_larix(f"--repo={repo}", "fsck").status == 0


@pytest.mark.parametrize(("names", "said"), [(["d/e/f"], ": d;"), (["d", "d/e/f"], ": d/e;"), (["d"], "an empty tree")])
def test_directories_that_an_archive_does_not_have(names: list[str], said: str, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/f").touch()
    with tarfile.open(tmp_path / "tar", "w") as archive:
        for name in names:
            archive.add(tmp_path / name, name, recursive=False)
    words = [f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={tmp_path / 'tar'}"]
    assert said in fails(*words)
    assert run_c(*words, check=False).returncode == 1
