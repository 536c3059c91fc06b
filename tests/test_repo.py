"""The repo and its commands beside the C tool: the same checksums, the same output, each reads the other's."""

import errno
import os
import shutil
import struct
import sys
import tarfile
import tempfile
from collections.abc import Callable
from fcntl import F_OFD_SETLK, F_WRLCK, fcntl
from pathlib import Path
from stat import S_ISDIR

import pytest

from larix import gvariant
from larix.errors import Busy, Corrupt, Error, Invalid, NoSpace, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.keyfile import KeyFile
from larix.formats.objects import DIRTREE_TYPE, Commit, DirMeta, Metadata, ObjectName, ObjectType
from larix.linux.failures import doing
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction
from tests.judge import everything, fails, larix, ostree, picture, run_c, run_larix

ROOT = os.geteuid() == 0
MODES = ["archive", "bare", "bare-user"] if ROOT else ["archive", "bare-user"]
COMMIT = ["commit", "-b", "os/stable", "-s", "Subject", "-m", "A body\nof two lines", "--timestamp=@1767323045"]
COMMIT += ["--add-metadata-string=version=7", "--add-metadata-string=k=it's ü"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(path: Path, mode: str, by: Callable[..., str] = larix) -> Path:
    by(path, "init", f"--mode={mode}")
    return path


def test_the_same_commit_as_the_c_tool(tree: Path, tmp_path: Path, mode: str) -> None:
    ours, theirs = make(tmp_path / "ours", mode), make(tmp_path / "theirs", mode, ostree)
    for more in [], ["--owner-uid=3", "--owner-gid=5"], ["--parent=" + "a" * 64], ["--parent=none"]:
        expected = ostree(theirs, *COMMIT, *more, f"--tree=dir={tree}")
        assert larix(ours, *COMMIT, *more, f"--tree=dir={tree}") == expected
        assert larix(ours, "rev-parse", "os/stable") == expected
    assert larix(ours, *COMMIT, tree) == ostree(theirs, *COMMIT, tree)
    ostree(ours, "fsck")
    assert larix(theirs, "fsck").splitlines()[-1] == ostree(theirs, "fsck").splitlines()[-1]
    larix(ours, "fsck")
    # What lies on the disk is the same, but for how the content is deflated.
    left, right = picture(ours), picture(theirs)
    assert left.keys() == right.keys()
    differ = {name for name in left if left[name] != right[name] and not name.endswith(".filez")}
    assert not differ


def test_file_objects_have_no_time_of_their_own(tree: Path, tmp_path: Path) -> None:
    repo = make(tmp_path / "repo", "bare-user")
    larix(repo, *COMMIT, tree)
    assert {path.stat().st_mtime for path in repo.glob("objects/*/*.file")} == {0}


REVISIONS = [
    "rev-parse sha256:{}",
    "rev-parse any:" + "a" * 64,
    "rev-parse any:{}^",
    "rev-parse any:{}^^^^",
    "rev-parse a/b:{}",
    "rev-parse a:b:{}",
    "rev-parse :{}",
    "show x:{}",
    "cat x:{} /usr/bin/su",
    "ls -R x:{}",
    "log x:{}",
    "diff x:{}^ x:{}",
    "checkout -U x:{} {out}",
    "refs --create=made x:{}",
    "reset os/stable x:{}^",
    "rev-parse os/stable made",
    "commit -b n --tree=ref=x:{} --timestamp=@0",
    "commit -b n --tree=ref=x:{} --timestamp=@0 --parent=x:{}",
    "prune --delete-commit=x:{}",
]


def test_a_checksum_with_the_name_of_a_remote(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """Whatever that is: programs say `sha256:CHECKSUM`."""
    done = {}
    for name, run in ("ours", run_larix), ("theirs", run_c):
        repo = shutil.copytree(c_repos["bare-user"], tmp_path / name, symlinks=True)
        tip = ostree(repo, "rev-parse", "os/stable")
        found = []
        for text in REVISIONS:
            words = text.replace("{out}", f"{tmp_path}/{name}-out").replace("{}", tip).split()
            if run is run_larix:
                mine = run_larix(f"--repo={repo}", *words)
                found.append((text, mine.status, mine.out))
            else:
                theirs = run_c(f"--repo={repo}", *words, check=False)
                found.append((text, theirs.returncode, theirs.stdout))
        done[name] = found
    assert done["ours"] == done["theirs"]
    assert picture(tmp_path / "ours-out") == picture(tmp_path / "theirs-out")


@pytest.mark.parametrize("body", ["b", "b\n", "b\n\n\n", "\nb\n", "\n", "a\nb\n"])
def test_line_ends_of_a_body(tmp_path: Path, body: str) -> None:
    repo = make(tmp_path / "repo", "archive")
    (tmp_path / "tree").mkdir()
    (tmp_path / "body").write_text(body)
    words = ["commit", "-b", "x", "-s", "s", f"--body-file={tmp_path / 'body'}", "--timestamp=@0", "--parent=none"]
    assert larix(repo, *words, tmp_path / "tree") == ostree(repo, *words, tmp_path / "tree")
    for command in "log", "show":
        assert run_larix(f"--repo={repo}", command, "x").out == run_c(f"--repo={repo}", command, "x").stdout


def test_targets_that_are_not_utf8(tmp_path: Path) -> None:
    """The C tool commits them by a mistake that GLib tells of: a string of an object is UTF-8."""
    repo = make(tmp_path / "repo", "archive")
    (tmp_path / "tree/sub").mkdir(parents=True)
    os.symlink(b"\xe9", bytes(tmp_path / "tree/sub/link"))
    said = fails(f"--repo={repo}", "commit", "-b", "x", tmp_path / "tree")
    assert f"target '\\udce9' of the symlink {tmp_path}/tree/sub/link" in said
    with tarfile.open(tmp_path / "tar", "w") as archive:
        archive.add(tmp_path / "tree", "")
    said = fails(f"--repo={repo}", "commit", "-b", "x", f"--tree=tar={tmp_path / 'tar'}")
    assert "of the symlink sub/link in the archive" in said
    assert "GLib" in run_c(f"--repo={repo}", "commit", "-b", "x", str(tmp_path / "tree"), check=False).stderr


@pytest.mark.parametrize("umask", [0, 0o22, 0o77])
def test_nobody_else_may_write(tmp_path: Path, mode: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        ours, theirs = make(tmp_path / "ours", mode), make(tmp_path / "theirs", mode, ostree)
    finally:
        os.umask(before)
    for path in [ours, *everything(ours)]:
        if path.is_dir():
            assert path.stat().st_mode == (theirs / path.relative_to(ours)).stat().st_mode, path


def test_a_branch_grows(tree: Path, tmp_path: Path, mode: str) -> None:
    repo = make(tmp_path / "repo", mode)
    first = larix(repo, *COMMIT, tree)
    second = ostree(repo, *COMMIT, f"--tree=dir={tree}")
    third = larix(repo, *COMMIT, tree)
    assert (larix(repo, "rev-parse", "os/stable^"), larix(repo, "rev-parse", "os/stable^^")) == (second, first)
    assert larix(repo, "rev-parse", third[:10], f"{second}^") == f"{third}\n{first}"
    assert "has no parent" in fails(f"--repo={repo}", "rev-parse", "os/stable^^^")
    orphan = larix(repo, "commit", "--orphan", tree)
    assert larix(repo, "refs") == ostree(repo, "refs") == "os/stable"
    assert ostree(repo, "show", "--print-metadata-key=ostree.ref-binding", orphan) == "@as []"
    ostree(repo, "fsck")


def test_the_commands_print_what_the_c_tool_prints(c_repos: dict[str, Path], mode: str) -> None:
    repo = c_repos[mode]
    commit = ostree(repo, "rev-parse", "os/stable")
    rows = ostree(repo, "ls", "-RC", "os/stable").splitlines()
    files = [row.split()[4] for row in rows if row[0] in "-l"]
    dirs = [checksum for row in rows if row[0] == "d" for checksum in row.split()[4:6]]
    questions = ["refs", "refs --list", "refs os", "refs os/stable", "refs --list os", "refs nothing"]
    questions += ["rev-parse os/stable", "rev-parse os/stable^", f"rev-parse {commit[:6]}"]
    questions += ["log os/stable", "log --raw os/stable", "show os/stable", "show os/stable^", "show --raw os/stable"]
    questions += ["show --print-metadata-key=n os/stable", f"show {commit}"]
    questions += [f"show {object}" for object in files + dirs]
    questions += ["ls os/stable", "ls -R os/stable", "ls -RC os/stable", "ls -RX os/stable", "ls -d os/stable /usr"]
    questions += ["ls os/stable /usr/bin/tool", "ls os/stable usr usr/share", "ls -R --nul-filenames-only os/stable"]
    questions += ["ls -RCX os/stable /usr/share", "cat os/stable /usr/bin/tool usr/share/none", "cat os/stable link"]
    for question in questions:
        words = question.split()
        assert larix(repo, *words) == ostree(repo, *words), question


def test_what_fails_in_the_c_tool_fails_here(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = c_repos["archive"]
    questions = ["rev-parse nothing", "rev-parse", "rev-parse --single", "ls os/stable /nothing", "cat os/stable /usr"]
    questions += ["ls os/stable usr/bin/tool/x", "cat os/stable nothing", "cat os/stable dangling", "log nothing", "ls"]
    questions += ["show nothing", f"show {'0' * 64}", "show --print-metadata-key=nothing os/stable", "log", "cat"]
    questions += ["commit", "commit -b ../x", "commit -b x --tree=dir=/nonexistent", "commit -b x --tree=fir=/tmp"]
    questions += ["refs --create=os/stable os/stable", "refs --create=os/stable/x os/stable", "refs --create=x nothing"]
    questions += ["checkout nothing /nonexistent/x", "checkout os/stable /nonexistent/x", "checkout os/stable /var/tmp"]
    questions += ["refs --nothing", "refs --delete", "nothing", "init --mode=x"]
    questions += ["commit -b x --add-metadata-string=a /nonexistent"]
    questions += ["commit -b x --timestamp=yesteryear /nonexistent"]
    before = picture(repo)
    other = tmp_path / "repo"
    shutil.copytree(repo, other)
    for question in questions:
        words = question.split()
        assert run_c(f"--repo={other}", *words, check=False).returncode == 1, question
        fails(f"--repo={repo}", *words)
    assert picture(repo) == before


def shared(root: Path) -> dict[str, bool]:
    """Which of the files are hard links to objects."""
    found = {str(path.relative_to(root)): path.lstat() for path in everything(root)}
    return {name: status.st_nlink > 1 for name, status in found.items() if not S_ISDIR(status.st_mode)}


def checkouts(mode: str) -> list[list[str]]:
    found = [["-U"], ["-U", "--subpath=/usr/share"], ["-U", "--subpath=usr/bin/tool"], ["-C", "-U"]]
    if ROOT:
        found += [["-C"], [], ["--subpath=/usr"]]
    if mode == "bare":
        found += [["-H"]]
    if mode == "bare-user":
        found += [["-U", "-H"]]
    return found


def test_checkouts_are_those_of_the_c_tool(c_repos: dict[str, Path], tmp_path: Path, mode: str) -> None:
    # A copy, because the C tool makes a cache in it.
    repo = tmp_path / "repo"
    shutil.copytree(c_repos[mode], repo, symlinks=True)
    if mode == "bare":
        repo = c_repos[mode]
    for i, options in enumerate(checkouts(mode)):
        ours, theirs = tmp_path / f"ours{i}", tmp_path / f"theirs{i}"
        larix(repo, "checkout", *options, "os/stable", ours)
        ostree(repo, "checkout", *options, "os/stable", theirs)
        assert picture(ours) == picture(theirs), options
        times = {found.st_mtime for path in everything(ours) if S_ISDIR((found := path.lstat()).st_mode)}
        assert not times or (times == {0}) == ("-C" not in options)
        assert shared(ours) == shared(theirs), options


def test_a_checkout_that_cannot_link_says_so(c_repos: dict[str, Path], tmp_path: Path) -> None:
    for mode, options in ("archive", ["-H"]), ("bare", ["-H", "-U"]), ("bare-user", ["-H"]):
        message = fails(f"--repo={c_repos[mode]}", "checkout", *options, "os/stable", tmp_path / mode)
        assert "hardlink" in message


def test_refs_come_and_go(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(c_repos["archive"], repo)
    commit = ostree(repo, "rev-parse", "os/stable")
    larix(repo, "refs", "--create=a/b", "os/stable^")
    larix(repo, "refs", "--create=origin:far/away", "os/stable")
    ostree(repo, "refs", "--create=other:far/off", "os/stable")
    assert sorted(larix(repo, "refs").split()) == sorted(ostree(repo, "refs").split())
    assert larix(repo, "rev-parse", "far/away") == ostree(repo, "rev-parse", "far/away") == commit
    assert ostree(repo, "rev-parse", "origin:far/away") == commit
    larix(repo, "refs", "--create=a/b", "--force", "os/stable")
    assert ostree(repo, "rev-parse", "a/b") == commit
    larix(repo, "refs", "--delete", "a", "origin:far/away")
    assert sorted(ostree(repo, "refs").split()) == ["os/stable", "other:far/off"]
    assert not (repo / "refs/heads/a").exists()
    (repo / "refs/heads/broken").write_text("no checksum\n")
    assert "Ref broken" in fails(f"--repo={repo}", "rev-parse", "broken")


def test_a_tree_that_leaves_its_directory_is_refused(tmp_path: Path) -> None:
    repo_path = make(tmp_path / "repo", "bare-user")
    raw = bytes(32)
    with Repo(str(repo_path)) as repo, Transaction(repo) as transaction:
        file = transaction.add_file(FileHeader(0, 0, 0o100644), 1, [b"x"])
        meta = transaction.add_metadata(ObjectType.DIR_META, DirMeta(0, 0, 0o40755).encode())
        data = gvariant.encode(DIRTREE_TYPE, ([("../escaped", bytes.fromhex(file))], [("..", raw, raw)]))
        root = transaction.add_metadata(ObjectType.DIR_TREE, data)
        commit = Commit(Metadata(), None, "", "", 0, root, meta)
        bad = transaction.add_metadata(ObjectType.COMMIT, commit.encode())
        transaction.set_ref(None, "bad", bad)
        transaction.commit()
    out = tmp_path / "out"
    for command in ["ls", "-R", "bad"], ["cat", "bad", "../escaped"], ["checkout", "-U", "bad", out], ["fsck"]:
        assert "Invalid / in filename ../escaped" in fails(f"--repo={repo_path}", *command)
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "is no repo: it has no config"),
        ("", "repo_version"),
        ("[core]\nrepo_version=2\nmode=bare\n", "repo_version must be 1"),
        ("[core]\nrepo_version=1\nmode=tar\n", "unknown core.mode 'tar'"),
        ("[core\n", "line 1"),
        ("[core]\nrepo_version=1\nmode=bare\nfsync=perhaps\n", "must be true or false"),
    ],
)
def test_a_bad_repo_is_named(tmp_path: Path, config: str | None, message: str) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "objects").mkdir()
    if config is not None:
        (repo / "config").write_text(config)
    line = fails(f"--repo={repo}", "refs")
    assert message in line
    assert str(repo) in line
    assert fails(f"--repo={tmp_path}/nothing", "refs") == (
        f"error: Opening repo {tmp_path}/nothing: No such file or directory\n"
    )


def test_init_again_changes_nothing(tmp_path: Path) -> None:
    repo = make(tmp_path / "repo", "archive")
    (repo / "config").write_text("# kept\n" + (repo / "config").read_text())
    before = picture(repo)
    larix(repo, "init", "--mode=archive")
    larix(repo, "init", "--mode=bare")
    assert picture(repo) == before


def test_what_is_not_committed_is_gone(tmp_path: Path, tree: Path) -> None:
    path = make(tmp_path / "repo", "archive")
    os.mkfifo(tmp_path / "fifo")
    before = picture(path).keys() | {".lock"}
    with Repo(str(path)) as repo:
        with pytest.raises(RuntimeError), Transaction(repo) as transaction:
            transaction.add_file(FileHeader(0, 0, 0o100644), 1, [b"x"])
            transaction.set_ref(None, "x", Checksum("a" * 64))
            raise RuntimeError
        assert "cannot be committed" in fails(f"--repo={path}", *COMMIT, tmp_path)
    assert picture(path).keys() == before


def test_locks_are_those_of_the_c_tool(tmp_path: Path, tree: Path) -> None:
    path = make(tmp_path / "repo", "archive")
    with (path / "config").open("a") as config:
        config.write("lock-timeout-secs=0\n")
    ostree(path, *COMMIT, f"--tree=dir={tree}")
    with Repo(str(path)) as repo:
        with Transaction(repo):
            assert run_c(f"--repo={path}", "prune", check=False).returncode == 1
            # Two may add at once.
            ostree(path, *COMMIT, f"--tree=dir={tree}")
            larix(path, *COMMIT, tree)
        ostree(path, "prune")
        with (path / ".lock").open("r+") as file:
            fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", F_WRLCK, 0, 0, 0, 0))
            with pytest.raises(Busy, match=f"locked by process {os.getpid()} "):
                Transaction(repo)
            assert "locked" in fails(f"--repo={path}", *COMMIT, tree)


@pytest.mark.skipif(not ROOT, reason="becoming another user needs root")
def test_an_ordinary_user_has_bare_user_and_archive(tree: Path, tmp_path: Path) -> None:
    for folder in tmp_path, *tmp_path.parents:
        if folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o055)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    run_larix("init")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            (home / "tree").mkdir()
            (home / "tree/file").write_text("mine")
            (home / "tree/file").chmod(0o4711)
            for mode in "archive", "bare-user":
                repo = make(home / mode, mode)
                larix(repo, *COMMIT, home / "tree")
                larix(repo, "fsck")
                larix(repo, "checkout", "-U", "os/stable", home / f"{mode}-out")
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.__stderr__)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    reference = make(tmp_path / "reference", "archive", ostree)
    commit = ostree(reference, *COMMIT, f"--tree=dir={home / 'tree'}")
    for mode in "archive", "bare-user":
        ostree(home / mode, "fsck")
        assert larix(home / mode, "rev-parse", "os/stable") == commit
        assert (home / f"{mode}-out/file").read_text() == "mine"


def test_a_full_disk_has_its_own_error() -> None:
    for number, kind in (errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.ENOENT, NotFound), (errno.EIO, Error):
        with pytest.raises(kind, match="Writing x: "), doing("Writing x"):
            raise OSError(number, os.strerror(number))


def test_revs(c_repos: dict[str, Path]) -> None:
    with Repo(str(c_repos["archive"])) as repo:
        for rev in "zz", "0123456789", "a" * 63, "os", "origin:os/stable":
            with pytest.raises(NotFound, match="not found"):
                repo.refs.resolve(rev)
        for rev in "", "^", "../x", "a b", "A^B":
            with pytest.raises((Invalid, NotFound)):
                repo.refs.resolve(rev)
        with pytest.raises(NotFound):
            repo.load(ObjectName(Checksum("0" * 64), ObjectType.COMMIT))
        with pytest.raises(NotFound):
            repo.open_file(Checksum("0" * 64))


def test_a_key_file_keeps_what_it_does_not_know() -> None:
    text = '# comment\n[core]\nmode = bare\n\n[remote "a"]\nurl=http://x\\sy\n# end\n\n[z]\nk=v\n'
    found = KeyFile(text)
    assert str(found) == text
    assert found.groups() == ["core", 'remote "a"', "z"]
    assert (found.find("core", "mode"), found.find('remote "a"', "url")) == ("bare", "http://x y")
    assert found.find("core", "nothing") is None
    found.set("core", "mode", "archive")
    found.set("core", "new", " a\nb")
    found.set("fresh", "k", "v")
    assert found.remove_group("z")
    assert not found.remove_group("z")
    again = KeyFile(str(found))
    assert again.find("core", "new") == " a\nb"
    assert again.keys("core") == ["mode", "new"]
    assert str(again).startswith("# comment\n[core]\nmode=archive\nnew=\\sa\\nb\n\n[remote")
    assert "# end\n" in str(again)
    with pytest.raises(Corrupt, match="line 2"):
        KeyFile("[a]\nnonsense\n")
