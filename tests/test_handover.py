"""A machine in the hands of both tools, with two stateroots; and one in a directory of the running system."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from larix.sysroot import stateroot as stateroot_module
from larix.sysroot.sysroot import Sysroot
from tests.judge import NEWEST, admin, by_c, c_admin, fails, larix, make_os_tree, ostree, picture, release, run_larix
from tests.namespaces import in_namespace
from tests.sysroots import as_root, booting, edit_etc, options_of, refs_of

# What happens, one after the other. `release REF FROM` is done upstream, `edit` by an administrator in /etc, `write`
# by the machine in /var of both stateroots.
STEPS: list[list[str]] = [
    ["deploy", "--os=test", "--karg=root=LABEL=root", "origin:os/stable"],
    ["deploy", "--os=second", "--karg=rw", "--karg=quiet", "origin:os/2"],
    ["write"],
    ["edit"],
    ["release", "os/stable", "os/3"],
    ["upgrade", "--os=test"],
    ["write"],
    ["set-default", "1"],
    ["upgrade", "--os=second"],
    ["release", "os/2", "os/4"],
    ["upgrade", "--os=second"],
    ["edit"],
    ["pin", "1"],
    ["instutil", "set-kargs", "--merge", "--append=console=ttyS0", "--replace=quiet=no"],
    ["set-default", "2"],
    ["deploy", "--os=test", "--karg-append=debug", "origin:os/1"],
    ["write"],
    ["undeploy", "2"],
    ["release", "os/1", "os/2"],
    ["upgrade", "--os=test", "--pull-only"],
    ["set-default", "1"],
    ["upgrade", "--os=test", "--deploy-only"],
    ["undeploy", "0"],
    ["pin", "--unpin", "1"],
    ["cleanup"],
    ["switch", "--os=second", "origin:os/3"],
    ["cleanup"],
    ["undeploy", "1"],
    ["kargs", "edit-in-place", "--append-if-missing=last"],
]


def used(sysroot: Path) -> dict[str, object]:
    """All that boots, without kernels that no entry names.

    The C tool keeps the kernel of a stateroot whose last deployment went as long as another one boots the same.
    """
    entries = "".join(path.read_text() for path in (sysroot / "boot/loader/entries").iterdir())
    found = booting(sysroot)
    kernels = {path for path in found if path.startswith("boot/ostree/") and path.split("/")[2] not in entries}
    return {path: value for path, value in found.items() if path not in kernels}


@as_root
def test_a_machine_with_two_stateroots_goes_back_and_forth(
    tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In three machines: larix alone, the C tool alone, and both in turns, each of them with every kind of step.

    This C tool knows no set-default: larix does it in all three, and the C tool must see what was done.
    """
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    upstream = tmp_path / "upstream"
    ostree(upstream, "init", "--mode=archive")
    ostree(upstream, "pull-local", releases)
    machines = {name: by_c(tmp_path / name, upstream) for name in ("ours", "theirs", "odd", "even")}
    for sysroot in machines.values():
        c_admin(sysroot, "os-init", "second")
    var: dict[str, str] = {}
    for i, (word, *words) in enumerate(STEPS):
        if word == "release":
            branch, source = words
            ostree(upstream, "commit", "-b", branch, f"--tree=ref={source}", f"--timestamp=@{4_000_000_000 + i}")
            continue
        if word == "write":
            for name in "test", "second":
                var[f"{name}/var/lib/state-{i}"] = f"of {name} in step {i}"
        for name, sysroot in machines.items():
            if word == "edit":
                edit_etc(sysroot)
            elif word == "write":
                for path, text in var.items():
                    (sysroot / "ostree/deploy" / path).write_text(text)
            elif word == "set-default" or name == "ours" or (name == "odd" and i % 2) or (name == "even" and not i % 2):
                admin(sysroot, word, *words)
            else:
                c_admin(sysroot, word, *words)
        assert len({admin(sysroot, "status") for sysroot in machines.values()}) == 1, STEPS[i]
        assert admin(machines["ours"], "status") == c_admin(machines["ours"], "status"), STEPS[i]
        if word == "kargs":
            # The C tool writes into the entries that boot, larix swaps them: they say the same.
            said = [[line.replace("boot.1", "boot.0") for line in options_of(one)] for one in machines.values()]
            assert said[0] == said[1] == said[2] == said[3]
            assert "last" in said[0][0]
            continue
        expected = used(machines["theirs"])
        refs = larix(machines["theirs"] / "ostree/repo", "refs", "--list")
        for name, sysroot in machines.items():
            assert used(sysroot) == expected, (name, STEPS[i])
            assert larix(sysroot / "ostree/repo", "refs", "--list") == refs, (name, STEPS[i])
            for stateroot in "test", "second":
                # Which newer C tools make only at the first deploy.
                below = sysroot / f"ostree/deploy/{stateroot}/var/lib"
                found = {f"{stateroot}/var/lib/{path.name}": path.read_text() for path in below.glob("*")}
                assert found == {path: text for path, text in var.items() if path.startswith(f"{stateroot}/")}
    assert len(var) == 6
    for sysroot in machines.values():
        ostree(sysroot / "ostree/repo", "fsck")


def stamps(root: Path, but: Path) -> dict[str, tuple[int, ...]]:
    """When everything below a directory was changed last, but for one directory in it."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted([root, *root.rglob("*")]):
        if path != but and but not in path.parents:
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_nlink, status.st_ctime_ns, status.st_mtime_ns)
    return found


@as_root
@pytest.mark.parametrize("words", [["--modern"], ["--epoch=1"], ["-E", "2"]], ids=" ".join)
def test_nothing_outside_a_sysroot_in_the_running_system_changes(
    words: list[str], tmp_path: Path, releases: Path
) -> None:
    """Beside the directory lies what a machine has; all other file systems can only be read."""
    sysroot = tmp_path / "disk/sysroot"
    for name in "boot/loader/entries", "ostree/repo", "etc", "usr/etc", "var", "sysroot":
        (tmp_path / "disk" / name).mkdir(parents=True)
    (tmp_path / "disk/boot/loader/entries/own.conf").write_text("title Own\nversion 1\nlinux /vmlinuz\n")
    (tmp_path / "disk/etc/passwd").write_text("root\n")
    outside = [(Path("/boot"), sysroot), (tmp_path, sysroot)]
    before = [stamps(*one) for one in outside]

    def work() -> None:
        subprocess.run(["mount", "--bind", sysroot, sysroot], check=True)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            at = Path(line.split()[4].encode().decode("unicode_escape"))
            if at != sysroot and not {Path("/dev"), Path("/proc"), Path("/sys")} & {at, *at.parents}:
                subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "disk/x").touch()
        live(sysroot, releases, words)

    live(sysroot, releases, words)
    assert [stamps(*one) for one in outside] == before
    assert not list((sysroot / "ostree/deploy/test/deploy").iterdir())
    in_namespace(work)
    assert [stamps(*one) for one in outside] == before


def live(sysroot: Path, releases: Path, words: list[str]) -> None:
    """All that a machine does from its first deployment to its last, with the immutable bit."""
    sysroot.mkdir(exist_ok=True)
    if not (sysroot / "ostree").exists():
        admin(sysroot, "init-fs", *words, sysroot)
        admin(sysroot, "os-init", "test")
        larix(sysroot / "ostree/repo", "remote", "add", "--no-gpg-verify", "origin", f"file://{releases}")
    assert sorted(path.name for path in sysroot.iterdir()) == ["boot", "ostree"]
    assert (sysroot / "ostree").stat().st_mode & 0o777 == (0o700 if "2" in words else 0o755)
    larix(sysroot / "ostree/repo", "pull", "origin", "os/1", "os/2", "os/3")
    try:
        admin(sysroot, "deploy", "--os=test", "--karg=rw", "origin:os/1")
        edit_etc(sysroot)
        admin(sysroot, "deploy", "--os=test", "origin:os/2")
        admin(sysroot, "switch", "--os=test", "os/3")
        admin(sysroot, "set-default", "1")
        assert admin(sysroot, "status") == c_admin(sysroot, "status")
        roots = [sysroot / "ostree/deploy/test/deploy" / name for name in refs_of(sysroot)]
        assert len(roots) == 2
        for root in roots:
            with pytest.raises(PermissionError):
                (root / "x").touch()
            assert (root / "etc/changed").read_text() == "by admin"
            # Directories further down are the administrator's.
            (root / "etc/y").touch()
    finally:
        while refs_of(sysroot):
            admin(sysroot, "undeploy", "0")


def test_epochs_that_are_unknown_are_refused(tmp_path: Path) -> None:
    for word in "3", "-1":
        assert f"epoch of sysroots: {word}" in fails("admin", "init-fs", f"--epoch={word}", tmp_path)
    assert "one" in fails("admin", "init-fs", "--epoch=one", tmp_path)
    assert list(picture(tmp_path)) == ["."]


def test_two_that_change_a_sysroot_take_turns(tmp_path: Path) -> None:
    root = tmp_path / "sysroot"
    root.mkdir()
    admin(root, "init-fs", root)
    with Sysroot(str(root)) as sysroot, sysroot.lock():
        who = f"process {os.getpid()} ("
        for timeout in "0", "0.1":
            said = run_larix("admin", "cleanup", f"--sysroot={root}", f"--lock-timeout={timeout}")
            assert (said.status, said.out) == (1, "")
            assert f"error: {root}/ostree/lock is locked by {who}" in said.err
            assert ("Waiting" in said.err) == (timeout != "0")
        words = ["admin", "cleanup", f"--sysroot={root}"]
        process = subprocess.Popen([sys.executable, "-m", "larix", *words], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert who in process.stderr.readline()
    assert process.wait() == 0
    process.stderr.close()


LINK, FILE = -1, -2
# What C 2026.4 makes of an empty /var: name in the tree -> mode there (None for a file), and what is there afterwards.
FIRST_VARS: dict[str, tuple[dict[str, int | None] | None, bool, dict[str, int]]] = {
    "empty": ({}, False, {"lib": 0o755, "log": 0o755, "tmp": 0o1777, "run": LINK, "lock": LINK}),
    "of the tree": (
        {"own": 0o750, "tmp": 0o700, "log": 0o700, "lock": None},
        False,
        {"own": 0o750, "lib": 0o755, "log": 0o700, "tmp": 0o1777, "run": LINK, "lock": FILE},
    ),
    "with tmpfiles.d": ({"own": 0o750}, True, {"own": 0o750}),
    "none": (None, False, {}),
}


@pytest.mark.parametrize("name", FIRST_VARS)
def test_the_first_var(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    inside, tmpfiles, expected = FIRST_VARS[name]
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "var").rmdir()
    for path, mode in ({"": 0o700, **inside} if inside is not None else {}).items():
        if mode is None:
            (tree / "var" / path).touch()
        else:
            (tree / "var" / path).mkdir()
            (tree / "var" / path).chmod(mode)
    if inside and "own" in inside:
        (tree / "var/own/deep").mkdir()
        (tree / "var/own/deep/file").write_text("first")
        (tree / "var/own/link").symlink_to("deep/file")
        os.setxattr(tree / "var/own/deep/file", "user.key", b"value")
    if tmpfiles:
        (tree / "usr/lib/tmpfiles.d").mkdir()
    for tool in admin, c_admin if release() >= NEWEST and os.geteuid() == 0 else admin:
        sysroot = tmp_path / f"sysroot-{tool.__name__}"
        if sysroot.exists():
            continue
        sysroot.mkdir()
        tool(sysroot, "init-fs", sysroot)
        tool(sysroot, "os-init", "test")
        var = sysroot / "ostree/deploy/test/var"
        var.chmod(0o711)
        assert not [*var.iterdir()]
        larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
        tool(sysroot, "deploy", "--os=test", "main")
        found = {path.name: path.lstat() for path in var.iterdir() if path.name != ".ostree-selabeled"}
        kinds = {one: LINK if stat.S_ISLNK(about.st_mode) else FILE for one, about in found.items()}
        modes = {one: stat.S_IMODE(about.st_mode) for one, about in found.items() if stat.S_ISDIR(about.st_mode)}
        assert {**kinds, **modes} == expected
        assert var.stat().st_mode & 0o7777 == 0o711
        assert sorted(path.name for path in var.parent.iterdir()) == ["backing", "deploy", "var"]
        if "own" in expected:
            assert (var / "own/link").read_text() == "first"
            assert (var / "own/deep/file").stat().st_nlink == 1
            assert os.getxattr(var / "own/deep/file", "user.key") == b"value"
            # It is the machine's now: no later tree changes it.
            (var / "own/deep/file").write_text("mine")
            (tree / "var/own/second").touch()
            larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
            tool(sysroot, "deploy", "--os=test", "main")
            (tree / "var/own/second").unlink()
            assert (var / "own/deep/file").read_text() == "mine"
            assert not (var / "own/second").exists()


def test_a_first_deployment_that_fails_leaves_var_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "var/of-the-first").mkdir()
    (tree / "etc/file").mkdir(parents=True)
    larix(sysroot / "ostree/repo", "commit", "-b", "bad", f"--tree=dir={tree}")
    assert "both /etc and" in fails("admin", "deploy", "--os=test", "bad", f"--sysroot={sysroot}")
    assert not [*(sysroot / "ostree/deploy/test/var").iterdir()]
    shutil.rmtree(tree / "etc")
    (tree / "var/of-the-first").rename(tree / "var/of-the-second")
    larix(sysroot / "ostree/repo", "commit", "-b", "good", f"--tree=dir={tree}")
    admin(sysroot, "deploy", "--os=test", "good")
    names = {path.name for path in (sysroot / "ostree/deploy/test/var").iterdir()}
    assert "of-the-second" in names and "of-the-first" not in names


def test_a_var_for_which_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "var/own").mkdir()
    larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
    top = sysroot / "ostree/deploy/test"

    def fill(source: int, target: int) -> None:
        os.mkdir("begun", dir_fd=target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(stateroot_module, "copy_tree", fill)
        said = fails("admin", "deploy", "--os=test", "main", f"--sysroot={sysroot}")
    assert f"{top}/var" in said and "No space left" in said
    assert sorted(path.name for path in top.iterdir()) == ["backing", "deploy", "var"]
    # One that was killed leaves it.
    (top / ".var.new/begun").mkdir(parents=True)
    (top / "var/mine").touch()
    admin(sysroot, "deploy", "--os=test", "main")
    assert not (top / ".var.new").exists()


def test_a_var_that_leads_elsewhere(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not filled: that may be anywhere."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    larix(sysroot / "ostree/repo", "pull-local", releases, "os/2")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (var := sysroot / "ostree/deploy/test/var").rmdir()
    var.symlink_to(elsewhere)
    admin(sysroot, "deploy", "--os=test", "os/2")
    assert not [*elsewhere.iterdir()]


@as_root
def test_a_var_that_is_a_file_system_of_its_own(
    tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be replaced, and is filled where it is."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    larix(sysroot / "ostree/repo", "pull-local", releases, "os/2")
    var = sysroot / "ostree/deploy/test/var"

    def deploy() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", var], check=True)
        admin(sysroot, "deploy", "--os=test", "os/2")
        assert sorted(path.name for path in var.iterdir()) == ["lib", "lock", "log", "run", "tmp"]

    in_namespace(deploy)
    assert sorted(path.name for path in var.parent.iterdir()) == ["backing", "deploy", "var"]


def test_a_place_for_a_transient_root(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As C 2026.4 makes it, and its early boot mounts it."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    (sysroot := tmp_path / "sysroot").mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    tree.chmod(0o751)
    larix(sysroot / "ostree/repo", "commit", "-b", "main", f"--tree=dir={tree}")
    admin(sysroot, "deploy", "--os=test", "main")
    (name,) = refs_of(sysroot)
    backing = sysroot / "ostree/deploy/test/backing"
    modes = {str(path.relative_to(backing)): path.stat().st_mode & 0o7777 for path in [backing, *backing.rglob("*")]}
    place = f"{name}/root-transient"
    assert modes == {".": 0o700, name: 0o700, place: 0o700, f"{place}/upper": 0o751, f"{place}/work": 0o700}
    admin(sysroot, "undeploy", "0")
    assert not [*backing.iterdir()]
