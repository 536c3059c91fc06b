"""What a cleanup removes, and what it never does."""

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from larix import gvariant
from larix.errors import Corrupt, Invalid, Moved, NotFound
from larix.formats.kargs import KernelArgs
from larix.formats.runfiles import decode_booted, decode_staged
from larix.gvariant import Variant
from larix.linux import writing
from larix.sysroot import running
from larix.sysroot.bootswap import write_deployments
from larix.sysroot.cleanup import cleanup, execute_cleanup, plan_cleanup
from larix.sysroot.deploy import deploy, find_source
from larix.sysroot.deployment import Target
from larix.sysroot.make import DeployOptions
from larix.sysroot.origin import origin_of, set_pinned, write_origin
from larix.sysroot.sysroot import Sysroot, SysrootOptions
from tests.booted import TOP_LINKS, Machine
from tests.judge import admin, fails, larix, make_os_tree, ostree, picture, run_c, run_larix
from tests.namespaces import in_namespace
from tests.sysroots import as_root, options_of, refs_of

# As the environment says for the command line: such trees are removed with the rest.
MUTABLE = SysrootOptions(mutable=True)
KERNELS = {"1": "6.1.0", "2": "6.2.0", "3": "6.3.0"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sysroot with releases 2 and 1 of `test` deployed, each with a kernel of its own, and 3 in its repo."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot = tmp_path / "sysroot"
    sysroot.mkdir()
    admin(sysroot, "init-fs", sysroot)
    admin(sysroot, "os-init", "test")
    for version, kernel in KERNELS.items():
        tree = make_os_tree(tmp_path / version, version, kernel)
        for name, target in TOP_LINKS.items():
            (tree / name).symlink_to(target)
        larix(sysroot / "ostree/repo", "commit", "-b", f"os/{version}", f"--tree=dir={tree}")
    admin(sysroot, "deploy", "--os=test", "os/1")
    admin(sysroot, "deploy", "--os=test", "os/2")
    for version in KERNELS:
        (sysroot / f"ostree/repo/refs/heads/os/{version}").rename(sysroot / f"ref{version}")
    (sysroot / "ref3").rename(sysroot / "ostree/repo/refs/heads/os/3")
    return sysroot


def paths_of(sysroot: Path) -> list[str]:
    return [f"ostree/deploy/test/deploy/{name}" for name in refs_of(sysroot)]


def drop(sysroot: Path, index: int) -> str:
    """Take a deployment out of the list, and leave its tree; its path."""
    with Sysroot(str(sysroot), MUTABLE) as opened, opened.lock():
        dropped = opened.deployments[index]
        write_deployments(opened, [one for one in opened.deployments if one != dropped])
    return dropped.path


@as_root
def test_a_tree_that_is_gone_can_be_undeployed(machine: Path) -> None:
    gone = machine / paths_of(machine)[1]
    gone.rename(machine / "elsewhere")
    assert "No such file" in run_c("admin", "status", f"--sysroot={machine}", check=False).stderr
    assert f"    Missing: {gone}" in admin(machine, "status").splitlines()
    assert [one["missing"] for one in json.loads(admin(machine, "status", "--json"))["deployments"]] == [False, True]
    admin(machine, "undeploy", "1")
    assert len(refs_of(machine)) == 1
    assert run_c("admin", "status", f"--sysroot={machine}").returncode == 0


def commits_of(sysroot: Path) -> list[str]:
    repo = sysroot / "ostree/repo"
    refs = larix(repo, "refs", "--list", "ostree").split()
    return sorted(larix(repo, "rev-parse", ref) for ref in refs)


COMMANDS = [
    ["cleanup"],
    ["cleanup", "--dry-run"],
    ["deploy", "--os=test", "os/3"],
    ["deploy", "--os=test", "--retain", "os/3"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_a_list_nothing_is_deleted(machine: Path, words: list[str]) -> None:
    """As where /boot is not mounted."""

    def hide_directory() -> None:
        shutil.rmtree((machine / "boot/loader").resolve())

    def hide_boot() -> None:
        (machine / "boot").rename(machine / "y")
        (machine / "boot").mkdir()

    for hide in hide_directory, hide_boot:
        copy = machine.parent / "copy"
        subprocess.run(["cp", "-a", machine, copy], check=True)
        os.rename(machine, machine.parent / "kept")
        os.rename(copy, machine)
        hide()
        before = picture(machine)
        said = fails("admin", *words, f"--sysroot={machine}")
        assert "boot/loader/entries is missing" in said
        assert "boot is not mounted: mount it" in said
        assert picture(machine) == before
        shutil.rmtree(machine)
        os.rename(machine.parent / "kept", machine)
    assert len(refs_of(machine)) == 2


def test_without_the_link_to_the_list(machine: Path) -> None:
    """It is that of bootversion 0, as for the C tool, where there is no other; else nobody knows."""
    trees = refs_of(machine)
    loader = machine / "boot/loader"
    assert loader.readlink() == Path("loader.0")
    loader.unlink()
    assert refs_of(machine) == trees
    assert admin(machine, "cleanup") == ""
    assert refs_of(machine) == trees
    admin(machine, "deploy", "--os=test", "--retain", "os/3")
    assert refs_of(machine)[1:] == trees
    assert loader.readlink() == Path("loader.1")
    loader.unlink()
    before = picture(machine)
    for words in COMMANDS:
        assert "make it a symlink to loader.0 or loader.1" in fails("admin", *words, f"--sysroot={machine}")
    assert picture(machine) == before


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "no options": lambda text: re.sub(r"(?m)^options.*\n", "", text),
    "no ostree=": lambda text: re.sub(r"ostree=\S*", "", text),
    "another ostree=": lambda text: text.replace("ostree=/", "ostree=/x/"),
    "two": lambda text: text.replace("ostree=", "ostree=1 ostree="),
    "an open quote": lambda text: text.replace("options ", 'options x="a '),
    "crossed quotes": lambda text: re.sub("options (.*)", r'options x="a \1 y="b"', text),
    "no version": lambda text: re.sub(r"(?m)^version.*\n", "", text),
    "a comment": lambda text: text.replace("options", "#options"),
}


@as_root
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entries(machine: Path, damage: str) -> None:
    """They are read as the C tool reads them; what names no deployment ends each command, and nothing is deleted."""
    trees = refs_of(machine)
    entry = sorted((machine / "boot/loader/entries").iterdir())[0]
    entry.write_text(DAMAGES[damage](entry.read_text()))
    before = picture(machine)
    done = run_c("admin", "status", f"--sysroot={machine}", check=False)
    if done.returncode == 0:
        assert refs_of(machine) == [line.split()[1] for line in done.stdout.splitlines()[::2]] == trees
        admin(machine, "cleanup")
        assert picture(machine) == before
        # The next ones are as if there had been no damage.
        admin(machine, "deploy", "--os=test", "--retain", "os/3")
        assert refs_of(machine)[1:] == trees
        assert run_c("admin", "status", f"--sysroot={machine}").stdout == admin(machine, "status") + "\n"
        assert "".join(options_of(machine)).count("ostree=/ostree/boot.1/") == 3
        return
    for words in ["status"], *COMMANDS:
        said = fails("admin", *words, f"--sysroot={machine}")
        assert str(entry) in said
        assert "mend the entry" in said
    assert picture(machine) == before


def test_what_else_has_the_name_of_a_tree(machine: Path) -> None:
    """It is nobody's tree, and in nobody's way."""
    directory = machine / "ostree/deploy/test/deploy"
    (directory / f"{'a' * 64}.0").touch()
    (directory / f"{'b' * 64}.0").symlink_to("nowhere")
    trees = refs_of(machine)
    dropped = machine / drop(machine, 1)
    admin(machine, "cleanup")
    assert not dropped.exists()
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        [f"{'a' * 64}.0", f"{'b' * 64}.0", trees[0], f"{trees[0]}.origin"]
    )


def test_a_first_deployment_that_was_cut_off(machine: Path) -> None:
    """No links: nothing was ever to boot."""
    for _ in paths_of(machine):
        admin(machine, "undeploy", "0")
    shutil.rmtree((machine / "boot/loader").resolve())
    (machine / "boot/loader").unlink()
    (machine / "boot/loader.1/entries").mkdir(parents=True)
    for name in "boot.0", "boot.1":
        shutil.rmtree((machine / "ostree" / name).resolve(), ignore_errors=True)
        (machine / "ostree" / name).unlink(missing_ok=True)
    tree = machine / f"ostree/deploy/test/deploy/{'a' * 64}.0"
    tree.mkdir()
    admin(machine, "deploy", "--os=test", "os/3")
    assert not tree.exists()
    assert len(refs_of(machine)) == 1


def test_an_upgrade_that_could_not_be_deployed_fetches_nothing(machine: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    ostree(remote, "init", "--mode=archive")
    ostree(remote, "pull-local", machine / "ostree/repo", "os/3")
    repo = machine / "ostree/repo"
    ostree(repo, "remote", "add", "--no-gpg-verify", "o", remote.as_uri())
    admin(machine, "set-origin", "--index=0", "o", remote.as_uri(), "os/3")
    sorted((machine / "boot/loader/entries").iterdir())[0].unlink()
    before = picture(repo)
    for words in ["upgrade", "--os=test"], ["upgrade", "--os=test", "--pull-only"], ["switch", "--os=test", "o:os/2"]:
        assert "Nothing was changed" in fails("admin", *words, f"--sysroot={machine}")
    assert picture(repo) == before


def test_what_else_lies_among_the_entries(machine: Path) -> None:
    """Other systems boot from there too."""
    trees = refs_of(machine)
    entries = machine / "boot/loader/entries"
    for name in "other.conf", "ostree-9", "ostree-9.conf~", "0-ostree-9.conf":
        (entries / name).write_text("title Other\n")
    for name in "ostree-8.conf", "directory.conf":
        (entries / name).mkdir()
    assert refs_of(machine) == trees
    admin(machine, "cleanup")
    assert refs_of(machine) == trees
    (entries / "ostree-7.conf").symlink_to("nowhere")
    assert "ostree-7.conf" in fails("admin", "status", f"--sysroot={machine}")


def test_a_list_that_lost_its_entries_is_an_error(machine: Path) -> None:
    for entry in (machine / "boot/loader/entries").iterdir():
        entry.unlink()
    before = picture(machine)
    for words in COMMANDS:
        assert "lists nothing, and yet" in fails("admin", *words, f"--sysroot={machine}")
    assert picture(machine) == before


def test_a_list_that_was_emptied_is_none(machine: Path) -> None:
    """A cleanup goes on where that of an undeploy was cut; and where a first deployment was."""
    trees = paths_of(machine)
    with Sysroot(str(machine), MUTABLE) as opened, opened.lock():
        write_deployments(opened, [])
    admin(machine, "cleanup")
    assert not any((machine / tree).exists() for tree in trees)
    shutil.rmtree((machine / "boot/loader").resolve())
    (machine / "boot/loader").unlink()
    assert admin(machine, "cleanup") == ""
    assert "lists nothing" not in run_larix("admin", "deploy", "--os=test", "os/3", f"--sysroot={machine}").err
    assert len(refs_of(machine)) == 1


def test_a_first_deployment_that_fails_leaves_nothing(machine: Path) -> None:
    for _ in paths_of(machine):
        admin(machine, "undeploy", "0")
    shutil.rmtree((machine / "boot/loader").resolve())
    (machine / "boot/loader").unlink()
    (machine / "boot/grub").mkdir()
    (machine / "boot/grub/grub.cfg").touch()
    before = picture(machine / "boot")
    assert "grub2" in fails("admin", "deploy", "--os=test", "os/3", f"--sysroot={machine}")
    assert picture(machine / "boot") == before
    assert not list((machine / "ostree/deploy/test/deploy").iterdir())


def test_what_a_dry_run_says_is_what_is_done(machine: Path) -> None:
    drop(machine, 0)
    (machine / "ostree/deploy/test/backing" / refs_of(machine)[0]).mkdir(parents=True, exist_ok=True)
    overlay = machine / f"boot/ostree/initramfs-overlays/{'a' * 64}.img"
    overlay.parent.mkdir()
    overlay.touch()
    (machine / f"ostree/deploy/test/backing/{'b' * 64}.0").mkdir()
    before = picture(machine)
    said = admin(machine, "cleanup", "--dry-run")
    found = json.loads(admin(machine, "cleanup", "--dry-run", "--json"))
    assert picture(machine) == before
    kinds = [one["kind"] for one in found["removals"]]
    assert sorted(set(kinds)) == sorted(
        ["boot configuration", "deployment", "origin", "backing", "kernel", "initramfs overlay"]
    )
    for one in found["removals"]:
        assert f"Would remove {one['kind']}: {one['path']}\n" in said
        assert (machine / one["path"]).exists()
    assert found["objects"] > 0
    assert admin(machine, "cleanup") == ""
    after = picture(machine)
    for one in found["removals"]:
        assert not os.path.lexists(machine / one["path"])
    gone = {path for path in before.keys() - after.keys() if not path.startswith("ostree/repo/")}
    assert all(any(f"{path}/".startswith(f"{one['path']}/") for one in found["removals"]) for path in gone)
    objects = [path for path in before.keys() - after.keys() if path.startswith("ostree/repo/objects/")]
    assert len([path for path in objects if "." in path]) == found["objects"]
    assert admin(machine, "cleanup", "--dry-run") == "Nothing to clean up."
    assert "--dry-run" in fails("admin", "cleanup", "--json", f"--sysroot={machine}")


def test_a_pinned_tree_stays(machine: Path) -> None:
    admin(machine, "pin", "1")
    path = drop(machine, 1)
    commits = commits_of(machine)
    before = picture(machine / path)
    said = run_larix("admin", "cleanup", f"--sysroot={machine}")
    assert f"Note: {path} is kept: it is pinned" in said.err
    assert json.loads(admin(machine, "cleanup", "--dry-run", "--json"))["held"] == [{"path": path, "reason": "pinned"}]
    admin(machine, "deploy", "--os=test", "--retain", "os/3")
    assert picture(machine / path) == before
    assert set(commits) < set(commits_of(machine))
    assert len(list((machine / "boot/ostree").iterdir())) == 3
    # What cannot be read may say it as well.
    origin = machine / f"{path}.origin"
    origin.write_bytes(b"\xff")
    admin(machine, "cleanup")
    assert picture(machine / path) == before
    origin.write_text("[origin]\nrefspec=os/1\n")
    admin(machine, "cleanup")
    assert not (machine / path).exists()
    assert not origin.exists()


@as_root
def test_what_runs_and_what_is_staged_stay(machine: Path) -> None:
    """The machine runs what is in no list any more, and the C tool has staged a third."""
    trees = paths_of(machine)

    def work() -> None:
        booted = Machine(machine, trees[1])
        assert booted.c_admin("status").splitlines()[2].startswith("* test ")
        booted.c_admin("deploy", "--stage", "os/3")
        staged = booted.c_admin("status").splitlines()[0].split()[1]
        path = f"ostree/deploy/test/deploy/{staged}"
        commits = commits_of(machine)
        # Which nobody in the machine can do: from outside, it does not run.
        drop(machine, 1)
        before = {tree: picture(machine / tree) for tree in (*trees, path)}
        for words in (["cleanup"], ["undeploy", "0"], ["cleanup"]):
            done = booted.larix(*words)
            assert done.status == 0, done
            assert f"Note: {path} is kept: it is staged by another tool" in done.err
            assert f"Note: {trees[1]} is kept: it is what this machine runs" in done.err
            assert [picture(machine / tree) for tree in trees[1:]] == [before[tree] for tree in trees[1:]]
            assert picture(machine / path) == before[path]
            assert set(commits) >= set(commits_of(machine)) >= {trees[1][-66:-2], staged[:64]}
            assert any(name.name.startswith("test-") for name in (machine / "boot/ostree").iterdir())
        held = json.loads(booted.larix("cleanup", "--dry-run", "--json").out)["held"]
        assert held == [{"path": path, "reason": "staged"}, {"path": trees[1], "reason": "running"}]
        # What cannot be told is not decided.
        (booted.root / "run/ostree/staged-deployment").write_bytes(b"nonsense")
        for words in ["cleanup"], ["deploy", "--os=test", "os/3"]:
            done = booted.larix(*words)
            assert (done.status, "/run/ostree/staged-deployment" in done.err) == (1, True), done
        assert picture(machine / path) == before[path]

    in_namespace(work)


@as_root
def test_the_booted_one_is_never_left_out(machine: Path) -> None:
    trees = paths_of(machine)

    def work() -> None:
        booted = Machine(machine, trees[1])
        before = picture(machine / "boot")
        done = booted.larix("undeploy", "1")
        assert "is booted; boot another" in done.err
        assert picture(machine / "boot") == before
        done = booted.larix("deploy", "os/3")
        assert done.status == 0, done
        assert (machine / trees[1]).is_dir()
        assert booted.c_admin("status").splitlines()[-2].startswith("* test")

    in_namespace(work)


def test_a_root_that_lies_on_top_of_the_deployment(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where newer C tools mount an image or a transient root; then early boot says what is below it."""
    path = drop(machine, 1)
    about = (machine / path).stat()
    booted = machine.parent / "booted"
    booted.write_bytes(
        gvariant.encode("a{sv}", [("backing-root-device-inode", Variant("(tt)", (about.st_dev, about.st_ino)))])
    )
    monkeypatch.setattr(running, "BOOTED", str(booted))
    assert "what this machine runs" in run_larix("admin", "cleanup", f"--sysroot={machine}").err
    assert (machine / path).is_dir()
    booted.write_bytes(b"")
    admin(machine, "cleanup")
    assert not (machine / path).exists()


@pytest.mark.parametrize(
    "target",
    [
        [],
        [("name", "s", "a" * 64)],
        [("name", "s", "a" * 64 + ".0"), ("osname", "s", "../x")],
        [("name", "s", "a" * 64 + ".0"), ("osname", "s", "")],
        [("name", "s", "a" * 64 + ".0"), ("osname", "s", "x"), ("bootcsum", "s", "x")],
        [("name", "u", 5), ("osname", "s", "x")],
    ],
)
def test_what_does_not_say_what_is_staged(target: list[tuple[str, str, object]]) -> None:
    pairs = [(key, Variant(kind, value)) for key, kind, value in target]
    with pytest.raises(Corrupt, match="which deployment is staged"):
        decode_staged(gvariant.encode("a{sv}", [("target", Variant("a{sv}", pairs))]), "it")
    with pytest.raises(Corrupt, match="backing"):
        decode_booted(gvariant.encode("a{sv}", [("backing-root-device-inode", Variant("s", "x"))]), "it")


CHANGES: dict[str, Callable[[Sysroot], object]] = {
    "deploy": lambda opened: deploy(
        opened, "test", Target(opened.repo.refs.resolve("os/3"), origin_of("os/3")), KernelArgs(), DeployOptions()
    ),
    "write_deployments": lambda opened: write_deployments(opened, opened.deployments[:1]),
    "cleanup": cleanup,
    "execute_cleanup": lambda opened: execute_cleanup(opened, plan_cleanup(opened)),
    "write_origin": lambda opened: write_origin(opened, opened.deployments[0], origin_of("x")),
    "set_pinned": lambda opened: set_pinned(opened, opened.deployments[0], True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_lock_is_demanded(machine: Path, name: str) -> None:
    before = picture(machine)
    with Sysroot(str(machine), MUTABLE) as opened:
        with pytest.raises(Invalid, match="not locked"):
            CHANGES[name](opened)
        assert picture(machine) == before
        with opened.lock(), pytest.raises(Invalid, match="locked already"), opened.lock():
            pass
        with pytest.raises(Invalid, match="not locked"):
            CHANGES[name](opened)
        with opened.lock():
            CHANGES[name](opened)


def test_a_source_found_before_the_lock_is_the_rollback(machine: Path) -> None:
    with Sysroot(str(machine), MUTABLE) as opened:
        source = find_source(opened, "test")
        assert source is not None
        with opened.lock():
            assert source == opened.find(source)
            commit = opened.repo.refs.resolve("os/3")
            deploy(opened, "test", Target(commit, origin_of("os/3")), KernelArgs(), DeployOptions(source))
            cleanup(opened)
            assert [one.checksum for one in opened.deployments] == [commit, source.checksum]
            first = opened.deployments[0]
            # One whose entry is another by now, and one that was removed meanwhile.
            old = replace(source, entry=source.entry.set("options", "other"))
            deploy(opened, "test", Target(commit, origin_of("os/3")), KernelArgs(), DeployOptions(old))
            assert source in opened.deployments
            before = picture(machine)
            with pytest.raises(NotFound, match=first.name):
                deploy(opened, "test", Target(commit, origin_of("os/3")), KernelArgs(), DeployOptions(first))
            with pytest.raises(Invalid, match="twice"):
                write_deployments(opened, [*opened.deployments, opened.deployments[0]])
            assert picture(machine) == before


def test_conflicts_are_told_of_what_was_made_last(machine: Path) -> None:
    """Also after a rollback, by which it does not come first."""
    (machine / paths_of(machine)[0] / "etc/new").write_text("by admin")
    admin(machine, "deploy", "--os=test", "os/3")
    third, second = refs_of(machine)

    def conflicts() -> dict[str, list[str]]:
        found = json.loads(admin(machine, "status", "--json"))["deployments"]
        return {f"{one['checksum']}.{one['serial']}": [each["path"] for each in one["etc_conflicts"]] for one in found}

    assert conflicts() == {third: ["new"], second: []}
    admin(machine, "set-default", "1")
    assert refs_of(machine) == [second, third]
    assert conflicts() == {second: [], third: ["new"]}


def test_a_list_that_lost_one_entry_is_an_error(machine: Path) -> None:
    """The links that it booted by are there; of what was undeployed they are not."""
    entries = sorted((machine / "boot/loader/entries").iterdir())
    entries[0].unlink()
    before = picture(machine)
    for words in COMMANDS:
        assert "has no entry for" in fails("admin", *words, f"--sysroot={machine}")
    assert picture(machine) == before


def test_a_plan_is_for_the_lock_it_was_made_in(machine: Path) -> None:
    tree = machine / drop(machine, 1)
    with Sysroot(str(machine), MUTABLE) as opened:
        with opened.lock():
            plan = plan_cleanup(opened)
        with opened.lock(), pytest.raises(Moved, match="older than the lock"):
            execute_cleanup(opened, plan)
        assert tree.exists()
        with opened.lock():
            execute_cleanup(opened, plan_cleanup(opened))
    assert not tree.exists()


@pytest.mark.parametrize("words", [["deploy", "--os=test", "os/3"], ["undeploy", "1"]], ids=" ".join)
def test_a_disk_that_cannot_promise_the_new_list(
    machine: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it may be gone after a power cut, and the old one is to find its trees."""
    before = paths_of(machine)
    broken = False

    def replace_link(name: str, *args: object, **words: object) -> None:
        nonlocal broken
        real_replace(name, *args, **words)  # type: ignore[arg-type]
        broken = broken or name == "loader"

    def fail_then(real: Callable[[int], None]) -> Callable[[int], None]:
        def call(fd: int) -> None:
            if broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(fd)

        return call

    real_replace = writing.replace_link
    monkeypatch.setattr(writing, "replace_link", replace_link)
    for name in "sync", "sync_file_system":
        monkeypatch.setattr(writing, name, fail_then(getattr(writing, name)))
    assert "Input/output error" in fails("admin", *words, f"--sysroot={machine}")
    assert broken
    for path in before:
        assert (machine / path / "usr/bin/tool").exists()
    # As long as it cannot, nothing goes.
    fails("admin", "cleanup", f"--sysroot={machine}")
    for path in before:
        assert (machine / path / "usr/bin/tool").exists()


@pytest.mark.parametrize(
    ("link", "target", "moved"),
    [("y", "test", None), ("test", "real", "real"), ("z/deploy", "../test/deploy", None)],
    ids=["beside", "instead", "inside"],
)
def test_a_stateroot_by_another_way(machine: Path, link: str, target: str, moved: str | None) -> None:
    """A tree is what it is, by whatever names one comes to it."""
    deploy_directory = machine / "ostree/deploy"
    if moved is not None:
        (deploy_directory / "test").rename(deploy_directory / moved)
    (deploy_directory / link).parent.mkdir(exist_ok=True)
    (deploy_directory / link).symlink_to(target)
    before = picture(machine)
    planned = json.loads(run_larix("admin", "cleanup", "--dry-run", "--json", f"--sysroot={machine}").out)
    assert not [one for one in planned["removals"] if "deploy/" in one["path"]]
    admin(machine, "cleanup")
    after = picture(machine)
    assert {path for path in before if path not in after and "/deploy/" in path} == set()


def test_what_else_lies_beside_the_links(machine: Path) -> None:
    next(machine.glob("ostree/boot.[01]/test/*")).joinpath("README").touch()
    admin(machine, "cleanup")
    assert len(refs_of(machine)) == 2
