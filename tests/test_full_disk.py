"""Deployments where the disk, or /boot, is full: one clear error, what boots untouched, the space free again."""

import os
from pathlib import Path

import pytest

from tests.judge import admin, c_admin, fails, larix, ostree, picture, run_larix
from tests.namespaces import in_namespace, mount, needs_loop

BLOCK = 4096


def make_sysroot(path: Path, releases: Path) -> None:
    """With os/1 deployed, and the other releases in its repo."""
    admin(path, "init-fs", path)
    admin(path, "os-init", "test")
    larix(path / "ostree/repo", "remote", "add", "--no-gpg-verify", "origin", f"file://{releases}")
    larix(path / "ostree/repo", "pull", "origin", "os/1", "os/2", "os/3", "os/4")
    admin(path, "deploy", "--os=test", "--karg=rw", "origin:os/1")


def skeleton(path: Path) -> dict[str, object]:
    return {name: found for name, found in picture(path).items() if not name.startswith("ostree/repo/tmp")}


def fill(filler: Path, blocks: int) -> None:
    """Let a file take all of its file system but so many blocks."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(BLOCK))
        except OSError:
            os.fsync(file.fileno())
        file.truncate(max(file.tell() - blocks * BLOCK, 0))
        os.fsync(file.fileno())


@needs_loop
def test_full_disk(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ever more space, until it is enough: so each step of a deployment is met by the end of it."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot, filler = tmp_path / "sysroot", tmp_path / "sysroot/filler"

    def work() -> None:
        mount(tmp_path / "image", 24, sysroot)
        make_sysroot(sysroot, releases)
        before = skeleton(sysroot)
        for blocks in range(200):
            fill(filler, blocks)
            free = os.statvfs(sysroot).f_bfree, os.statvfs(sysroot).f_ffree
            done = run_larix("admin", "deploy", "--os=test", "origin:os/4", f"--sysroot={sysroot}")
            if done.status == 0:
                break
            assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
            assert "No space left on device" in done.err
            assert (os.statvfs(sysroot).f_bfree, os.statvfs(sysroot).f_ffree) == free
            filler.unlink()
            assert skeleton(sysroot) == before
        assert 5 < blocks < 199
        filler.unlink()
        assert admin(sysroot, "status") == c_admin(sysroot, "status")
        assert len(list((sysroot / "boot/loader/entries").iterdir())) == 2
        ostree(sysroot / "ostree/repo", "fsck")

    in_namespace(work)


@needs_loop
def test_full_boot(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot, boot = tmp_path / "sysroot", tmp_path / "sysroot/boot"
    sysroot.mkdir()

    def work() -> None:
        mount(tmp_path / "image", 2, boot)
        make_sysroot(sysroot, releases)
        fill(boot / "filler", 4)
        before = picture(sysroot)
        said = fails("admin", "deploy", "--os=test", "origin:os/4", f"--sysroot={sysroot}")
        assert "Not enough space in /boot: 72 KiB are needed for the kernel" in said
        assert picture(sysroot) == before
        # The same kernel needs no room; nor does another when there is some.
        admin(sysroot, "deploy", "--os=test", "origin:os/2")
        (boot / "filler").unlink()
        admin(sysroot, "deploy", "--os=test", "origin:os/4")
        assert admin(sysroot, "status") == c_admin(sysroot, "status")

    in_namespace(work)
