"""Sysroots, beside the C tool: each lists, changes and boots what the other has deployed."""

import json
import os
import shutil
from pathlib import Path

import pytest

from larix.formats.bootentry import BootEntry
from larix.formats.kargs import KernelArgs
from tests.judge import admin, c_admin, fails, larix, make_os_tree, ostree, picture, run_larix

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the C tool deploys only as root")


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive repo with the branches os/1, os/2 (the same kernel), os/3 and os/4 (other kernels)."""
    top = tmp_path_factory.mktemp("releases")
    repo = top / "repo"
    ostree(repo, "init", "--mode=archive")
    for version, kernel in ("1", "6.1.0"), ("2", "6.1.0"), ("3", "6.2.0"), ("4", "6.4.0"):
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
    ostree(path / "ostree/repo", "pull", "origin", "os/1", "os/2", "os/3", "os/4", "os/stable")
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


def edit_etc(sysroot: Path) -> None:
    """What an administrator does, in the deployment that boots first."""
    lines = next(iter(sorted((sysroot / "boot/loader/entries").glob("*.conf"), reverse=True))).read_text()
    target = next(word for word in lines.split() if word.startswith("ostree=")).removeprefix("ostree=/")
    etc = (sysroot / target).resolve() / "etc"
    (etc / "changed").write_text("by admin")
    (etc / "sub/removed").unlink(missing_ok=True)
    (etc / "own/deep").mkdir(parents=True, exist_ok=True)
    (etc / "own").chmod(0o700)
    (etc / "own/deep/file").write_text("own")
    (etc / "own/link").unlink(missing_ok=True)
    (etc / "own/link").symlink_to("nowhere")
    (etc / "same").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(etc / "own/deep/file", 12, 34)
        os.setxattr(etc / "own/deep/file", "user.key", b"value")


def booting(sysroot: Path) -> dict[str, object]:
    """All that boots, but for what the C tool names otherwise or marks for SELinux."""
    found = {}
    for path, value in skeleton(sysroot).items():
        if path.endswith((".ostree-selabeled", "ostree/lock", "ostree/boot")):
            continue
        if "/entries/" in path:
            path = path.replace("-test.conf", ".conf").replace("-second.conf", ".conf")
        found[path] = value
    return found


STEPS: list[list[str]] = [
    ["deploy", "--os=test", "--karg=root=LABEL=root", "--karg=rw", "--karg-append=console=tty0", "origin:os/stable"],
    ["deploy", "--os=test", "origin:os/2"],
    ["edit"],
    ["deploy", "--os=second", "--karg=rw", "origin:os/4"],
    ["deploy", "--os=test", "--karg-append=quiet", "--karg=root=x", "--karg-delete=console=tty0", "origin:os/3"],
    ["undeploy", "2"],
    ["edit"],
    ["deploy", "--os=test", "--no-merge", "--karg=new", "origin:os/3"],
    ["deploy", "--os=test", "--retain", "origin:os/3"],
    ["deploy", "--os=test", "--not-as-default", "--retain", "--karg-none", "origin:os/1"],
    ["undeploy", "0"],
    ["undeploy", "1"],
    ["cleanup"],
    ["undeploy", "0"],
    ["undeploy", "0"],
]


@as_root
def test_both_tools_deploy_alike(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step in two sysroots; in a third they take turns."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    ours, theirs, mixed = (by_c(tmp_path / name, releases) for name in ("ours", "theirs", "mixed"))
    for sysroot in ours, theirs, mixed:
        c_admin(sysroot, "os-init", "second")
    for i, step in enumerate(STEPS):
        if step == ["edit"]:
            for sysroot in ours, theirs, mixed:
                edit_etc(sysroot)
            continue
        said = admin(ours, *step).splitlines()
        expected = c_admin(theirs, *step).splitlines()
        (admin if i % 2 else c_admin)(mixed, *step)
        assert said == [line for line in expected if not line.startswith(("Relabeling", "Freed"))], step
        assert booting(ours) == booting(theirs) == booting(mixed), step
        for sysroot in ours, theirs, mixed:
            assert admin(sysroot, "status") == c_admin(sysroot, "status"), step
        assert larix(ours / "ostree/repo", "refs", "--list") == larix(theirs / "ostree/repo", "refs", "--list"), step
    ostree(ours / "ostree/repo", "fsck")
    assert not list((ours / "ostree/deploy/test/deploy").iterdir())


def test_upgrade_and_rollback(tmp_path: Path, releases: Path) -> None:
    """As anybody; as root with the immutable bit."""
    upstream, sysroot = tmp_path / "upstream", tmp_path / "sysroot"
    ostree(upstream, "init", "--mode=archive")
    ostree(upstream, "pull-local", releases)
    sysroot.mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    repo = sysroot / "ostree/repo"
    larix(repo, "remote", "add", "--no-gpg-verify", "origin", f"file://{upstream}")
    larix(repo, "pull", "origin", "os/stable")
    try:
        admin(sysroot, "deploy", "--os=test", "--karg=rw", "origin:os/stable")
        assert admin(sysroot, "upgrade", "--os=test") == "No update available."
        edit_etc(sysroot)
        (sysroot / "ostree/deploy/test/var/state").write_text("kept")
        old = refs_of(sysroot)
        ostree(upstream, "commit", "--tree=ref=os/3", "-b", "os/stable", "--add-metadata-string=version=3.0")
        assert admin(sysroot, "upgrade", "--os=test", "--pull-only") == ""
        assert refs_of(sysroot) == old
        assert "2 modified, 1 removed, 4 added" in admin(sysroot, "upgrade", "--os=test", "--deploy-only")
        new, before = (sysroot / "ostree/deploy/test/deploy" / name for name in refs_of(sysroot))
        assert (new / "etc/changed").read_text() == "by admin"
        assert (new / "etc/new").read_text() == "default 3"
        assert (before / "etc/new").read_text() == "default 1"
        assert not (new / "etc/sub/removed").exists()
        assert (sysroot / "ostree/deploy/test/var/state").read_text() == "kept"
        if os.geteuid() == 0:
            with pytest.raises(PermissionError):
                (new / "x").touch()
        admin(sysroot, "set-default", "1")
        assert refs_of(sysroot) == [before.name, new.name]
        ostree(upstream, "commit", "--tree=ref=os/2", "-b", "os/stable", "--timestamp=2001-01-01 00:00:00 +0000")
        assert "--allow-downgrade" in fails("admin", "upgrade", "--os=test", f"--sysroot={sysroot}")
        assert refs_of(sysroot) == [before.name, new.name]
        admin(sysroot, "upgrade", "--os=test", "--allow-downgrade")
        assert len(refs_of(sysroot)) == 2
    finally:
        while refs_of(sysroot):
            admin(sysroot, "undeploy", "0")


def refs_of(sysroot: Path) -> list[str]:
    """The names of the deployments, as they boot."""
    found = json.loads(admin(sysroot, "status", "--json"))["deployments"]
    return [f"{one['checksum']}.{one['serial']}" for one in found]


def test_a_deploy_that_fails_changes_nothing_that_boots(tmp_path: Path, releases: Path) -> None:
    sysroot = tmp_path / "sysroot"
    sysroot.mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    repo = sysroot / "ostree/repo"
    larix(repo, "pull-local", "--remote=origin", releases)
    for name, change in (
        ("kernel", lambda tree: (tree / "usr/lib/modules/6.1.0/vmlinuz").unlink()),
        ("kernels", lambda tree: shutil.copytree(tree / "usr/lib/modules/6.1.0", tree / "usr/lib/modules/6.3")),
        ("etc", lambda tree: (tree / "usr/etc").rename(tree / "usr/noetc")),
        ("both", lambda tree: (tree / "etc").mkdir()),
        ("conflict", lambda tree: ((tree / "usr/etc/changed").unlink(), (tree / "usr/etc/changed").mkdir())),
    ):
        tree = make_os_tree(tmp_path / name, "1", "6.1.0")
        change(tree)
        larix(repo, "commit", "-b", name, f"--tree=dir={tree}")
    try:
        admin(sysroot, "deploy", "--os=test", "origin:os/1")
        edit_etc(sysroot)
        (sysroot / "ostree/lock").touch()
        before = booting(sysroot)
        for words, said in (
            (["deploy", "--os=nothing", "origin:os/1"], "os-init nothing"),
            (["deploy", "origin:os/1"], "--os="),
            (["deploy", "--os=test", "nothing"], "nothing"),
            (["deploy", "--os=test", "--karg-delete=none", "origin:os/1"], "none"),
            (["deploy", "--os=test", "kernel"], "0 kernels"),
            (["deploy", "--os=test", "kernels"], "2 kernels"),
            (["deploy", "--os=test", "etc"], "/usr/etc"),
            (["deploy", "--os=test", "both"], "both"),
            (["deploy", "--os=test", "conflict"], "/etc/changed"),
            (["undeploy", "1"], "expected < 1"),
            (["undeploy", "x"], "x"),
            (["set-default", "-1"], "-1"),
            (["upgrade", "--os=test"], '"origin" not found'),
            (["upgrade", "--os=none"], "none"),
        ):
            assert said in fails("admin", *words, f"--sysroot={sysroot}"), words
            admin(sysroot, "cleanup")
            assert booting(sysroot) == before, words
    finally:
        while refs_of(sysroot):
            admin(sysroot, "undeploy", "0")


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
