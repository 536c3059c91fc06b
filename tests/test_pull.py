"""Replication, beside the C tool: each pulls what the other has made or serves, and bad input leaves nothing behind."""

import os
import re
from contextlib import closing
from pathlib import Path

import pytest

import larix as api
from larix import gvariant
from larix.gvariant import Variant
from tests.judge import OLDEST, fails, larix, ostree, picture, release, run_c, run_larix
from tests.pulls import MODES, client, contents, objects, refs
from tests.servers import hostile, nginx, serve

# Both tools, from each other's servers


@pytest.mark.parametrize("depth", ["0", "1", "-1"])
@pytest.mark.parametrize("mode", MODES)
def test_pull_from_nginx(origin: Path, behind_nginx: str, tmp_path: Path, mode: str, depth: str) -> None:
    ours, theirs = (client(tmp_path / name, mode, behind_nginx) for name in ("ours", "theirs"))
    larix(ours, "pull", "origin", f"--depth={depth}", "os/stable")
    ostree(theirs, "pull", "origin", f"--depth={depth}", "os/stable")
    assert objects(ours) == objects(theirs)
    assert refs(ours) == refs(theirs) == {"origin:os/stable": ostree(origin, "rev-parse", "os/stable")}
    ostree(ours, "fsck")
    larix(ours, "fsck")
    for repo in ours, theirs:
        ostree(
            repo,
            "checkout",
            *(["-U"] if mode == "bare-user" else []),
            "origin:os/stable",
            tmp_path / f"{repo.name}.out",
        )
    assert picture(tmp_path / "ours.out") == picture(tmp_path / "theirs.out")
    if mode == "archive":
        assert all((ours / path).read_bytes() == (origin / path).read_bytes() for path in objects(ours))
    # A second time brings nothing, and a deeper one the rest.
    assert larix(ours, "pull", "origin", "os/stable").startswith("0 metadata, 0 content objects fetched")
    larix(ours, "pull", "origin", "--depth=-1", "os/stable")
    assert sum(path.endswith(".commit") for path in objects(ours)) == 3
    assert list((ours / "tmp").iterdir()) == [ours / "tmp/cache"]


@pytest.mark.parametrize("mode", MODES)
def test_the_c_tool_pulls_from_larix_serve(origin: Path, tmp_path: Path, mode: str) -> None:
    with serve(origin) as url:
        theirs = client(tmp_path / "theirs", mode, url)
        ostree(theirs, "pull", "--depth=-1", "origin", "os/stable")
        mirror = client(tmp_path / "mirror", mode, url)
        ostree(mirror, "pull", "--mirror", "origin")
    ostree(theirs, "fsck")
    ostree(mirror, "fsck")
    assert refs(theirs) == {"origin:os/stable": refs(origin)["os/stable"]}
    assert refs(mirror) == refs(origin)


def test_a_mirror_is_the_same_to_the_byte(origin: Path, tmp_path: Path) -> None:
    with serve(origin) as url:
        ours = client(tmp_path / "ours", "archive", url)
        larix(ours, "pull", "--mirror", "--depth=-1", "origin")
    assert objects(ours) == objects(origin)
    assert all((ours / path).read_bytes() == (origin / path).read_bytes() for path in objects(origin) | {"summary"})
    assert refs(ours) == refs(origin)


def test_refs_by_name_checksum_and_setting(origin: Path, behind_nginx: str, tmp_path: Path) -> None:
    newest, older = ostree(origin, "rev-parse", "os/stable"), ostree(origin, "rev-parse", "os/stable^")
    ours = client(tmp_path / "ours", "archive", behind_nginx)
    larix(ours, "pull", "origin", older)
    assert refs(ours) == {}
    larix(ours, "pull", "origin", f"os/stable@{older}")
    assert refs(ours) == {"origin:os/stable": older}
    larix(ours, "pull", "-T", "origin:os/stable")
    assert refs(ours) == {"origin:os/stable": newest}
    larix(ours, "remote", "add", "--no-gpg-verify", "set", behind_nginx, "other", "os/stable")
    larix(ours, "pull", "set")
    assert set(refs(ours)) == {"origin:os/stable", "set:other", "set:os/stable"}
    larix(ours, "pull", "--url", f"file://{origin}", "--mirror", "origin", "other")
    assert refs(ours)["other"] == refs(origin)["other"]


def test_without_a_summary_refs_are_asked_for(origin: Path, tmp_path: Path) -> None:
    bare = tmp_path / "origin"
    ostree(bare, "init", "--mode=archive")
    ostree(bare, "pull-local", origin)
    with serve(bare) as url:
        ours = client(tmp_path / "ours", "archive", url)
        larix(ours, "pull", "origin", "os/stable")
        assert refs(ours) == {"origin:os/stable": refs(origin)["os/stable"]}
        assert "refs/heads/none" in fails(f"--repo={ours}", "pull", "origin", "none")
        assert "summary" in fails(f"--repo={ours}", "pull", "origin", "--mirror")
    # Nor need the server show its config.
    (bare / "config").unlink()
    with nginx(bare, tmp_path / "nginx") as url:
        theirs = client(tmp_path / "other", "archive", url)
        assert f"{url}/refs/heads/none" in fails(f"--repo={theirs}", "pull", "origin", "none")
        larix(theirs, "pull", "origin", "os/stable")
        assert refs(theirs) == refs(ours)


# On one machine


@pytest.mark.parametrize("source_mode", MODES)
@pytest.mark.parametrize("mode", MODES)
def test_pull_local(origin: Path, tmp_path: Path, source_mode: str, mode: str) -> None:
    source, ours, theirs, by_file = (tmp_path / name for name in ("source", "ours", "theirs", "file"))
    ostree(source, "init", f"--mode={source_mode}")
    ostree(source, "pull-local", origin)
    for repo in ours, theirs:
        ostree(repo, "init", f"--mode={mode}")
    larix(ours, "pull-local", source)
    ostree(theirs, "pull-local", source)
    assert refs(ours) == refs(theirs) == refs(origin)
    assert objects(ours) == objects(theirs)
    ostree(ours, "fsck")
    if mode == source_mode:
        files = [path for path in objects(ours) if ".file" in path]
        assert files
        assert all(os.path.samestat((ours / path).lstat(), (source / path).lstat()) for path in files)
    larix(client(by_file, mode, f"file://{source}"), "pull", "origin", "other")
    larix(by_file, "pull-local", "--remote=name", "--depth=1", source, "os/stable")
    assert refs(by_file) == {"origin:other": refs(origin)["other"], "name:os/stable": refs(origin)["os/stable"]}
    ostree(by_file, "fsck")


@pytest.mark.parametrize("mode", MODES)
def test_untrusted_repos_are_read_before_their_objects_are_linked(origin: Path, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    ostree(source, "init", f"--mode={mode}")
    ostree(source, "pull-local", origin)
    path = max(source.glob("objects/*/*.file*"), key=lambda path: path.lstat().st_size)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    if mode == "archive":
        # Else it would be damaged in the origin too, which it is linked with.
        path.unlink()
    path.write_bytes(damaged)
    for name in "ours", "theirs":
        ostree(tmp_path / name, "init", f"--mode={mode}")
    assert str(path) in fails(f"--repo={tmp_path / 'ours'}", "pull-local", "--untrusted", source)
    assert refs(tmp_path / "ours") == {}
    assert run_c(f"--repo={tmp_path / 'theirs'}", "pull-local", "--untrusted", source, check=False).returncode
    larix(tmp_path / "ours", "pull-local", source)
    ostree(tmp_path / "theirs", "pull-local", source)
    assert path.name.partition(".")[0] in fails(f"--repo={tmp_path / 'ours'}", "fsck")


def test_history_may_end(origin: Path, tmp_path: Path) -> None:
    short, ours = tmp_path / "short", tmp_path / "ours"
    for repo in short, ours:
        ostree(repo, "init", "--mode=archive")
    ostree(short, "pull-local", "--depth=1", origin, "os/stable")
    larix(ours, "pull-local", "--depth=-1", short)
    assert objects(ours) == objects(short)


def test_partial_commits(origin: Path, behind_nginx: str, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", behind_nginx)
    commit = ostree(origin, "rev-parse", "os/stable")
    marks = [f"{commit}.commitpartial"]
    larix(ours, "pull", "--commit-metadata-only", "origin", "os/stable")
    assert os.listdir(ours / "state") == marks
    assert "1 partial commits not verified" in ostree(ours, "fsck")
    ostree(ours, "pull", "origin", "os/stable")
    assert os.listdir(ours / "state") == []
    larix(ours, "pull", "--commit-metadata-only", "origin", "os/stable")
    assert os.listdir(ours / "state") == []
    theirs = client(tmp_path / "theirs", "archive", behind_nginx)
    ostree(theirs, "pull", "--commit-metadata-only", "origin", "os/stable")
    assert os.listdir(theirs / "state") == marks
    larix(theirs, "pull", "origin", "os/stable")
    assert os.listdir(theirs / "state") == []
    assert "1 commits" in ostree(theirs, "fsck")


def test_what_a_whole_commit_reaches_is_not_looked_for(origin: Path, tmp_path: Path) -> None:
    """As in the C tool. What was lost without anyone's doing, fsck finds; then the commit is no longer whole."""
    commit = ostree(origin, "rev-parse", "os/stable")
    for tool in ostree, larix:
        repo = client(tmp_path / tool.__name__, "archive", f"file://{origin}")
        tool(repo, "pull", "origin", "os/stable")
        lost = [next(repo.glob(f"objects/*/*{end}")) for end in (".dirtree", ".filez")]
        for path in lost:
            path.unlink()
        assert tool(repo, "pull", "origin", "os/stable").startswith("0 metadata, 0 content objects")
        assert not any(path.exists() for path in lost)
        (repo / f"state/{commit}.commitpartial").touch()
        tool(repo, "pull", "origin", "os/stable")
        assert all(path.exists() for path in lost)


def test_detached_metadata_comes_too(origin: Path, tmp_path: Path) -> None:
    source, ours = tmp_path / "source", tmp_path / "ours"
    for repo in source, ours:
        ostree(repo, "init", "--mode=archive")
    ostree(source, "pull-local", origin, "other")
    larix(ours, "pull-local", source)
    commit = refs(source)["other"]
    name = f"objects/{commit[:2]}/{commit[2:]}.commitmeta"
    for value in "first", "second":
        (source / name).write_bytes(gvariant.encode("a{sv}", [("key", Variant("s", value))]))
        larix(ours, "pull-local", source)
        assert (ours / name).read_bytes() == (source / name).read_bytes()
        assert ostree(ours, "show", "--print-detached-metadata-key=key", commit) == f"'{value}'"
    (source / name).write_bytes(b"\1\2\3")
    assert f"{commit}.commitmeta" in fails(f"--repo={ours}", "pull-local", source)


# The summary


def test_summary_is_that_of_the_c_tool(origin: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ostree(ours, "init", "--mode=archive")
    ostree(ours, "pull-local", origin)
    (ours / "summary.sig").write_bytes(b"")
    larix(ours, "summary", "-u")
    assert not (ours / "summary.sig").exists()

    def without_time(repo: Path, *words: str) -> list[str]:
        return [line for line in ostree(repo, "summary", *words).splitlines() if "last-modified" not in line]

    assert without_time(ours, "--view") == without_time(origin, "--view")
    assert (ours / "summary").stat().st_size == (origin / "summary").stat().st_size
    assert larix(origin, "summary", "--raw") == ostree(origin, "summary", "--raw")
    # Newer C tools say so.
    more = "\nSummary is unsigned" if release() == OLDEST else ""
    assert larix(origin, "summary", "--view") == ostree(origin, "summary", "--view") + more
    (origin / "summary.sig").touch()
    assert "unsigned" not in larix(origin, "summary", "--view")
    (origin / "summary.sig").unlink()
    assert larix(origin, "summary", "--print-metadata-key=ostree.summary.mode") == "'archive-z2'"
    assert "ostree.summary.mode" in larix(origin, "summary", "--list-metadata-keys").splitlines()


# Refusals


def test_a_remote_that_demands_signatures_is_refused(origin: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ostree(ours, "init", "--mode=archive")
    url = f"file://{origin}"
    for i, settings in enumerate(
        ([], ["--set=gpg-verify=true"], ["--no-gpg-verify", "--set=gpg-verify-summary=true"],
         ["--no-gpg-verify", "--set=sign-verify=true"], ["--no-gpg-verify", "--set=sign-verify=ed25519"],
         ["--set=gpg-verify=1"])
    ):  # fmt: skip
        larix(ours, "remote", "add", *settings, f"r{i}", url)
        assert "demands signatures" in fails(f"--repo={ours}", "pull", f"r{i}", "other")
    assert "signatures" in fails(f"--repo={ours}", "pull-local", "--gpg-verify", origin)
    assert not objects(ours)
    assert not refs(ours)
    settings = [f"--set={key}=0" for key in ("gpg-verify", "gpg-verify-summary", "sign-verify", "sign-verify-summary")]
    larix(ours, "remote", "add", *settings, "none", url)
    larix(ours, "pull", "none", "other")


def test_a_commit_for_another_ref_is_refused_as_by_the_c_tool(origin: Path, tmp_path: Path) -> None:
    source, ours = tmp_path / "source", tmp_path / "ours"
    ostree(source, "init", "--mode=archive")
    ostree(source, "pull-local", origin)
    ostree(source, "refs", "--create=alias", "other")
    client(ours, "archive", f"file://{source}")
    assert run_c(f"--repo={ours}", "pull", "origin", "alias", check=False).returncode == 1
    assert "‘alias’" in fails(f"--repo={ours}", "pull", "origin", "alias")
    assert not objects(ours)
    larix(ours, "pull", "--disable-verify-bindings", "origin", "alias")
    larix(ours, "pull", "origin", "os/stable")
    ostree(source, "commit", "--tree=ref=other", "-b", "os/stable", "--timestamp=2020-01-01 00:00:00 +0000")
    assert "older" in fails(f"--repo={ours}", "pull", "-T", "origin", "os/stable")


@pytest.mark.parametrize("mode", MODES)
def test_what_a_repo_of_this_machine_has_is_not_fetched(origin: Path, tmp_path: Path, mode: str) -> None:
    asked: list[str] = []

    def noting(path: str, data: bytes) -> tuple[bytes, int] | int:
        asked.append(path)
        return data, len(data)

    near, other = tmp_path / "near", tmp_path / "other"
    larix(near, "init", f"--mode={mode}")
    larix(near, "pull-local", origin, "other")
    larix(other, "init", "--mode=bare-user")
    with hostile(origin, noting) as url:
        ours = client(tmp_path / "ours", mode, url)
        caches = [f"--localcache-repo={near}", "-L", str(other)]
        said = larix(ours, "pull", *caches, "origin", "os/stable")
        fetched = {path for path in asked if path.startswith("/objects/") and not path.endswith(".commitmeta")}
        there = {f"/{name}z" if name.endswith(".file") else f"/{name}" for name in objects(ours)}
        # The newest commits of both branches have files in common.
        assert fetched
        assert fetched < there
        assert there - fetched == there & {
            f"/{name}z" if name.endswith(".file") else f"/{name}" for name in objects(near)
        }
        near_files = sum(name.endswith(".filez") for name in there - fetched)
        counts = len(fetched) - sum(name.endswith(".filez") for name in fetched), len(there - fetched) - near_files
        assert f"{counts[0]} metadata" in said and f"({counts[1]} meta, {near_files} content local)" in said
        asked.clear()
        larix(ours, "pull", *caches, "origin", "other")
        assert not [path for path in asked if path.startswith("/objects/") and not path.endswith(".commitmeta")]
    ostree(ours, "fsck")
    assert "No such file" in fails(
        f"--repo={ours}", "pull", f"-L{tmp_path / 'none'}", f"--url=file://{origin}", "origin", "other"
    )


def test_commits_older_than_one_that_is_here_are_refused(origin: Path, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", f"file://{origin}")
    larix(ours, "pull", "origin", "os/stable")
    (tmp_path / "tree").mkdir()
    for name, when in ("older", "@1000000000"), ("newer", "@1900000000"):
        larix(ours, "commit", "-b", name, f"--timestamp={when}", tmp_path / "tree")
    asked = [f"--repo={ours}", "pull", "origin", "os/stable"]
    assert "older" in fails(*asked, "--timestamp-check-from-rev", "newer")
    assert run_c(*asked, "--timestamp-check-from-rev=newer", check=False).returncode == 1
    assert run_larix(*asked, "--timestamp-check-from-rev", "older").status == 0
    run_c(*asked, "--timestamp-check-from-rev=older")


def test_wrong_words_are_refused(origin: Path, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", "http://127.0.0.1:1")
    larix(ours, "remote", "add", "--no-gpg-verify", "ftp", "ftp://127.0.0.1/x")
    larix(ours, "remote", "add", "--no-gpg-verify", "good", f"file://{origin}")
    before = contents(ours)
    for words, said in (
        (["pull"], "REMOTE"),
        (["pull", "nothing", "x"], '"nothing"'),
        (["pull", "origin", "--network-retries=0", "x"], "http://127.0.0.1:1/summary"),
        (["pull", "ftp", "x"], "ftp://"),
        (["pull", "good"], "No configured branches"),
        (["pull", "good", "nothing"], "nothing"),
        (["pull", "good", "../x"], "../x"),
        (["pull", "good", "other@zz"], "zz"),
        (["pull", "good", "0" * 64], "0" * 64),
        (["pull", "good", "--depth=-2", "other"], "-2"),
        (["pull", "good", "--http-header=x", "other"], "x"),
        (["pull-local", str(tmp_path / "nowhere")], "nowhere"),
        (["pull-local", str(origin), "nothing"], "nothing"),
        (["pull-local", str(origin), "good:other"], "good:other"),
        (["summary"], "--update"),
        (["summary", "--view"], "summary"),
    ):
        assert said in fails(f"--repo={ours}", *words), words
    assert contents(ours) == before
    ostree(tmp_path / "bare", "init", "--mode=bare")
    assert "archive" in fails(f"--repo={tmp_path / 'bare'}", "serve", "--port=0")


def test_sizes_are_told_as_the_c_tool_tells_them(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    ostree(origin := tmp_path / "origin", "init", "--mode=archive")
    for size in 0, 1, 3000, 5_000_000:
        (tmp_path / "tree/file").write_bytes(os.urandom(size))
        ostree(origin, "commit", "-b", f"n{size}", tmp_path / "tree")
        with nginx(origin, tmp_path / f"nginx{size}") as url:
            lines = []
            for tool, name in (larix, "ours"), (ostree, "theirs"):
                repo = tmp_path / f"{name}{size}"
                ostree(repo, "init", "--mode=bare-user")
                ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
                said = tool(repo, "pull", "origin", f"n{size}").splitlines()[-1].replace("\xa0", " ")
                # How many answers 404 there are, and so what travelled, differs; not its unit.
                lines.append(re.sub(r"^\d+ metadata,|\d+(?= (B|KiB) transferred)", "", said))
        assert lines[0] == lines[1]


def test_what_was_pulled_can_be_told(origin: Path, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", f"file://{origin}")
    assert run_larix(f"--repo={ours}", "pull", "origin", "other").out == (
        "3 metadata, 2 content objects imported; 0 bytes content written\n"
    )


def test_a_pull_from_another_repo_is_one_transaction(origin: Path, tmp_path: Path) -> None:
    """Whatever remotes its branches are of."""
    ostree(source := tmp_path / "source", "init", "--mode=archive")
    ostree(source, "pull-local", origin, "os/stable")
    ostree(source, "pull-local", "--remote=upstream", origin, "other")
    with api.Repo(str(source)) as repo, api.Repo.init(str(tmp_path / "target"), "archive") as target:
        top = repo.load_commit(repo.refs.resolve("upstream:other")).dirtree
        only = api.ObjectName(top, api.ObjectType.DIR_TREE)
        (source / "objects" / repo.object_path(only)).unlink()
        with closing(api.RepoSource(str(source))) as there:
            with pytest.raises(api.NotFound):
                api.pull_local(target, there, ["os/stable", "upstream:other"])
            assert target.refs.all() == {}
            with pytest.raises(api.Invalid, match="are several"):
                api.pull_local(target, there, "os/stable")
            api.pull_local(target, there, ["os/stable"])
        assert [*target.refs.all()] == [(None, "os/stable")]
