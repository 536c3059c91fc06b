"""Following an origin, beside the C tool: upgrade, switch, and the way back."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.judge import admin, by_c, c_admin, fails, larix, ostree
from tests.sysroots import as_root, booting, edit_etc, refs_of


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


@pytest.fixture
def followed(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """An upstream, and two sysroots that follow os/1 of its remote `origin`."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    monkeypatch.setenv("OSTREE_SYSROOT_OPTS", "bootloader-naming-1")
    upstream = tmp_path / "upstream"
    ostree(upstream, "init", "--mode=archive")
    ostree(upstream, "pull-local", releases)
    sysroots = [by_c(tmp_path / name, upstream) for name in ("ours", "theirs")]
    for sysroot in sysroots:
        c_admin(sysroot, "deploy", "--os=test", "--karg=rw", "origin:os/1")
    return upstream, sysroots[0], sysroots[1]


def both(sysroots: Sequence[Path], *words: str) -> str:
    """Both tools say the same, and leave the same, in a sysroot each."""
    ours, theirs = sysroots
    said = admin(ours, *words, "--os=test")
    # Older ones say what was freed.
    expected = re.sub("^Freed objects: .*\n?", "", c_admin(theirs, *words, "--os=test"), flags=re.MULTILINE)
    expected = expected.rstrip("\n")
    assert said == expected, words
    assert booting(ours) == booting(theirs), words
    assert larix(ours / "ostree/repo", "refs", "--list") == larix(theirs / "ostree/repo", "refs", "--list"), words
    assert admin(ours, "status") == c_admin(theirs, "status"), words
    return said


@as_root
def test_switch(followed: tuple[Path, Path, Path]) -> None:
    upstream, *sysroots = followed
    for sysroot in sysroots:
        ostree(sysroot / "ostree/repo", "remote", "add", "--no-gpg-verify", "other", f"file://{upstream}")
    for words in ["origin:os/2"], ["os/3"], ["other:"], ["other:os/4"]:
        assert "Deleting ref" in both(sysroots, "switch", *words)
    for words, said in (
        (["other:os/4"], "Old and new refs are equal"),
        (["os/4"], "Old and new refs are equal"),
        (["none:os/4"], '"none" not found'),
        (["os/none"], "os/none"),
    ):
        assert said in fails("admin", "switch", f"--sysroot={sysroots[0]}", "--os=test", *words)
    assert "second" in fails("admin", "switch", f"--sysroot={sysroots[0]}", "--os=second", "os/1")
    assert booting(sysroots[0]) == booting(sysroots[1])


@as_root
def test_upgrade_follows_a_branch_that_goes_on_elsewhere(followed: tuple[Path, Path, Path]) -> None:
    upstream, *sysroots = followed
    (upstream / "../empty").mkdir()
    words = ["--add-metadata-string=ostree.endoflife=gone", "--add-metadata-string=ostree.endoflife-rebase=os/3"]
    ostree(upstream, "commit", "-b", "os/1", f"--tree=dir={upstream / '../empty'}", *words)
    both(sysroots, "upgrade", "--pull-only")
    both(sysroots, "upgrade", "--deploy-only")
    assert "origin refspec: origin:os/3" in admin(sysroots[0], "status")
    assert both(sysroots, "upgrade") == "No update available."


@as_root
def test_upgrade_to_one_commit(followed: tuple[Path, Path, Path]) -> None:
    upstream, *sysroots = followed
    for when in "@4000000000", "@4000000100":
        title = f"--add-metadata-string=ostree.source-title=of {when}"
        ostree(upstream, "commit", "-b", "os/1", "--tree=ref=os/3", f"--timestamp={when}", title)
    older = ostree(upstream, "rev-parse", "os/1^")
    both(sysroots, "upgrade", f"--override-commit={older}")
    assert "`- of @4000000000" in admin(sysroots[0], "status")
    both(sysroots, "upgrade")
    before = booting(sysroots[0])
    asked = ["admin", "upgrade", f"--sysroot={sysroots[0]}", "--os=test", f"--override-commit={older}"]
    assert "chronologically older" in fails(*asked)
    assert booting(sysroots[0]) == before
    both(sysroots, "upgrade", f"--override-commit={older}", "--allow-downgrade")


@as_root
def test_an_origin_without_refspec(followed: tuple[Path, Path, Path]) -> None:
    _, ours, _ = followed
    origin = ours / "../o"
    origin.write_text("[origin]\nunconfigured-state=Register first\n")
    admin(ours, "deploy", "--os=test", f"--origin-file={origin}", "origin:os/2")
    assert "Register first" in fails("admin", "upgrade", "--os=test", f"--sysroot={ours}")
    assert "set-origin" in fails("admin", "switch", "--os=test", f"--sysroot={ours}", "os/3")
    assert "follows no ref" in fails("admin", "set-origin", "--index=0", f"--sysroot={ours}", "new", "http://x")
    assert "--index" in fails("admin", "set-origin", f"--sysroot={ours}", "new", "http://x")
    admin(ours, "set-origin", "--index=0", "new", "http://x", "os/1")
    assert "origin refspec: new:os/1" in admin(ours, "status")


@as_root
def test_changes_of_etc(followed: tuple[Path, Path, Path]) -> None:
    _, ours, theirs = followed
    assert admin(ours, "config-diff", "--os=test") == c_admin(theirs, "config-diff", "--os=test") == ""
    for sysroot in ours, theirs:
        edit_etc(sysroot)
        (next((sysroot / "ostree/deploy/test/deploy").glob("*.0")) / "etc/os-release").unlink()
        os.mkfifo(next((sysroot / "ostree/deploy/test/deploy").glob("*.0")) / "etc/fifo")
    said = admin(ours, "config-diff", "--os=test")
    assert sorted(said.splitlines()) == sorted(c_admin(theirs, "config-diff", "--os=test").splitlines())
    found = json.loads(admin(ours, "config-diff", "--os=test", "--json"))
    assert found["removed"] == ["os-release", "sub/removed"]
    assert "fifo" in found["added"]
    both((ours, theirs), "deploy", "origin:os/2")


@as_root
def test_the_guard_is_set_again_after_a_copy(
    followed: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours, _ = followed
    root = next((ours / "ostree/deploy/test/deploy").glob("*.0"))
    assert admin(ours, "--print-current-dir") == c_admin(ours, "--print-current-dir") == str(root)
    (root / "made").touch()
    monkeypatch.delenv("OSTREE_SYSROOT_DEBUG")
    try:
        admin(ours, "post-copy")
        with pytest.raises(PermissionError):
            (root / "made").unlink()
    finally:
        admin(ours, "undeploy", "0")
    assert "deployment" in fails("admin", "--print-current-dir", f"--sysroot={ours}")
    for name in "kargs edit-in-place", "instutil set-kargs":
        assert "deployment" in fails("admin", *name.split(), f"--sysroot={ours}")


@as_root
def test_what_systemd_remembers_of_an_update(followed: tuple[Path, Path, Path]) -> None:
    _, *sysroots = followed
    for sysroot in sysroots:
        for path in (
            next((sysroot / "ostree/deploy/test/deploy").glob("*.0")) / "etc",
            sysroot / "ostree/deploy/test/var",
        ):
            (path / ".updated").touch()
    both(sysroots, "deploy", "origin:os/2")
    assert len(list((sysroots[0] / "ostree/deploy/test/deploy").glob("*/etc/.updated"))) == 1


@as_root
@pytest.mark.parametrize("remote", ["", "origin:"])
def test_following_one_commit(remote: str, followed: tuple[Path, Path, Path]) -> None:
    """As both tools write it, and with nothing newer than that."""
    upstream, *sysroots = followed
    commit = ostree(upstream, "rev-parse", "os/3")
    for tool, sysroot in zip((admin, c_admin), sysroots, strict=True):
        tool(sysroot, "switch", "--os=test", f"origin:{commit}")
        assert refs_of(sysroot)[0].startswith(commit)
        origin = sysroot / f"ostree/deploy/test/deploy/{refs_of(sysroot)[0]}.origin"
        assert f"refspec=origin:{commit}" in origin.read_text()
        origin.write_text(f"[origin]\nrefspec={remote}{commit}\n")
        assert tool(sysroot, "upgrade", "--os=test") == "No update available."
    assert admin(sysroots[0], "upgrade", "--os=test", "--check").startswith("No update available.")
    # And away from it, to another and to a branch.
    other = ostree(upstream, "rev-parse", "os/4")
    for tool, sysroot in zip((admin, c_admin), sysroots, strict=True):
        for ref in f"origin:{other}", "origin:os/2":
            tool(sysroot, "switch", "--os=test", ref)
        assert refs_of(sysroot)[0].startswith(ostree(upstream, "rev-parse", "os/2"))


@as_root
def test_a_switch_to_a_branch_that_ends(followed: tuple[Path, Path, Path]) -> None:
    upstream, *sysroots = followed
    ends = "--add-metadata-string=ostree.endoflife-rebase=os/4"
    ostree(upstream, "commit", "--tree=ref=os/3", "-b", "os/3", ends)
    for tool, sysroot in zip((admin, c_admin), sysroots, strict=True):
        tool(sysroot, "switch", "--os=test", "origin:os/3")
        assert refs_of(sysroot)[0].startswith(ostree(upstream, "rev-parse", "os/4"))
        origin = sysroot / f"ostree/deploy/test/deploy/{refs_of(sysroot)[0]}.origin"
        assert "refspec=origin:os/4" in origin.read_text()
