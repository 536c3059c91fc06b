"""Pulls that are broken off, damaged or refused: nothing bad is placed, and nothing good is fetched twice."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from larix import gvariant
from larix.formats.objects import DIRTREE_TYPE
from tests.faults import KILL, Outcome, run_until
from tests.judge import fails, larix, ostree, picture
from tests.pulls import MODES, client, contents, objects, refs
from tests.servers import Damage, cutting, hostile, nginx, serve


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
        before = contents(ours)
        line = fails(f"--repo={ours}", "pull", "--network-retries=1", "origin", "os/stable")
    assert said in line
    assert contents(ours) == before


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
        contents, outcome = pull("undisturbed", 0)
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
                    if picture(path) == picture(contents / f"objects/{name[:2]}/{name[2:]}")
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
    before = contents(ours)
    assert large.stem in fails(f"--repo={ours}", "pull", f"--localcache-repo={near}", "origin", "os/stable")
    assert contents(ours) == before


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
        before = contents(ours)
        for words in ["pull", "origin", "other"], ["pull-local", str(source)]:
            what = f"/ in filename {name}" if "/" in name else f"filename {name!r}"
            assert f"{dirtree}.dirtree: Invalid {what}" in fails(f"--repo={ours}", *words)
        assert contents(ours) == before
