"""Sysroots, beside the C tool: each lists, changes and boots what the other has deployed."""

import json
import os
from pathlib import Path

import pytest

from larix.formats.bootentry import BootEntry
from larix.formats.kargs import KernelArgs
from tests.judge import admin, c_admin, fails, make_os_tree, ostree, picture, run_larix

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the C tool deploys only as root")


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive repo with three releases: the branches os/1, os/2 (the same kernel) and os/3 (another)."""
    top = tmp_path_factory.mktemp("releases")
    repo = top / "repo"
    ostree(repo, "init", "--mode=archive")
    for version, kernel in ("1", "6.1.0"), ("2", "6.1.0"), ("3", "6.2.0"):
        tree = make_os_tree(top / version, version, kernel)
        for branch in f"os/{version}", *(["os/stable"] if version == "1" else []):
            words = ["-b", branch, f"--tree=dir={tree}", f"--add-metadata-string=version={version}.0"]
            ostree(repo, "commit", *words, "--owner-uid=0", "--owner-gid=0")
    return repo


def by_c(path: Path, releases: Path) -> Path:
    """A sysroot that the C tool made, without deployments."""
    path.mkdir()
    c_admin(path, "init-fs", path)
    c_admin(path, "os-init", "test")
    ostree(path / "ostree/repo", "remote", "add", "--no-gpg-verify", "origin", f"file://{releases}")
    ostree(path / "ostree/repo", "pull", "origin", "os/1", "os/2", "os/3", "os/stable")
    return path


def skeleton(sysroot: Path) -> dict[str, object]:
    """A sysroot without what is in its repo."""
    return {path: found for path, found in picture(sysroot).items() if not path.startswith("ostree/repo/")}


@as_root
def test_a_new_sysroot_is_that_of_the_c_tool(tmp_path: Path) -> None:
    for words in [], ["--modern"]:
        ours, theirs = (tmp_path / f"{name}{len(words)}" for name in ("ours", "theirs"))
        for path in ours, theirs:
            path.mkdir()
        admin(ours, "init-fs", *words, ours)
        c_admin(theirs, "init-fs", *words, theirs)
        admin(ours, "os-init", "test")
        admin(ours, "stateroot-init", "second")
        c_admin(theirs, "os-init", "test")
        c_admin(theirs, "os-init", "second")
        assert skeleton(ours) == skeleton(theirs)
        assert (ours / "ostree/repo/config").read_text() == (theirs / "ostree/repo/config").read_text()
        assert admin(ours, "status") == c_admin(ours, "status") == "No deployments."


@as_root
def test_status_of_what_the_c_tool_deployed(tmp_path: Path, releases: Path) -> None:
    sysroot = by_c(tmp_path / "sysroot", releases)
    c_admin(sysroot, "os-init", "second")
    c_admin(sysroot, "deploy", "--os=test", "--karg=root=LABEL=root", "origin:os/1")
    c_admin(sysroot, "deploy", "--os=second", "--karg=rw", "origin:os/3")
    c_admin(sysroot, "deploy", "--os=test", "origin:os/2")
    c_admin(sysroot, "pin", "1")
    (next((sysroot / "ostree/deploy/second/deploy").glob("*.origin"))).unlink()
    assert admin(sysroot, "status") == c_admin(sysroot, "status")
    found = json.loads(admin(sysroot, "status", "--json"))["deployments"]
    assert [(one["stateroot"], one["version"], one["refspec"], one["booted"]) for one in found] == [
        ("test", "2.0", "origin:os/2", False),
        ("second", "3.0", None, False),
        ("test", "1.0", "origin:os/1", False),
    ]


def test_what_is_no_sysroot_is_refused(tmp_path: Path) -> None:
    assert "nowhere" in fails("admin", "status", f"--sysroot={tmp_path / 'nowhere'}")
    assert "init-fs" in fails("admin", "status", f"--sysroot={tmp_path}")
    assert "nowhere" in fails("admin", "init-fs", tmp_path / "nowhere")
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    before = picture(tmp_path)
    for name, said in ("test", "already"), ("../x", "../x"), ("", "''"):
        assert said in fails("admin", "os-init", f"--sysroot={tmp_path}", name)
    assert picture(tmp_path) == before
    (tmp_path / "boot/loader").symlink_to("elsewhere")
    assert "elsewhere" in fails("admin", "status", f"--sysroot={tmp_path}")
    assert run_larix("admin").status == 1


def test_kernel_arguments() -> None:
    args = KernelArgs.parse(' root=LABEL=root  rw dyndbg="file a.c +p; b" console=tty0 console=ttyS0 quiet ')
    assert args.arguments == (
        "root=LABEL=root",
        "rw",
        'dyndbg="file a.c +p; b"',
        "console=tty0",
        "console=ttyS0",
        "quiet",
    )
    assert KernelArgs.parse(str(args)) == args
    assert KernelArgs.parse('a="b').arguments == ('a="b',)
    assert args.find("root") == "LABEL=root"
    assert args.find("rw") == ""
    assert args.find("none") is None
    assert args.replace("console=x").arguments[3:] == ("console=x", "quiet")
    assert args.replace("new").arguments[-1] == "new"
    assert args.append(["quiet"]).arguments[-2:] == ("quiet", "quiet")
    assert args.delete("console=ttyS0").arguments[3:] == ("console=tty0", "quiet")
    assert args.delete("rw").arguments[:2] == ("root=LABEL=root", 'dyndbg="file a.c +p; b"')
    assert args.without("console").arguments[3:] == ("quiet",)


def test_boot_entries_keep_what_they_do_not_know() -> None:
    text = "title A b\nversion 3\n# a remark\noptions root=x ostree=/ostree/boot.1/os/abc/0\nclass  x\nlinux /k\n"
    entry = BootEntry.parse(text)
    assert str(entry) == text.replace("# a remark\n", "").replace("class  x", "class x")
    assert (entry.version, entry.find("linux"), entry.find("initrd")) == (3, "/k", None)
    assert str(entry.target) == "/ostree/boot.1/os/abc/0"
    assert entry.set("version", "4").version == 4
    assert entry.set("initrd", "/i").pairs[-1] == ("initrd", "/i")
    assert BootEntry.parse("options ostree=/ostree/boot.2/os/abc/0\n").target is None
    assert BootEntry.parse("version x\n").version == 0
