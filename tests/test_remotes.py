"""Remotes in the config: the C tool reads what we write, and the other way round."""

from pathlib import Path

import pytest

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
    assert "metalink" in fails(f"--repo={repo}", "remote", "add", "m", "metalink=http://m")
    assert (repo / "config").read_bytes() == before


@pytest.mark.parametrize("words", [["remote"], ["remote", "nothing"], ["nothing"], ["nothing", "at all"]])
def test_an_unknown_command_is_named(words: list[str]) -> None:
    assert words[0] in run_larix(*words).err
