"""Sysroots, beside the C tool: each lists, changes and boots what the other has deployed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from larix.errors import Corrupt
from larix.formats.bootentry import BootEntry
from larix.formats.kargs import KernelArgs
from larix.sysroot import stateroot
from tests.faults import KILL, run_until
from tests.judge import (
    NEWEST,
    admin,
    by_c,
    c_admin,
    fails,
    larix,
    make_os_tree,
    ostree,
    picture,
    release,
    run_larix,
)
from tests.sysroots import as_root, booting, edit_etc, options_of, refs_of, skeleton


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
        assert not [*(ours / "ostree/deploy/test/var").iterdir()]
        assert (ours / "ostree/repo/config").read_text() == (theirs / "ostree/repo/config").read_text()
        assert admin(ours, "status") == c_admin(ours, "status") == "No deployments."


@as_root
def test_what_is_beside_a_deployment_goes_with_it(tmp_path: Path, releases: Path) -> None:
    """A newer C tool keeps there what is written to a transient root."""
    sysroot = by_c(tmp_path / "sysroot", releases)
    for ref in "os/1", "os/2":
        c_admin(sysroot, "deploy", "--os=test", "origin:" + ref)
    kept, dropped = refs_of(sysroot)
    for name in kept, dropped:
        (sysroot / f"ostree/deploy/test/backing/{name}/root-transient/upper").mkdir(parents=True, exist_ok=True)
    admin(sysroot, "undeploy", "1")
    assert [path.name for path in (sysroot / "ostree/deploy/test/backing").iterdir()] == [kept]


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
    ["pin", "2"],
    ["pin", "2", "0"],
    ["deploy", "--os=test", "--retain-pending", "--karg=a=1", "--karg-append=a=2", "--karg-delete=a=1", "origin:os/2"],
    ["pin", "--unpin", "0", "2", "3"],
    ["deploy", "--os=test", "--retain-rollback", "--karg=b", "origin:os/2"],
    ["deploy", "--os=test", "origin:os/2"],
    ["deploy", "--os=test", "origin:os/2"],
    ["deploy", "--os=test", "origin:os/2"],
    ["instutil", "set-kargs", "--merge", "--replace=a=8", "--append=d", "e=1", "e=2"],
    ["deploy", "--os=test", "--overlay-initrd=/etc/passwd", "--overlay-initrd=/etc/group", "origin:os/1"],
    ["deploy", "--os=test", "--no-prune", "origin:os/3"],
    ["instutil", "set-kargs", "x=y", "--replace=x=z", "--append=x=w"],
    ["set-origin", "--index=1", "other", "http://none", "--set=gpg-verify=false"],
    ["set-origin", "--index=0", "other", "http://elsewhere", "os/1"],
    ["pin", "--unpin", "0", "1", "2"],
    ["cleanup"],
    ["undeploy", "0"],
    ["undeploy", "1"],
    ["cleanup"],
    ["undeploy", "0"],
    ["undeploy", "0"],
]


@as_root
def test_both_tools_deploy_alike(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, each in a sysroot of its own."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    ours, theirs = (by_c(tmp_path / name, releases) for name in ("ours", "theirs"))
    for sysroot in ours, theirs:
        c_admin(sysroot, "os-init", "second")
    for step in STEPS:
        if step == ["edit"]:
            for sysroot in ours, theirs:
                edit_etc(sysroot)
            continue
        said = admin(ours, *step).splitlines()
        expected = c_admin(theirs, *step).splitlines()
        assert said == [line for line in expected if not line.startswith("Relabeling")], step
        assert booting(ours) == booting(theirs), step
        for sysroot in ours, theirs:
            assert admin(sysroot, "status") == c_admin(sysroot, "status"), step
        assert larix(ours / "ostree/repo", "refs", "--list") == larix(theirs / "ostree/repo", "refs", "--list"), step
    ostree(ours / "ostree/repo", "fsck")
    assert not list((ours / "ostree/deploy/test/deploy").iterdir())


@as_root
def test_a_deployment_that_ends_before_the_swap(
    tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot = by_c(tmp_path / "sysroot", releases)
    admin(sysroot, "deploy", "--os=test", "origin:os/1")
    before = picture(sysroot)
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments,test-fifreeze")
    said = fails("admin", "deploy", "--os=test", "origin:os/3", f"--sysroot={sysroot}")
    assert "During fsfreeze-thaw: aborting due to test-fifreeze" in said
    assert capfd.readouterr().err == "fifreeze watchdog was run\n"
    assert picture(sysroot) == before


KERNELS: dict[str, dict[str, str]] = {
    "no initramfs": {"usr/lib/modules/6/vmlinuz": "k"},
    "device tree": {
        "usr/lib/modules/6/vmlinuz": "k",
        "usr/lib/modules/6/initramfs.img": "i",
        "usr/lib/modules/6/devicetree": "d",
        "usr/lib/modules/6/dtb/a.dtb": "passed over",
    },
    "device trees": {
        "usr/lib/modules/6/vmlinuz": "k",
        "usr/lib/modules/6/initramfs.img": "i",
        "usr/lib/modules/6/dtb/a.dtb": "other d",
    },
    "hmac": {
        "usr/lib/modules/6/vmlinuz": "k",
        "usr/lib/modules/6/initramfs.img": "i",
        "usr/lib/modules/6/.vmlinuz.hmac": "h",
    },
    "older, before modules": {
        "usr/lib/modules/6/vmlinuz": "m",
        f"usr/lib/ostree-boot/vmlinuz-6.1-{'a' * 64}": "k",
        f"usr/lib/ostree-boot/initramfs-6.1.img-{'a' * 64}": "i",
        f"boot/vmlinuz-6.0-{'b' * 64}": "passed over",
    },
    "oldest": {
        f"boot/vmlinuz-{'c' * 64}": "k",
        f"boot/initramfs-{'c' * 64}": "i",
        f"boot/devicetree-{'c' * 64}": "d",
    },
    "without suffix": {"usr/lib/modules/6/vmlinuz": "k", "usr/lib/modules/6/initramfs": "i"},
    "both suffixes": {
        "usr/lib/modules/6/vmlinuz": "k",
        "usr/lib/modules/6/initramfs": "passed over",
        "usr/lib/modules/6/initramfs.img": "i",
        "usr/lib/modules/6/initrd.img": "passed over",
    },
    "modules, before older": {
        "usr/lib/modules/6/vmlinuz": "k",
        "usr/lib/modules/6/initramfs.img": "i",
        f"usr/lib/ostree-boot/vmlinuz-6.1-{'a' * 64}": "o",
        f"usr/lib/ostree-boot/initramfs-6.1.img-{'a' * 64}": "o",
        f"boot/vmlinuz-6.0-{'b' * 64}": "o",
    },
    "modules without initramfs, before older without": {
        "usr/lib/modules/6/vmlinuz": "k",
        f"usr/lib/ostree-boot/vmlinuz-6.1-{'a' * 64}": "o",
        f"boot/vmlinuz-6.0-{'b' * 64}": "o",
    },
    "modules without initramfs, before oldest": {
        "usr/lib/modules/6/vmlinuz": "k",
        f"boot/vmlinuz-6.0-{'b' * 64}": "o",
        f"boot/initramfs-6.0.img-{'b' * 64}": "o",
    },
    "older without initramfs, before oldest": {
        f"usr/lib/ostree-boot/vmlinuz-6.1-{'d' * 64}": "o",
        f"boot/vmlinuz-6.0-{'e' * 64}": "o",
        f"boot/initramfs-6.0.img-{'e' * 64}": "o",
    },
}
# What of a kernel is no file, so that it cannot be copied to /boot.
NO_FILES = ["vmlinuz", "initramfs.img", "initramfs", "devicetree", "dtb/board.dtb"]


@pytest.mark.parametrize("what", ["link", "directory"])
@pytest.mark.parametrize("place", NO_FILES)
def test_kernels_that_are_no_files(place: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C tool follows symlinks there; what is left out would be missed when it boots."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    path = tree / "usr/lib/modules/6.1.0" / place
    for name in place, "initramfs.img":
        (tree / "usr/lib/modules/6.1.0" / name).unlink(missing_ok=True)
    if what == "link":
        path.parent.mkdir(exist_ok=True)
        (path.parent / "real").write_text("x")
        path.symlink_to("real")
    elif place.startswith("dtb"):
        pytest.skip("there are directories in it")
    else:
        path.mkdir()
    larix(sysroot / "ostree/repo", "commit", "-b", "os", f"--tree=dir={tree}")
    said = fails("admin", "deploy", f"--sysroot={sysroot}", "--os=test", "os")
    assert f"/usr/lib/modules/6.1.0/{place} is a symlink or a directory" in said


@as_root
def test_a_link_to_the_directory_of_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no second kernel."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "usr/lib/modules/newest").symlink_to("6.1.0")
    larix(sysroot / "ostree/repo", "commit", "-b", "os", f"--tree=dir={tree}")
    admin(sysroot, "deploy", "--os=test", "os")
    assert len(refs_of(sysroot)) == 1


@as_root
def test_kernels_of_all_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    origin, ours, theirs = (tmp_path / name for name in ("origin", "ours", "theirs"))
    ostree(origin, "init", "--mode=archive")
    for name, files in KERNELS.items():
        tree = tmp_path / name
        (tree / "usr/etc").mkdir(parents=True)
        for path, text in {**files, "usr/etc/os-release": "ID=test\n"}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        ostree(origin, "commit", "-b", f"os/{name.replace(' ', '-').replace(',', '')}", f"--tree=dir={tree}")
    for sysroot in ours, theirs:
        sysroot.mkdir()
        c_admin(sysroot, "init-fs", sysroot)
        c_admin(sysroot, "os-init", "test")
        ostree(sysroot / "ostree/repo", "pull-local", origin)
    for ref in ostree(origin, "refs", "--list").split():
        for by, sysroot in (admin, ours), (c_admin, theirs):
            by(sysroot, "deploy", "--os=test", "--no-merge", "--karg=root=x", ref)
        assert booting(ours) == booting(theirs), ref
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments,no-dtb")
    admin(ours, "deploy", "--os=test", "--no-merge", "os/device-trees")
    assert "fdtdir" not in (ours / "boot/loader/entries/ostree-1-test.conf").read_text()
    assert "init=" not in options_of(ours)[0]
    # What had no initramfs leaves nothing behind.
    admin(ours, "deploy", "--os=test", "--no-merge", "--karg=quiet", "os/no-initramfs")
    assert "init=/ostree/boot." in options_of(ours)[0]
    admin(ours, "deploy", "--os=test", "os/hmac")
    assert options_of(ours)[0].split()[:2] == ["options", "quiet"]
    assert "init=" not in options_of(ours)[0]


@as_root
def test_kernel_arguments_of_all_deployments(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C tool writes into the entries that boot; larix swaps them, so only what they say is compared."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    ours, theirs = (by_c(tmp_path / name, releases) for name in ("ours", "theirs"))
    for sysroot in ours, theirs:
        c_admin(sysroot, "deploy", "--os=test", "--karg=a=1", "--karg=b", "origin:os/1")
        c_admin(sysroot, "deploy", "--os=test", "--karg-none", "origin:os/2")
    for words in ["a=9", "c=1"], ["c=2"], ["b", "d"], []:
        for by, sysroot in (admin, ours), (c_admin, theirs):
            assert by(sysroot, "kargs", "edit-in-place", *(f"--append-if-missing={word}" for word in words)) == ""
        found = [[options.replace("boot.1/", "boot.0/") for options in options_of(root)] for root in (ours, theirs)]
        assert found[0] == found[1]
    for words in ["kargs"], ["instutil"], ["kargs", "none"]:
        assert "command" in fails("admin", *words)


# Boot loader -> (link in boot, what it was before).
LOADERS = {
    "syslinux": ("syslinux/syslinux.cfg", "PROMPT 1\n\nLABEL other\n\tKERNEL /vmlinuz\n\tAPPEND x\n"),
    "uboot": ("uEnv.txt", "kernel_image=old\n"),
}


@as_root
@pytest.mark.parametrize("name", LOADERS)
def test_boot_loaders(name: str, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    ours, theirs = sysroots = [by_c(tmp_path / side, releases) for side in ("ours", "theirs")]
    link, before = LOADERS[name]
    tree = make_os_tree(tmp_path / "tree", "5", "6.5.0")
    (tree / "usr/lib/ostree-boot").mkdir()
    (tree / "usr/lib/ostree-boot/uEnv.txt").write_text("loadfdt=load ${fdtdir}\n")
    if name == "uboot":
        # The C tool leaves these out for SYSLINUX.
        (tree / "usr/lib/modules/6.5.0/dtb").mkdir()
        (tree / "usr/lib/modules/6.5.0/dtb/board.dtb").write_text("device tree")
    (tree / "usr/lib/modules/6.5.0/initramfs.img").unlink()
    for sysroot in sysroots:
        (sysroot / "boot/loader.0").mkdir()
        (sysroot / "boot/loader").symlink_to("loader.0")
        (sysroot / "boot" / link).parent.mkdir(exist_ok=True)
        (sysroot / "boot" / link).symlink_to(Path("../" * link.count("/")) / "loader" / Path(link).name)
        (sysroot / "boot" / link).write_text(before)
        ostree(sysroot / "ostree/repo", "commit", "-b", "os/5", f"--tree=dir={tree}", "--timestamp=@1600000000")
    for step in (
        ["deploy", "--os=test", "--karg=rw", "origin:os/1"],
        ["deploy", "--os=test", "origin:os/2"],
        ["deploy", "--os=test", "--not-as-default", "--retain", "os/5"],
        ["undeploy", "0"],
        ["deploy", "--os=test", "--karg-none", "origin:os/2"],
        ["deploy", "--os=test", "origin:os/2"],
        ["undeploy", "0"],
        ["undeploy", "0"],
    ):
        said = admin(ours, *step)
        expected = [line for line in c_admin(theirs, *step).splitlines() if "Relabeling" not in line]
        assert said == "\n".join(expected).replace("\xa0", " ")
        assert booting(ours) == booting(theirs), step
    # The administrator's lines stay, where there is room for some.
    assert ("other" in (ours / "boot" / link).read_text()) == (name == "syslinux")


@as_root
@pytest.mark.parametrize("place", ["loader/uEnv.txt", "uEnv.txt", "syslinux/syslinux.cfg", "loader/syslinux.cfg"])
def test_what_shows_a_boot_loader(place: str, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a link to it, as images have it before anything is deployed."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    ours, theirs = sysroots = [by_c(tmp_path / side, releases) for side in ("ours", "theirs")]
    for sysroot in sysroots:
        (sysroot / "boot/loader.0").mkdir()
        (sysroot / "boot/loader").symlink_to("loader.0")
        (sysroot / "boot" / place).parent.mkdir(exist_ok=True)
        (sysroot / "boot" / place).write_text(LOADERS["syslinux"][1])
    for step in ["deploy", "--os=test", "--karg=rw", "origin:os/1"], ["deploy", "--os=test", "origin:os/2"]:
        said = admin(ours, *step)
        expected = [line for line in c_admin(theirs, *step).splitlines() if "Relabeling" not in line]
        assert said == "\n".join(expected).replace("\xa0", " ")
        assert booting(ours) == booting(theirs), step


def test_boot_loaders_that_are_missing_are_refused(tmp_path: Path, releases: Path) -> None:
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    repo = tmp_path / "ostree/repo"
    larix(repo, "pull-local", "--remote=origin", releases)
    deploy = ["admin", "deploy", f"--sysroot={tmp_path}", "--os=test", "origin:os/1"]
    for place in "grub/grub.cfg", "grub2/grub.cfg", "efi/EFI/debian/grub.cfg":
        path = tmp_path / "boot" / place
        path.parent.mkdir(parents=True)
        path.symlink_to("../loader/grub.cfg")
        assert f"boot/{place}: larix cannot write the configuration of grub2" in fails(*deploy)
        path.unlink()
    path.touch()
    assert not list((tmp_path / "boot").glob("loader*"))
    for name in "zipl", "nonsense":
        config = (repo / "config").read_text().replace("[sysroot]", "").split("bootloader=")[0]
        (repo / "config").write_text(f"{config}[sysroot]\nbootloader={name}\n")
        assert name in fails(*deploy)
    larix(repo, "config", "set", "sysroot.bootloader", "none")
    try:
        assert run_larix(*deploy).status == 0
    finally:
        while refs_of(tmp_path):
            admin(tmp_path, "undeploy", "0")


def test_a_deploy_that_fails_changes_nothing_that_boots(tmp_path: Path, releases: Path) -> None:
    sysroot = tmp_path / "sysroot"
    sysroot.mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    repo = sysroot / "ostree/repo"
    larix(repo, "pull-local", "--remote=origin", releases)
    changes: list[tuple[str, Callable[[Path], object]]] = [
        ("kernel", lambda tree: (tree / "usr/lib/modules/6.1.0/vmlinuz").unlink()),
        ("kernels", lambda tree: shutil.copytree(tree / "usr/lib/modules/6.1.0", tree / "usr/lib/modules/6.3")),
        ("etc", lambda tree: (tree / "usr/etc").rename(tree / "usr/noetc")),
        ("both", lambda tree: (tree / "etc/file").mkdir(parents=True)),
    ]
    for name, change in changes:
        tree = make_os_tree(tmp_path / name, "1", "6.1.0")
        change(tree)
        larix(repo, "commit", "-b", name, f"--tree=dir={tree}")
    try:
        admin(sysroot, "deploy", "--os=test", "origin:os/1")
        edit_etc(sysroot)
        (sysroot / "ostree/lock").touch()
        before = booting(sysroot)
        for words, said in (
            (["deploy", "--os=nothing", "origin:os/1"], "No such stateroot: nothing"),
            (["deploy", "origin:os/1"], "--os="),
            (["deploy", "--os=test", "nothing"], "nothing"),
            (["deploy", "--os=test", "--karg-delete=none", "origin:os/1"], "none"),
            (["deploy", "--os=test", "kernel"], "has no kernel"),
            (["deploy", "--os=test", "kernels"], "2 kernels"),
            (["deploy", "--os=test", "etc"], "/usr/etc"),
            (["deploy", "--os=test", "both"], "both"),
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


def test_an_entry_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    (tmp_path / "boot/loader.0/entries").mkdir(parents=True)
    (tmp_path / "boot/loader").symlink_to("loader.0")
    (tmp_path / "boot/loader/entries/ostree-1.conf").write_bytes(b"x" * ((1 << 20) + 1))
    for command in "status", "cleanup":
        assert "boot/loader/entries/ostree-1.conf" in fails("admin", command, f"--sysroot={tmp_path}")


# What stands in ostree-2.conf in place of `version 2`, where ostree-1.conf has `version 1`.
VERSIONS = ["version abc", "version 1.9", "version 1_0", "version 99999999999999999999999", "version 010", "version -1"]


@as_root
@pytest.mark.parametrize("version", VERSIONS)
def test_the_order_of_versions(version: str, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rules of strverscmp, by which boot loaders find what to boot."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot = by_c(tmp_path / "sysroot", releases)
    for ref in "os/1", "os/2":
        admin(sysroot, "deploy", "--os=test", f"origin:{ref}")
    second = sysroot / "boot/loader/entries/ostree-2.conf"
    second.write_text(second.read_text().replace("version 2", version))
    assert admin(sysroot, "status") == c_admin(sysroot, "status")


def test_entries_of_one_version(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names say which comes first; one that stands twice is there once, and nothing that boots is deleted."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    larix(tmp_path / "ostree/repo", "pull-local", "--remote=origin", releases)
    for ref in "os/1", "os/2":
        admin(tmp_path, "deploy", "--os=test", f"origin:{ref}")
    entries = tmp_path / "boot/loader/entries"
    for path in entries.iterdir():
        path.write_text(re.sub("version .*", "version 1", path.read_text()))
    shutil.copy(entries / "ostree-2.conf", entries / "ostree-10.conf")
    os.mkfifo(entries / "ostree-4.conf")
    (entries / "ostree-5.conf").mkdir()
    assert re.findall("refspec: (.*)", admin(tmp_path, "status")) == ["origin:os/2", "origin:os/1"]
    assert "expected < 2" in fails("admin", "undeploy", "2", f"--sysroot={tmp_path}")
    admin(tmp_path, "deploy", "--os=test", "origin:os/3")
    assert re.findall("refspec: (.*)", admin(tmp_path, "status")) == ["origin:os/3", "origin:os/2"]
    (entries / "ostree-9.conf").symlink_to("nowhere")
    assert "ostree-9.conf: No such file" in fails("admin", "status", f"--sysroot={tmp_path}")


def test_a_loader_that_is_no_link(tmp_path: Path) -> None:
    admin(tmp_path, "init-fs", tmp_path)
    (tmp_path / "boot/loader").mkdir()
    assert "boot/loader is no symlink" in fails("admin", "status", f"--sysroot={tmp_path}")


@pytest.mark.parametrize(
    "words", [["deploy", "--os=test", "--karg={}", "origin:os/1"], ["instutil", "set-kargs", "{}"]]
)
def test_arguments_that_no_entry_may_have(
    words: list[str], tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The C tool would not open the sysroot any more."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    larix(tmp_path / "ostree/repo", "pull-local", "--remote=origin", releases)
    admin(tmp_path, "deploy", "--os=test", "--karg=é", "origin:os/2")
    before = booting(tmp_path)
    said = fails("admin", *(word.format("x=\udcff") for word in words), f"--sysroot={tmp_path}")
    assert "is not UTF-8 text" in said
    assert booting(tmp_path) == before


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
    with pytest.raises(Corrupt, match=r"Invalid ostree= argument '/ostree/boot\.2/os/abc/0'"):
        _ = BootEntry.parse("options ostree=/ostree/boot.2/os/abc/0\n").target
    assert BootEntry.parse("version x\n").version == 0


@as_root
def test_a_tree_whose_usr_leads_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is found, and /etc would be moved to where that symlink leads."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (outside := tmp_path / "outside").mkdir()
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "boot/vmlinuz-1").write_text("kernel")
    shutil.move(tree / "usr/etc", tree / "etc")
    shutil.rmtree(tree / "usr")
    (tree / "usr").symlink_to(outside)
    boot = hashlib.sha256(b"kernel").hexdigest()
    (tree / "boot/vmlinuz-1").rename(tree / f"boot/vmlinuz-1-{boot}")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
    assert "has no directory /usr" in fails("admin", "deploy", f"--sysroot={sysroot}", "--os=test", "main")
    assert not [*outside.iterdir()]


def test_two_that_make_one_stateroot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)

    def second(name: str, mode: int, dir_fd: int) -> None:
        said.append(fails("admin", "os-init", "test", f"--sysroot={sysroot}"))
        make(name, mode, dir_fd)

    said: list[str] = []
    make = stateroot._make
    monkeypatch.setattr(stateroot, "_make", second)
    admin(sysroot, "os-init", "test")
    assert "another process" in said[0]
    assert (sysroot / "ostree/deploy/test/var").is_dir()
    assert [path.name for path in (sysroot / "ostree/deploy").iterdir()] == ["test"]


def test_a_stateroot_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    changes = run_until(0, 0, "admin", "os-init", "test", f"--sysroot={sysroot}").changes
    made = picture(sysroot)
    for at in range(1, changes + 1):
        shutil.rmtree(sysroot / "ostree/deploy")
        (sysroot / "ostree/deploy").mkdir()
        run_until(KILL, at, "admin", "os-init", "test", f"--sysroot={sysroot}")
        if not (sysroot / "ostree/deploy/test").exists():
            admin(sysroot, "os-init", "test")
        assert picture(sysroot).keys() == made.keys(), at


@pytest.mark.parametrize("bootloader", ["none", "syslinux", "uboot"])
def test_paths_in_entries_with_a_prefix(
    bootloader: str, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sysroot.bootprefix, for boot loaders that see /boot as a directory; by C 2026.4, and read by each."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    repo = sysroot / "ostree/repo"
    larix(repo, "pull-local", "--remote=origin", releases)
    (overlay := tmp_path / "overlay.img").write_text("overlay")
    (sysroot / "boot/syslinux").mkdir()
    if bootloader == "syslinux":
        (sysroot / "boot/syslinux/syslinux.cfg").symlink_to("../loader/syslinux.cfg")
    larix(repo, "config", "set", "sysroot.bootloader", bootloader)

    def paths() -> list[str]:
        lines = "".join(path.read_text() for path in (sysroot / "boot/loader/entries").iterdir()).splitlines()
        return [line.split()[1] for line in lines if line.split()[0] in ("linux", "initrd")]

    admin(sysroot, "deploy", "--os=test", f"--overlay-initrd={overlay}", "origin:os/1")
    assert len(paths()) == 3 and all(path.startswith("/ostree/") for path in paths())
    larix(repo, "config", "set", "sysroot.bootprefix", "true")
    admin(sysroot, "deploy", "--os=test", "origin:os/2")
    with_prefix = paths()
    assert len(with_prefix) == 5 and all(path.startswith("/boot/ostree/") for path in with_prefix)
    for path in with_prefix:
        assert (sysroot / path.lstrip("/")).is_file()
    for config in (sysroot / "boot/loader").glob("*.*"):
        assert "/boot/ostree/" in config.read_text() and "/boot/boot/" not in config.read_text()
    assert len(refs_of(sysroot)) == 2
    assert admin(sysroot, "status") == c_admin(sysroot, "status")
    # Nothing of what boots is taken for unneeded.
    before = picture(sysroot / "boot")
    admin(sysroot, "cleanup")
    assert picture(sysroot / "boot") == before
    if os.geteuid() == 0:
        c_admin(sysroot, "deploy", "--os=test", "--retain", "origin:os/3")
        assert len(refs_of(sysroot)) == 3
        assert all(path.startswith("/boot/ostree/") for path in paths()) == (release() >= NEWEST)
        admin(sysroot, "deploy", "--os=test", "--retain", "origin:os/4")
        assert all(path.startswith("/boot/ostree/") for path in paths())
    larix(repo, "config", "set", "sysroot.bootprefix", "false")
    admin(sysroot, "deploy", "--os=test", "--karg=x", "origin:os/4")
    assert all(path.startswith("/ostree/") for path in paths())
    text = (repo / "config").read_text()
    (repo / "config").write_text(text.replace("bootprefix=false", "bootprefix=perhaps"))
    said = fails("admin", "deploy", "--os=test", "--karg=y", "origin:os/4", f"--sysroot={sysroot}")
    assert "bootprefix" in said and "perhaps" in said


def test_a_tree_with_an_empty_etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one has that a container may run, too: C 2026.4 takes it, if the other has the defaults."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "etc").mkdir()
    for _ in range(2):
        larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
        admin(sysroot, "deploy", "--os=test", "main")
        first = sysroot / "ostree/deploy/test/deploy" / refs_of(sysroot)[0]
        assert (first / "etc/same").read_text() == (tree / "usr/etc/same").read_text()
    (tree / "etc").rmdir()
    (tree / "etc").symlink_to("usr/etc")
    larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
    assert "has both /etc and /usr/etc" in fails("admin", "deploy", "--os=test", "main", f"--sysroot={sysroot}")
