"""Replication, beside the C tool: each pulls what the other has made or serves, and bad input leaves nothing behind."""

import hashlib
import http.client
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from larix import gvariant
from larix.formats.objects import DIRTREE_TYPE
from larix.gvariant import Variant
from tests.faults import KILL, Outcome, run_until
from tests.judge import fails, larix, ostree, picture, run_c, run_larix
from tests.servers import Damage, cutting, hostile, nginx, serve

MODES = ["archive", "bare", "bare-user"] if os.geteuid() == 0 else ["archive", "bare-user"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    """An archive repo that the C tool made: two branches, three commits of one, a large file, a summary."""
    repo = tmp_path_factory.mktemp("origin") / "repo"
    ostree(repo, "init", "--mode=archive")
    common = ["commit", f"--tree=dir={tree}", "--timestamp=2026-01-02 03:04:05 +0000"]
    for version in "1", "2":
        ostree(repo, *common, "-b", "os/stable", "-s", version, f"--add-metadata-string=version={version}")
    extra = tmp_path_factory.mktemp("extra")
    (extra / "random").write_bytes(os.urandom(3 << 20))
    (extra / "changed").write_text("changed")
    ostree(repo, *common, f"--tree=dir={extra}", "-b", "os/stable", "-s", "3")
    ostree(repo, "commit", f"--tree=dir={extra}", "-b", "other", "-s", "other")
    ostree(repo, "summary", "-u")
    return repo


@pytest.fixture(scope="module")
def behind_nginx(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx(origin, tmp_path_factory.mktemp("nginx") / "work") as url:
        yield url


def client(path: Path, mode: str, url: str) -> Path:
    ostree(path, "init", f"--mode={mode}")
    ostree(path, "remote", "add", "--no-gpg-verify", "origin", url)
    return path


def objects(repo: Path) -> set[str]:
    return {str(path.relative_to(repo)) for path in (repo / "objects").glob("*/*")}


def everything(repo: Path) -> dict[str, object]:
    """All of a repo but its lock, and what a failed pull keeps for the next one; the C tool leaves both too."""
    return {
        path: found for path, found in picture(repo).items() if path != ".lock" and not path.startswith("tmp/staging-")
    }


def refs(repo: Path) -> dict[str, str]:
    return dict(line.split("\t") for line in larix(repo, "refs", "--revision").splitlines())


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
    for words in ["--view"], ["--raw"]:
        assert larix(origin, "summary", *words) == ostree(origin, "summary", *words)
    assert larix(origin, "summary", "--print-metadata-key=ostree.summary.mode") == "'archive-z2'"
    assert "ostree.summary.mode" in larix(origin, "summary", "--list-metadata-keys").splitlines()


# Refusals


def test_a_remote_that_demands_signatures_is_refused(origin: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ostree(ours, "init", "--mode=archive")
    url = f"file://{origin}"
    for i, settings in enumerate(
        ([], ["--set=gpg-verify=true"], ["--no-gpg-verify", "--set=gpg-verify-summary=true"],
         ["--no-gpg-verify", "--set=sign-verify=true"], ["--no-gpg-verify", "--set=sign-verify=ed25519"])
    ):  # fmt: skip
        larix(ours, "remote", "add", *settings, f"r{i}", url)
        assert "demands signatures" in fails(f"--repo={ours}", "pull", f"r{i}", "other")
    assert "signatures" in fails(f"--repo={ours}", "pull-local", "--gpg-verify", origin)
    assert not objects(ours)
    assert not refs(ours)


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


def only(end: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: str, data: bytes) -> tuple[bytes, int]:
        if path.endswith(end):
            data = change(data)
        return data, len(data)

    return damage


def cut(end: str) -> Damage:
    return lambda path, data: (data[: len(data) // 2], len(data)) if path.endswith(end) else (data, len(data))


def status(end: str, code: int) -> Damage:
    return lambda path, data: code if path.endswith(end) else (data, len(data))


BARE_CONFIG = b"[core]\nrepo_version=1\nmode=bare\n"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a body cut short": (cut(".filez"), "Fetching http://"),
    "a dirtree cut short": (cut(".dirtree"), "Fetching http://"),
    "a summary cut short": (cut("/summary"), "Fetching http://"),
    "a file cut short that says nothing": (only(".filez", lambda data: data[:-5]), ".filez"),
    "an empty file": (only(".filez", lambda data: b""), ".filez"),
    "a changed file": (only(".filez", lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:]), ".filez"),
    "bytes after a file": (only(".filez", lambda data: data + b"x"), ".filez"),
    "another commit": (only(".commit", lambda data: data[:-1] + b"\0"), "Corrupted commit object; checksum expected"),
    "another dirmeta": (only(".dirmeta", lambda data: data + b"\0"), "Corrupted dirmeta object; checksum expected"),
    "no file": (status(".filez", 404), ".filez"),
    "no dirtree": (status(".dirtree", 404), ".dirtree"),
    "no commit": (status(".commit", 404), ".commit"),
    "no config": (status("/config", 404), "/config"),
    "a server's failure": (status(".dirtree", 500), "HTTP 500"),
    "a refusal": (status(".dirtree", 401), "HTTP 401"),
    "a bare repo": (only("/config", lambda data: BARE_CONFIG), "mode bare"),
    "no key file": (only("/config", lambda data: b"<html>\n"), "/config"),
    "no summary": (only("/summary", lambda data: b"<html>"), "not a summary"),
    "an endless config": (only("/config", lambda data: bytes(2 << 20)), "allowed"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
@pytest.mark.parametrize("mode", MODES[:2])
def test_bad_answers_leave_the_repo_as_it_was(origin: Path, tmp_path: Path, mode: str, what: str) -> None:
    damage, said = DAMAGES[what]
    with hostile(origin, damage) as url:
        ours = client(tmp_path / "ours", mode, url)
        larix(ours, "pull-local", "--remote=origin", origin, f"os/stable@{ostree(origin, 'rev-parse', 'os/stable^')}")
        before = everything(ours)
        line = fails(f"--repo={ours}", "pull", "--network-retries=1", "origin", "os/stable")
    assert said in line
    assert everything(ours) == before


def test_what_a_failed_pull_brought_is_not_fetched_again(origin: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    broken = True

    def breaking(path: str, data: bytes) -> tuple[bytes, int] | int:
        asked.append(path)
        return 404 if broken and path.endswith(".filez") else (data, len(data))

    with hostile(origin, breaking) as url:
        ours = client(tmp_path / "ours", "archive", url)
        fails(f"--repo={ours}", "pull", "origin", "os/stable")
        kept = {path.parent.name + path.name for path in ours.glob("tmp/staging-*/objects/*/*")}
        assert kept
        broken = False
        asked.clear()
        larix(ours, "pull", "origin", "os/stable")
    assert not kept & {path.removeprefix("/objects/").replace("/", "") for path in asked}
    assert not list(ours.glob("tmp/staging-*"))
    ostree(ours, "fsck")


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_pull_fetches_nothing_again_that_it_had_verified(origin: Path, tmp_path: Path, mode: str) -> None:
    asked: list[str] = []

    def noting(path: str, data: bytes) -> tuple[bytes, int]:
        asked.append(path)
        return data, len(data)

    def pull(name: str, at: int) -> tuple[Path, Outcome]:
        ours = client(tmp_path / name, mode, url)
        return ours, run_until(KILL, at, f"--repo={ours}", "pull", "origin", "os/stable")

    with hostile(origin, noting) as url:
        whole, outcome = pull("undisturbed", 0)
        verified = []
        for at in range(5, outcome.changes + 1, 80):
            ours, _ = pull(f"killed{at}", at)
            found = [*ours.glob("objects/*/*"), *ours.glob("tmp/staging-*/objects/??/*")]
            there = {f"{path.parent.name}{path.name}": path for path in found}
            there |= {path.name: path for path in ours.glob("tmp/staging-*/objects/*.commit")}
            # Less what it was just writing.
            verified.append(
                {
                    name.removesuffix("z")
                    for name, path in there.items()
                    if picture(path) == picture(whole / f"objects/{name[:2]}/{name[2:]}")
                }
            )
            asked.clear()
            larix(ours, "pull", "origin", "os/stable")
            again = {path.removeprefix("/objects/").replace("/", "").removesuffix("z") for path in asked}
            assert not verified[-1] & again, at
            ostree(ours, "fsck", "--quiet")
    assert len(max(verified, key=len)) > 15
    assert [name for names in verified for name in names if name.endswith(".commit")]


@pytest.mark.parametrize("server", ["nginx", "larix"])
@pytest.mark.parametrize("changes", [False, True], ids=["same", "changed"])
def test_a_body_that_was_cut_goes_on(origin: Path, tmp_path: Path, server: str, changes: bool) -> None:
    """A file that the server says is another by now comes from its start."""
    large = max((origin / "objects").glob("*/*.filez"), key=lambda path: path.stat().st_size)
    size, others = large.stat().st_size, sum(path.stat().st_size for path in origin.rglob("*")) - large.stat().st_size
    behind = nginx(origin, tmp_path / "nginx") if server == "nginx" else serve(origin)
    with behind as url, cutting(url, 2 << 20, 1 if changes else 3) as (line, cutter):
        if changes:
            cutter.on_cut = lambda: os.utime(large, (1, large.stat().st_mtime + 5))
        ours = client(tmp_path / "ours", "archive", line)
        larix(ours, "pull", "origin", "other")
    assert cutter.left == 0 or not changes
    assert ((ours / large.relative_to(origin)).read_bytes()) == large.read_bytes()
    # What is on the line is lost when it breaks, but not what was read.
    assert cutter.total > size + (2 << 20) if changes else cutter.total < size + others + (1 << 20), cutter.total
    if server == "nginx":
        statuses = [line.split()[8] for line in (tmp_path / "nginx/access.log").read_text().splitlines()]
        assert ("206" in statuses) != changes
    ostree(ours, "fsck")


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


def test_damage_in_a_repo_of_this_machine_does_not_spread(origin: Path, tmp_path: Path) -> None:
    near = tmp_path / "near"
    larix(near, "init", "--mode=archive")
    larix(near, "pull-local", origin, "os/stable")
    large = max((near / "objects").glob("*/*.filez"), key=lambda path: path.stat().st_size)
    # Not in place: it is linked to the origin's.
    data = bytearray(large.read_bytes())
    data[-1000] ^= 1
    large.unlink()
    large.write_bytes(data)
    ours = client(tmp_path / "ours", "archive", f"file://{origin}")
    before = everything(ours)
    assert large.stem in fails(f"--repo={ours}", "pull", f"--localcache-repo={near}", "origin", "os/stable")
    assert everything(ours) == before


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


def test_a_passing_failure_is_tried_again(origin: Path, tmp_path: Path) -> None:
    failed: set[str] = set()

    def once(path: str, data: bytes) -> tuple[bytes, int] | int:
        if path in failed:
            return data, len(data)
        failed.add(path)
        return 503 if len(failed) % 2 else (data[:1], len(data))

    with hostile(origin, once) as url:
        ours = client(tmp_path / "ours", "archive", url)
        larix(ours, "pull", "origin", "os/stable")
    ostree(ours, "fsck")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../../../etc/passwd"])
def test_names_that_leave_their_directory_are_refused(origin: Path, tmp_path: Path, name: str) -> None:
    source, ours = tmp_path / "source", tmp_path / "ours"
    ostree(source, "init", "--mode=archive")
    ostree(source, "pull-local", origin, "other")
    evil = gvariant.encode(DIRTREE_TYPE, ([(name, bytes(32))], []))
    dirtree = hashlib.sha256(evil).hexdigest()
    commit = bytearray((source / "objects" / refs(source)["other"][:2]).glob("*.commit").__next__().read_bytes())
    # The dirtree's checksum stands 64 bytes before the framing at the end.
    old = next(path for path in objects(source) if path.endswith(".dirtree"))
    at = commit.find(bytes.fromhex(old[8:10] + old[11:73]))
    assert at > 0
    commit[at : at + 32] = bytes.fromhex(dirtree)
    checksum = hashlib.sha256(commit).hexdigest()
    for data, kind, digest in (evil, "dirtree", dirtree), (bytes(commit), "commit", checksum):
        (source / f"objects/{digest[:2]}").mkdir(exist_ok=True)
        (source / f"objects/{digest[:2]}/{digest[2:]}.{kind}").write_bytes(data)
    (source / "refs/heads/other").write_text(checksum + "\n")
    with serve(source) as url:
        client(ours, "archive", url)
        before = everything(ours)
        for words in ["pull", "origin", "other"], ["pull-local", str(source)]:
            what = f"/ in filename {name}" if "/" in name else f"filename {name!r}"
            assert f"{dirtree}.dirtree: Invalid {what}" in fails(f"--repo={ours}", *words)
        assert everything(ours) == before


def test_wrong_words_are_refused(origin: Path, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", "http://127.0.0.1:1")
    larix(ours, "remote", "add", "--no-gpg-verify", "ftp", "ftp://127.0.0.1/x")
    larix(ours, "remote", "add", "--no-gpg-verify", "list", "--set=url=mirrorlist=http://127.0.0.1/x", "http://x")
    larix(ours, "remote", "add", "--no-gpg-verify", "good", f"file://{origin}")
    before = everything(ours)
    for words, said in (
        (["pull"], "REMOTE"),
        (["pull", "nothing", "x"], '"nothing"'),
        (["pull", "origin", "--network-retries=0", "x"], "http://127.0.0.1:1/summary"),
        (["pull", "ftp", "x"], "ftp://"),
        (["pull", "list", "x"], "mirrors"),
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
    assert everything(ours) == before
    ostree(tmp_path / "bare", "init", "--mode=bare")
    assert "archive" in fails(f"--repo={tmp_path / 'bare'}", "serve", "--port=0")


# The server itself


def test_the_server_keeps_to_http(origin: Path) -> None:
    data = (origin / "summary").read_bytes()
    with serve(origin) as url:
        at = urlsplit(url)
        assert at.hostname
        connection = http.client.HTTPConnection(at.hostname, at.port)

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
            connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

        code, body, headers = ask("/summary")
        kept = connection.sock
        assert (code, body) == (200, data)
        tag = headers["ETag"]
        assert ask("/summary", "HEAD")[:2] == (200, b"")
        for wanted, part in ("0-9", data[:10]), ("10-", data[10:]), ("-5", data[-5:]), ("5-999999", data[5:]):
            code, body, headers = ask("/summary", Range=f"bytes={wanted}")
            assert (code, body) == (206, part)
            assert headers["Content-Range"].endswith(f"/{len(data)}")
        assert ask("/summary", Range="bytes=999999-")[0] == 416
        assert ask("/summary", Range=f"bytes={'9' * 5000}-")[:2] == (200, data)
        assert ask("/summary", Range="bytes=5-", If_Range=tag)[0] == 206
        assert ask("/summary", Range="bytes=5-", If_Range='"other"')[:2] == (200, data)
        assert ask("/summary", Range="apples=5-")[:2] == (200, data)
        assert ask("/summary", If_None_Match=tag)[:2] == (304, b"")
        for path in (
            "/",
            "/objects",
            "/nothing",
            "/.lock",
            "/tmp/cache",
            "/objects/../.lock",
            "/refs/%2e%2e/.lock",
            "/%00",
        ):
            assert ask(path)[0] == 404, path
        assert ask("/refs/heads/other")[1].decode().strip() == refs(origin)["other"]
        assert connection.sock is kept, "the connection was not kept"
        assert ask("/summary", "POST")[0] == 501
        with socket.create_connection((at.hostname, at.port or 0)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.sendall(b"GET /summary HTTP/1.1\r\n")
        assert ask("/summary")[0] == 200


def test_the_server_waits_for_a_slow_client(tmp_path: Path) -> None:
    """More than fits into the buffers of a connection."""
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    data = os.urandom(1 << 20) * 48
    (repo / "deltas").mkdir()
    (repo / "deltas/large").write_bytes(data)
    with serve(repo) as url:
        at = urlsplit(url)
        with socket.create_connection((at.hostname or "", at.port or 0)) as slow:
            slow.sendall(b"GET /deltas/large HTTP/1.1\r\nConnection: close\r\n\r\n")
            # The server must come to a halt before the first byte is read.
            other = http.client.HTTPConnection(at.hostname or "", at.port)
            for _ in range(20):
                other.request("GET", "/config")
                assert other.getresponse().read() == (repo / "config").read_bytes()
            with slow.makefile("rb") as answer:
                assert answer.read().partition(b"\r\n\r\n")[2] == data


def test_what_was_pulled_can_be_told(origin: Path, tmp_path: Path) -> None:
    ours = client(tmp_path / "ours", "archive", f"file://{origin}")
    assert run_larix(f"--repo={ours}", "pull", "origin", "other").out == (
        "3 metadata, 2 content objects imported; 0 bytes content written\n"
    )
