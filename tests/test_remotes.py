"""Remotes in the config: the C tool reads what we write, and the other way round."""

from pathlib import Path

import pytest

from larix.repo.remotes import list_remotes, load_remote
from larix.sysroot.sysroot import Sysroot
from tests.judge import fails, larix, ostree, run_c, run_larix

STEPS = [
    ["add", "origin", "http://127.0.0.1:1/repo"],
    ["add", "--no-gpg-verify", "second", "http://x/y", "a/b", "c/d"],
    ["add", "third", "--set=gpg-verify=false", "--set=foo=a b = c", "file:///srv/repo"],
    ["add", "--no-sign-verify", "fourth", "http://k"],
    ["add", "--contenturl=http://c", "fifth", "http://m"],
    ["add", "--if-not-exists", "origin", "http://other"],
    ["delete", "second"],
    ["delete", "--if-exists", "nothing"],
    ["add", "--force", "origin", "http://again"],
]
BAD = [["add", "origin", "http://z"], ["add", "../x", "http://z"], ["add", "a b", "http://z"], ["add", "x"], ["add"]]
BAD += [["show-url", "nothing"], ["delete", "nothing"], ["delete"], [], ["nothing"], ["add", "a", "http://b", "../c"]]
BAD += [["add", "--force", "--if-not-exists", "new", "http://new"]]


def settings(repo: Path) -> dict[str, list[str]]:
    """Group -> its lines, sorted."""
    found: dict[str, list[str]] = {}
    for line in (repo / "config").read_text().splitlines():
        if line.startswith("["):
            group = found.setdefault(line, [])
        elif line:
            group.append(line)
    return {name: sorted(lines) for name, lines in found.items()}


def test_both_tools_keep_remotes_alike(tmp_path: Path) -> None:
    ours, theirs, mixed = (tmp_path / name for name in ("ours", "theirs", "mixed"))
    for repo in ours, theirs, mixed:
        ostree(repo, "init", "--mode=archive")
    for i, step in enumerate(STEPS):
        larix(ours, "remote", *step)
        ostree(theirs, "remote", *step)
        (larix if i % 2 else ostree)(mixed, "remote", *step)
        assert settings(ours) == settings(theirs) == settings(mixed), step
        for question in ["list"], ["list", "-u"], ["show-url", "origin"]:
            assert larix(mixed, "remote", *question) == ostree(mixed, "remote", *question)


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    ostree(repo, "remote", "add", "origin", "http://a")
    before = (repo / "config").read_bytes()
    for words in BAD:
        if words[-1:] != ["../c"]:
            assert run_c(f"--repo={repo}", "remote", *words, check=False).returncode == 1
        fails(f"--repo={repo}", "remote", *words)
    assert (repo / "config").read_bytes() == before


@pytest.mark.parametrize("words", [["remote"], ["remote", "nothing"], ["nothing"], ["nothing", "at all"]])
def test_an_unknown_command_is_named(words: list[str]) -> None:
    assert words[0] in run_larix(*words).err


def test_remotes_of_a_sysroot(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    run_c("admin", "init-fs", "--modern", str(root))
    repo, folder = root / "ostree/repo", root / "etc/ostree/remotes.d"

    def both(*words: str) -> set[int]:
        return {run_larix("remote", *words).status, run_c("remote", *words, check=False).returncode}

    # Without the setting a sysroot that is not the machine's own has new ones in the repo's config.
    assert run_larix("remote", "add", f"--sysroot={root}", "plain", "http://plain").status == 0
    assert '[remote "plain"]' in (repo / "config").read_text()
    folder.mkdir(parents=True)
    (folder / "some.conf").write_text(
        '[remote "a-file"]\nurl=http://file\nfoo=kept\n\n[remote "other"]\nurl=http://other\n'
    )
    (folder / "some.conf.bak").write_text('[remote "backup"]\nurl=http://backup\n')
    with Sysroot(str(root)) as sysroot:
        assert list_remotes(sysroot.repo) == ["a-file", "other", "plain"]
        assert load_remote(sysroot.repo, "a-file").options == {"url": "http://file", "foo": "kept"}
    assert "plain" in larix(repo, "remote", "list")
    assert "a-file" not in larix(repo, "remote", "list") + ostree(repo, "remote", "list")
    for name in "a-file", "plain":
        assert both("add", f"--sysroot={root}", name, "http://new") == {1}
    # The C tool would drop the other remote of the file.
    assert run_larix("remote", "add", "--force", f"--sysroot={root}", "a-file", "http://new").status == 0
    assert both("delete", f"--sysroot={root}", "backup") == {1}
    text = (folder / "some.conf").read_text()
    assert "http://new" in text and "http://other" in text and "foo" not in text

    larix(repo, "config", "set", "core.add-remotes-config-dir", "true")
    assert run_larix("remote", "add", f"--sysroot={root}", "--no-gpg-verify", "new", "http://new").status == 0
    assert (folder / "new.conf").read_text() == '[remote "new"]\nurl=http://new\ngpg-verify=false\n'
    run_c("remote", "delete", f"--sysroot={root}", "new")
    assert not (folder / "new.conf").exists()
    assert run_larix("remote", "add", f"--sysroot={root}", "some", "http://some").status == 0
    with Sysroot(str(root)) as sysroot:
        assert list_remotes(sysroot.repo) == ["a-file", "other", "plain", "some"]
    for name in "a-file", "other", "some":
        assert run_larix("remote", "delete", f"--sysroot={root}", name).status == 0
        run_c("remote", "delete", "--if-exists", f"--sysroot={root}", name)
    assert [path.name for path in folder.iterdir()] == ["some.conf.bak"]
    (folder / "bad.conf").write_bytes(b'[remote "\xff"]\n')
    assert "bad.conf" in fails("remote", "add", f"--sysroot={root}", "x", "http://x")


def test_remotes_of_a_parent(tmp_path: Path) -> None:
    for name in "parent", "child":
        ostree(tmp_path / name, "init", "--mode=archive")
        ostree(tmp_path / name, "remote", "add", f"of-{name}", f"http://{name}")
    ostree(tmp_path / "child", "config", "set", "core.parent", str(tmp_path / "parent"))
    for question in ["list"], ["show-url", "of-parent"], ["show-url", "of-child"]:
        assert larix(tmp_path / "child", "remote", *question) == ostree(tmp_path / "child", "remote", *question)
    assert run_larix(f"--repo={tmp_path / 'child'}", "remote", "delete", "of-parent").status == 1


def test_a_remote_added_in_a_running_deployment_gets_a_file(tmp_path: Path) -> None:
    """As both tools see it from inside: the disk is in /sysroot, and /ostree links there."""
    disk, root = tmp_path / "disk", tmp_path / "root"
    disk.mkdir()
    assert run_larix("admin", "init-fs", disk).status == 0
    root.mkdir()
    (root / "sysroot").symlink_to(disk)
    (root / "ostree").symlink_to("sysroot/ostree")
    config = (disk / "ostree/repo/config").read_text()
    run_c("remote", "add", f"--sysroot={root}", "--no-gpg-verify", "theirs", "http://u")
    assert run_larix("remote", "add", f"--sysroot={root}", "--no-gpg-verify", "ours", "http://u").status == 0
    texts = [(root / f"etc/ostree/remotes.d/{name}.conf").read_text().replace(name, "") for name in ("ours", "theirs")]
    assert texts[0] == texts[1]
    assert (disk / "ostree/repo/config").read_text() == config
    larix(disk / "ostree/repo", "config", "set", "core.add-remotes-config-dir", "false")
    assert run_larix("remote", "add", f"--sysroot={root}", "third", "http://u").status == 0
    assert "third" in (disk / "ostree/repo/config").read_text()


def test_the_repo_of_the_sysroot_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_larix("admin", "init-fs", tmp_path).status == 0
    monkeypatch.setenv("OSTREE_SYSROOT", str(tmp_path))
    monkeypatch.chdir("/")
    assert run_larix("remote", "add", "origin", "http://u").status == 0
    assert run_larix("remote", "list").out == run_c("remote", "list").stdout == "origin\n"


def test_a_metalink_is_kept_and_not_followed_yet(tmp_path: Path) -> None:
    for name, tool in ("ours", larix), ("theirs", ostree):
        ostree(tmp_path / name, "init", "--mode=archive")
        tool(tmp_path / name, "remote", "add", "--no-gpg-verify", "m", "metalink=http://m")
    assert (tmp_path / "ours/config").read_text() == (tmp_path / "theirs/config").read_text()
    assert "metalink" in fails(f"--repo={tmp_path / 'ours'}", "pull", "m", "main")
