"""`admin upgrade --check`: what it says an upgrade costs is what the C tool's upgrade then costs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.judge import admin, c_admin, fails, ostree, picture
from tests.namespaces import in_namespace, mount, needs_loop
from tests.servers import hostile, nginx, serve
from tests.sysroots import as_root

KINDS = "nginx", "larix serve", "a server without ranges", "a directory", "a bare repo", "stated sizes"


@contextmanager
def served(kind: str, repo: Path, work: Path) -> Iterator[str]:
    if kind == "larix serve":
        with serve(repo) as url:
            yield url
    elif kind == "a server without ranges":
        with hostile(repo, lambda path, data: (data, len(data))) as url:
            yield url
    elif kind in ("nginx", "stated sizes"):
        with nginx(repo, work) as url:
            yield url
    else:
        yield f"file://{repo}"


def make_upstream(path: Path, releases: Path, mode: str = "archive") -> Path:
    ostree(path, "init", f"--mode={mode}")
    ostree(path, "pull-local", releases)
    ostree(path, "commit", "-b", "os/stable", "--tree=ref=os/1", "--timestamp=@4000000000")
    return path


def make_machine(path: Path, url: str) -> Path:
    """That boots the newest commit of upstream."""
    path.mkdir(exist_ok=True)
    c_admin(path, "init-fs", path)
    c_admin(path, "os-init", "test")
    ostree(path / "ostree/repo", "remote", "add", "--no-gpg-verify", "origin", url)
    ostree(path / "ostree/repo", "pull", "origin", "os/stable")
    c_admin(path, "deploy", "--os=test", "origin:os/stable")
    return path


def release(upstream: Path, ref: str, *words: str) -> str:
    ostree(upstream, "commit", "-b", "os/stable", f"--tree=ref={ref}", "--timestamp=@4000000001", *words)
    return ostree(upstream, "rev-parse", "os/stable").strip()


def check(sysroot: Path, *words: str) -> Any:
    return json.loads(admin(sysroot, "upgrade", "--os=test", "--check", "--json", *words))["update"]


def objects(repo: Path) -> dict[str, Path]:
    return {f"{path.parent.name}{path.name.removesuffix('z')}": path for path in repo.glob("objects/??/*.*")}


@as_root
@pytest.mark.parametrize("kind", KINDS)
def test_it_costs_what_was_said(kind: str, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    upstream = make_upstream(tmp_path / "upstream", releases, "bare" if kind == "a bare repo" else "archive")
    with served(kind, upstream, tmp_path / "nginx") as url:
        sysroot = make_machine(tmp_path / "sysroot", url)
        assert check(sysroot) is None
        assert admin(sysroot, "upgrade", "--os=test", "--check") == "No update available."
        if kind == "stated sizes":
            # Of objects that nobody could ask for.
            commit = release(upstream, "os/4", "--generate-sizes", "--add-metadata-string=version=4")
            for path in upstream.glob("objects/*/*.filez"):
                path.rename(path.with_suffix(".away"))
        else:
            commit = release(upstream, "os/4", "--add-metadata-string=version=4")
        before, there = picture(sysroot), objects(sysroot / "ostree/repo")
        found, said = check(sysroot), admin(sysroot, "upgrade", "--os=test", "--check")
        assert picture(sysroot) == before
        for path in upstream.glob("objects/*/*.away"):
            path.rename(path.with_suffix(".filez"))
        c_admin(sysroot, "upgrade", "--os=test", "--pull-only")
        # It is here by now, and only to be deployed.
        brought = check(sysroot), check(sysroot, "--deploy-only")
    new = objects(sysroot / "ostree/repo").keys() - there.keys()
    assert len([name for name in new if name.endswith(".file")]) > 3
    assert (found["ref"], found["commit"]["checksum"], found["objects"]) == ("os/stable", commit, len(new))
    assert found["fetch"] == sum(objects(upstream)[name].lstat().st_size for name in new)
    assert found["disk"] == sum(objects(sysroot / "ostree/repo")[name].lstat().st_blocks * 512 for name in new)
    # /boot is in the same file system.
    assert found["boot"] == 0
    assert said.startswith("Update available: os/stable 4, of 2096-10-02 07:06:41 +0000\n")
    assert f"in {len(new)} objects" in said
    for found in brought:
        assert (found["commit"]["checksum"], found["objects"], found["fetch"], found["disk"]) == (commit, 0, 0, 0)


@as_root
@needs_loop
def test_a_boot_of_its_own(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    upstream = make_upstream(tmp_path / "upstream", releases)
    sysroot, boot = tmp_path / "sysroot", tmp_path / "sysroot/boot"
    sysroot.mkdir()

    def used() -> int:
        return sum(
            path.stat().st_blocks * 512 for path in boot.rglob("*") if "vmlinuz" in path.name or "init" in path.name
        )

    def work() -> None:
        mount(tmp_path / "image", 2, boot)
        make_machine(sysroot, f"file://{upstream}")
        # With the kernel of the one before.
        release(upstream, "os/2")
        assert check(sysroot)["boot"] == 0
        release(upstream, "os/4")
        found, before = check(sysroot), used()
        # Whether it is here does not matter.
        ostree(sysroot / "ostree/repo", "pull", "origin", "os/stable")
        assert check(sysroot)["boot"] == found["boot"]
        c_admin(sysroot, "upgrade", "--os=test")
        assert found["boot"] == used() - before > 0
        assert found["boot_free"] < found["disk_free"]

    in_namespace(work)


@as_root
def test_where_an_upgrade_would_go(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    upstream = make_upstream(tmp_path / "upstream", releases)
    sysroot = make_machine(tmp_path / "sysroot", f"file://{upstream}")
    older = release(upstream, "os/1", "--timestamp=@3000000000")
    release(upstream, "os/2")
    words = "admin", "upgrade", f"--sysroot={sysroot}", "--os=test", "--check"
    assert "--allow-downgrade takes it all the same" in fails(*words, f"--override-commit={older}")
    assert check(sysroot, f"--override-commit={older}", "--allow-downgrade")["commit"]["checksum"] == older
    # The branch ends, and goes on elsewhere.
    release(upstream, "os/1", "--add-metadata-string=ostree.endoflife-rebase=os/3")
    assert "chronologically older" in fails(*words)
    found = check(sysroot, "--allow-downgrade")
    assert (found["ref"], found["commit"]["checksum"]) == ("os/3", ostree(upstream, "rev-parse", "os/3").strip())
    assert "leave out --pull-only" in fails(*words, "--pull-only")
    assert "--json is for --check" in fails(*words[:-1], "--json")


@as_root
def test_a_server_that_says_nothing_of_use(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    upstream = make_upstream(tmp_path / "upstream", releases)
    answers: list[tuple[bytes, int] | int] = []

    def damage(path: str, data: bytes) -> tuple[bytes, int] | int:
        return answers[-1] if answers and path.endswith(".filez") else (data, len(data))

    with hostile(upstream, damage) as url:
        sysroot = make_machine(tmp_path / "sysroot", url)
        release(upstream, "os/4")
        check(sysroot)
        before = picture(sysroot)
        for answer, said in (
            (404, ".filez"),
            ((b"short", 5), "no header size"),
            ((bytes(3) + b"\1" + bytes(6), 10), "ends in its header"),
            ((b"\xff" * 100, 100), "no header size"),
        ):
            answers.append(answer)
            assert said in fails("admin", "upgrade", f"--sysroot={sysroot}", "--os=test", "--check")
            assert picture(sysroot) == before
