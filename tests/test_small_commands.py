"""config, reset, checksum, remote refs and summary: the C tool says the same, and leaves the same."""

import os
import shutil
from pathlib import Path

import pytest

from tests.judge import NEWEST, fails, larix, ostree, release, run_c, run_larix
from tests.servers import nginx

CONFIG_STEPS = [
    ["set", "core.fsync", "false"],
    ["get", "core.mode"],
    ["set", "foo.bar", "with spaces = and more"],
    ["get", "foo.bar"],
    ["set", "foo.bar", " led by one"],
    ["set", "--group=remote \"a.b\"", "url", "http://x"],
    ["set", "first.second.third", "x"],
    ["get", "--group=core", "repo_version"],
    ["unset", "foo.bar"],
    ["unset", "foo.bar"],
    ["unset", "nothing.at-all"],
    ["set", "foo.again", "1"],
]  # fmt: skip
CONFIG_WRONG = [["get"], ["set", "core.x"], ["get", "core.none"], ["get", "nodot"], ["frob", "a.b"], []]
CONFIG_WRONG += [["get", "a.b", "c"]]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Two commits on `main` and one on `other/one`."""
    made = tmp_path / "repo"
    ostree(made, "init", "--mode=archive")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, branch in ("a", "main"), ("b", "main"), ("c", "other/one"):
        (tree / name).write_text(name)
        ostree(made, "commit", "-b", branch, "-s", name, f"--tree=dir={tree}", f"--add-metadata-string=version={name}")
    return made


def test_config_is_kept_alike(repo: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(repo, theirs)
    for step in CONFIG_STEPS:
        assert larix(repo, "config", *step) == ostree(theirs, "config", *step), step
        assert (repo / "config").read_text() == (theirs / "config").read_text(), step
    # The C tool finds no group here.
    assert larix(repo, "config", "get", 'remote "a.b".url') == "http://x"
    before = (repo / "config").read_bytes()
    for step in CONFIG_WRONG:
        fails(f"--repo={repo}", "config", *step)
    for step in CONFIG_WRONG[:-1]:
        assert run_c(f"--repo={theirs}", "config", *step, check=False).returncode == 1
    assert (repo / "config").read_bytes() == before


def test_config_by_other_hands(repo: Path, tmp_path: Path) -> None:
    """White space at either end, ends of lines that are none, and those of Windows."""
    theirs = tmp_path / "theirs"
    text = (
        "[core]\r\nrepo_version=1\r\nmode=archive-z2\nx=a\x0cb\u2028c\x1dd  \n y=  q\t\r\n\t# no\n  [a] \nb = \\sc \n"
    )
    (repo / "config").write_bytes(text.encode())
    shutil.copytree(repo, theirs)
    for key in "core.mode", "core.x", "core.y", "a.b":
        assert larix(repo, "config", "get", key) == ostree(theirs, "config", "get", key), key
    larix(repo, "config", "set", "core.y", "new")
    assert (repo / "config").read_bytes() == text.replace(" y=  q\t\r\n", "y=new\n").encode()


def test_config_that_says_it_twice(repo: Path, tmp_path: Path) -> None:
    """The last one counts, also when it is set; unset leaves none, where the C tool leaves those before."""
    theirs = tmp_path / "theirs"
    with (repo / "config").open("a") as file:
        file.write("x=1\n[a]\nq=1\n[core]\nx=2\ny=3\nx=4\n")
    shutil.copytree(repo, theirs)
    for step in (
        ["get", "core.x"],
        ["set", "core.x", "new"],
        ["get", "core.x"],
        ["set", "core.z", "5"],
        ["get", "core.z"],
    ):
        assert larix(repo, "config", *step) == ostree(theirs, "config", *step), step
    assert ostree(repo, "config", "get", "core.x") == "new"
    larix(repo, "config", "unset", "core.x")
    assert "x=" not in (repo / "config").read_text()


def test_reset_points_a_branch_back(repo: Path) -> None:
    first, last = ostree(repo, "rev-parse", "main^"), ostree(repo, "rev-parse", "main")
    assert larix(repo, "reset", "main", "main^") == ""
    assert ostree(repo, "rev-parse", "main") == first
    larix(repo, "reset", "main", last)
    assert ostree(repo, "rev-parse", "main") == last
    for wrong in ["nothing", "main"], ["main", "nothing"], ["main"]:
        fails(f"--repo={repo}", "reset", *wrong)
        assert run_c(f"--repo={repo}", "reset", *wrong, check=False).returncode == 1
    # These the C tool takes.
    for wrong in ["main", "0" * 64], ["main", "main", "main"]:
        fails(f"--repo={repo}", "reset", *wrong)
    assert ostree(repo, "rev-parse", "main") == last


def test_checksum_is_that_of_the_object(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("some text")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("nowhere")
    os.setxattr(tmp_path / "file", "user.tag", b"x")
    for name in "file", "empty", "link", "":
        for options in [], ["--ignore-xattrs"]:
            done = run_larix("checksum", *options, tmp_path / name)
            assert (done.status, done.err) == (0, "")
            assert done.out == run_c("checksum", *options, tmp_path / name).stdout
    assert (
        run_larix("checksum", tmp_path / "file").out != run_larix("checksum", "--ignore-xattrs", tmp_path / "file").out
    )
    assert "No such file" in fails("checksum", tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file" in fails("checksum", tmp_path / "pipe")
    fails("checksum")


def test_a_remote_is_asked_what_it_has(repo: Path, tmp_path: Path) -> None:
    client = tmp_path / "client"
    ostree(client, "init", "--mode=archive")
    with nginx(repo, tmp_path / "nginx") as url:
        for name, place in ("web", url), ("here", f"file://{repo}"):
            ostree(client, "remote", "add", "--no-gpg-verify", name, place)
            assert "no summary" in fails(f"--repo={client}", "remote", "refs", name)
            assert "no summary" in fails(f"--repo={client}", "remote", "summary", name)
        ostree(repo, "summary", "-u", "--add-metadata=x.number=uint32 7", "--add-metadata=x.text='hello'")
        for name in "web", "here":
            assert larix(client, "remote", "refs", name) == ostree(client, "remote", "refs", name)
            main = ostree(repo, "rev-parse", "main")
            assert larix(client, "remote", "refs", "-r", name).splitlines()[0] == f"{name}:main\t{main}"
            assert larix(client, "remote", "summary", name) == ostree(client, "remote", "summary", name)
            assert larix(client, "remote", "summary", "--raw", name) == ostree(
                client, "remote", "summary", "--raw", name
            )
            keys = larix(client, "remote", "summary", "--list-metadata-keys", name).splitlines()
            assert {"x.number", "x.text", "ostree.summary.mode"} <= set(keys)
            assert larix(client, "remote", "summary", "--print-metadata-key=x.number", name) == "uint32 7"
    assert 'Remote "nothing" not found' in fails(f"--repo={client}", "remote", "refs", "nothing")
    larix(client, "config", "set", '--group=remote "here"', "gpg-verify-summary", "true")
    assert "demands signatures" in fails(f"--repo={client}", "remote", "summary", "here")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """With what there is to do about it."""
    repo = tmp_path / "repo"
    larix(repo, "init", "--mode=archive")
    for words, what, help_ in (
        (["summary", "--view"], f"{repo} has no summary", "`larix summary --update`"),
        (["log", "nowhere"], f"'nowhere' not found in {repo}", "`larix refs`"),
        (["pull", "nobody", "x"], 'Remote "nobody" not found', "`larix remote list`"),
        (["log", "a//b"], "Invalid refspec 'a//b'", "joined by /"),
    ):
        line = fails(f"--repo={repo}", *words)
        assert what in line and help_ in line, line


REFUSED = [
    "core.mode=blah",
    "core.repo_version=2",
    "core.min-free-space-size=bad",
    "core.min-free-space-percent=200",
    "core.min-free-space-percent=x",
    "core.fsync=maybe",
    "core.locking=x",
    "core.per-object-fsync=x",
    "core.enable-uncompressed-cache=x",
    "core.add-remotes-config-dir=x",
    "core.parent=/nowhere",
    "sysroot.bootloader=blah",
    "sysroot.bootprefix=x",
    "sysroot.boot-counting-tries=x",
    "sysroot.bls-append-except-default=x",
    "core.default-repo-finders=bad",
    "core.default-repo-finders=configlan",
    "core.min-free-space-size=99999999999999TB",
    "ex-integrity.composefs=x",
    "core.fsync= true ",
    "sysroot.boot-counting-tries=6",
    "sysroot.boot-counting-tries=-1",
    "sysroot.boot-counting-tries=+3",
]
# The C tool takes these, and then counts them as false, or 0.
REFUSED_BY_US = [
    "core.lock-timeout-secs=x",
    "core.tmp-expiry-secs=x",
    "core.tombstone-commits=x",
    "core.auto-update-summary=x",
    "core.collection-id=a b",
]
TAKEN = [
    "core.mode=bare-user",
    "core.min-free-space-size=10MB",
    "core.min-free-space-percent=0",
    "core.fsync=false",
    "core.unknown=x",
    "core.collection-id=org.Own",
    "sysroot.bootloader=syslinux",
    "sysroot.bootprefix=true",
    "sysroot.bls-append-except-default=a=1;b=2",
    "core.default-repo-finders=config;lan",
    "sysroot.bls-append-except-default=",
    "sysroot.boot-counting-tries=5",
    "core.min-free-space-size=100000000000MB",
    "ex.readonly= x",
    "core.min-free-space-size=12345678MB",
    "core.key[de]=local",
    "ex-integrity.composefs=maybe",
    "other.key=any value",
]


@pytest.mark.parametrize("setting", [*REFUSED, *REFUSED_BY_US, *TAKEN])
def test_values_that_mean_nothing_are_not_set(setting: str, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    before = (repo / "config").read_bytes()
    key, _, value = setting.partition("=")
    if setting in TAKEN:
        larix(repo, "config", "set", key, value)
        # The C tool looks for what stands before the brackets alone.
        assert (larix if "[" in key else ostree)(repo, "config", "get", key) == value
        ostree(repo, "refs")
        return
    said = fails(f"--repo={repo}", "config", "set", key, value)
    assert value in said and key.partition(".")[2] in said
    assert (repo / "config").read_bytes() == before
    if release() >= NEWEST:
        done = run_c(f"--repo={repo}", "config", "set", key, value, check=False)
        assert (done.returncode == 1) == (setting in REFUSED)


NAMES = [
    "core.a[b c]",
    "core.a[b,c]",
    "core.a[b/c]",
    "g\x7f.x",
    "core.[x]",
    "g[.x",
    "g].x",
    "core.#x",
    "core.b=c",
    "core.x\ny",
    "core. x",
    "core.x ",
]


def test_a_value_that_takes_long_to_read(tmp_path: Path) -> None:
    """Were it tried in all ways."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    fails(f"--repo={repo}", "config", "set", "sysroot.bls-append-except-default", "a=a" * 40 + ";;")


@pytest.mark.parametrize("name", NAMES)
def test_names_that_would_be_read_otherwise(name: str, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    before = (repo / "config").read_bytes()
    assert "Invalid" in fails(f"--repo={repo}", "config", "set", name, "1")
    group = "--group=a\n[core]\nmode=bare"
    assert "Invalid group name" in fails(f"--repo={repo}", "config", "set", group, "k", "v")
    assert "Invalid key name" in fails(f"--repo={repo}", "remote", "add", "r", "http://x", "--set=[x]=1")
    assert "not UTF-8" in fails(f"--repo={repo}", "config", "set", "core.z", "\udcff")
    assert "not UTF-8" in fails(f"--repo={repo}", "remote", "add", "r", "http://x\udcff")
    assert (repo / "config").read_bytes() == before
