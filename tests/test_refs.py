"""Aliases, collections, bindings and the summary of them: what the C tool prints and leaves, from the same commands."""

import os
import shlex
from pathlib import Path

import pytest

from larix.formats.summary import decode_summary
from tests.judge import fails, larix, ostree, picture, run_c, run_larix

# Of two repos that are treated alike, one by each tool.
STEPS = [
    "refs --create=a/b main",
    "refs --create=origin:far/off main",
    "refs -A main --create=alias",
    "refs -A a/b --create=deep/er/alias",
    "refs -A main --create=deep/er/alias",
    "refs -A main --create=a/b",
    "refs -A nothing --create=x",
    "refs -A",
    "refs -A deep",
    "refs",
    "refs origin:",
    "refs origin:.",
    "refs origin",
    "refs origin:far",
    "refs --list a",
    "refs a",
    "rev-parse deep/er/alias",
    "rev-parse origin/far/off",
    "refs --delete main",
    "refs --delete alias",
    "refs -A",
    "refs -c",
    "refs -c --create=org.x:m main",
    "refs -c --create=org.x:m main",
    "refs -c --create=org.y:d/e main",
    "refs -c --create=m main",
    "refs -c",
    "refs -c --list",
    "refs -c org.x",
    "refs -c org",
    "refs -c --delete org.x org.z",
    "refs -c",
    "refs -c --delete org",
    "config set core.collection-id org.own",
    "refs -c",
    "refs -c --create=org.own:mine main",
    "refs",
    "fsck -q",
    "fsck -q --verify-bindings",
    "fsck -q --verify-back-refs",
    "prune --refs-only",
    "commit -b remote:branch --timestamp=@0 --tree=ref=main",
    "commit -b bad:remote:branch --tree=ref=main",
    "commit -b deep/er/alias --timestamp=@0 --tree=ref=main --parent=none",
    "refs -A",
    "show --print-metadata-key=ostree.collection-binding remote:branch",
    "refs -c --delete org.own",
    "refs",
]


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """The same repo for each tool, with two commits on `main`."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")
    repos = [tmp_path / "ours", tmp_path / "theirs"]
    for repo in repos:
        ostree(repo, "init", "--mode=archive")
        for time in "0", "1":
            ostree(repo, "commit", "-b", "main", f"--timestamp=@{time}", f"--tree=dir={tmp_path / 'tree'}")
    return repos


def files_of(repo: Path) -> dict[str, object]:
    """The C tool leaves empty directories."""
    found = picture(repo / "refs")
    return {name: about for name, about in found.items() if not (repo / "refs" / name).is_dir()}


def test_both_go_the_same_way(pair: list[Path]) -> None:
    ours, theirs = pair
    for step in STEPS:
        words = step.split()
        mine = run_larix(f"--repo={ours}", *words)
        done = run_c(f"--repo={theirs}", *words, check=False)
        assert mine.status == done.returncode, (step, mine, done)
        # The C tool prints refs in the order of a hash table.
        theirs_out = [line for line in done.stdout.splitlines() if not line.startswith("fsck objects")]
        assert sorted(mine.out.splitlines()) == sorted(theirs_out), step
        assert files_of(ours) == files_of(theirs), step


def test_an_alias_leads_nowhere_else(pair: list[Path]) -> None:
    heads = pair[0] / "refs/heads"
    (heads / "out").symlink_to("../../config")
    (heads / "round").symlink_to("round")
    (heads / "whole").symlink_to(heads / "main")
    (heads / "refs/heads").mkdir(parents=True)
    (heads / "refs/heads/below").symlink_to("/refs/heads/main")
    for name in "out", "round", "whole", "refs/heads/below":
        assert f"Ref {name}" in fails(f"--repo={pair[0]}", "rev-parse", name)


def test_an_alias_of_nothing(pair: list[Path]) -> None:
    """What it means may be on its way back: nothing passes it over without a word, and a prune does nothing."""
    for repo in pair:
        (repo / "refs/heads/alias").symlink_to("gone")
    for step in ["fsck -q", "prune --refs-only", "summary -u", "refs -r", "rev-parse alias"]:
        assert run_c(f"--repo={pair[1]}", *step.split(), check=False).returncode == 1, step
        done = run_larix(f"--repo={pair[0]}", *step.split())
        said = (
            "Refspec 'alias' not found"
            if step == "rev-parse alias"
            else "Ref alias is an alias of gone, which is not there"
        )
        assert said in done.err, step
        assert done.status == (0 if step in ("summary -u", "refs -r") else 1), step
    assert "refs --delete alias" in fails(f"--repo={pair[0]}", "fsck")
    assert [*decode_summary((pair[0] / "summary").read_bytes()).refs] == ["main"]
    assert larix(pair[0], "refs") == "alias\nmain"
    larix(pair[0], "refs", "--delete", "alias")
    larix(pair[0], "prune", "--refs-only")
    larix(pair[0], "fsck", "-q")


def test_refs_that_nobody_can_read_can_be_deleted(pair: list[Path]) -> None:
    for repo, run in zip(pair, (larix, ostree), strict=True):
        heads = repo / "refs/heads"
        (heads / "out").symlink_to("../../config")
        (heads / "far").symlink_to("/etc/passwd")
        (heads / "empty").touch()
        for name in "out", "far", "empty":
            run(repo, "refs", "--delete", name)
            assert not os.path.lexists(heads / name)
    heads = pair[0] / "refs/heads"
    (heads / "huge").touch()
    os.truncate(heads / "huge", 3 << 30)
    larix(pair[0], "refs", "--delete", "huge")
    (heads / "out").symlink_to("../../config")
    larix(pair[0], "refs", "--create=out", "--force", "main")
    (heads / "empty").touch()
    larix(pair[0], "reset", "empty", "main^")
    assert (heads / "out").read_text() != (heads / "empty").read_text()


@pytest.mark.parametrize("content", [b"", b"abc\n", b"\xff" * 100])
def test_a_ref_that_cannot_be_read(pair: list[Path], content: bytes) -> None:
    """As after a power cut: the others are there all the same, and nothing that it may have named is deleted."""
    repo = pair[0]
    larix(repo, "refs", "--create=remote:x", "main")
    tip = larix(repo, "rev-parse", "main")
    larix(repo, "commit", "-b", "z", "--tree=ref=main", "--timestamp=@9")
    objects = picture(repo / "objects")
    (repo / "refs/heads/z").write_bytes(content)
    for words in ["refs", "-r"], ["summary", "-u"], ["df"], ["refs", "--json"]:
        done = run_larix(f"--repo={repo}", *words)
        assert done.status == 0, done
        assert done.err.splitlines() == [done.err.strip()], done
        assert done.err.startswith("Note: Ref z: ")
        assert "`larix reset` gives it one" in done.err
        assert words == ["summary", "-u"] or tip in done.out or "remote:x" in done.out
    assert [*decode_summary((repo / "summary").read_bytes()).refs] == ["main"]
    for words in ["fsck"], ["prune", "--refs-only"], ["prune", "--refs-only", "--no-prune"]:
        assert "Ref z: " in fails(f"--repo={repo}", *words)
    assert picture(repo / "objects") == objects
    larix(repo, "refs", "--delete", "z")
    assert run_larix(f"--repo={repo}", "refs", "-r").err == ""


def test_what_cannot_be_a_ref(pair: list[Path]) -> None:
    repo = pair[0]
    for name in "heads/m (copy)", "heads/sub/x~", "remotes/stray", "mirrors/org.x/a b":
        path = repo / "refs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((repo / "refs/heads/main").read_bytes())
    for words in ["refs"], ["refs", "-r"], ["fsck"], ["summary", "-u"], ["prune"], ["df"], ["refs", "-c"]:
        done = run_larix(f"--repo={repo}", *words)
        assert done.status == 0, done
        notes = [line for line in done.err.splitlines() if line.startswith("Note: ")]
        assert len(notes) == len(set(notes)) == 4, words
    assert any("`larix refs --delete 'refs/heads/m (copy)'` removes it" in note for note in notes)
    assert larix(repo, "refs") == "main"
    # By their paths, which mean nothing else: these would be refs.
    for name in "stray", "origin:main":
        larix(repo, "refs", f"--create={name}", "main")
    (repo / "refs/heads/origin:main").write_text("x")
    for note in run_larix(f"--repo={repo}", "fsck").err.splitlines():
        words = shlex.split(note.split("`")[1])
        assert words[:3] == ["larix", "refs", "--delete"]
        larix(repo, *words[1:])
    assert larix(repo, "refs").split() == ["main", "stray", "origin:main"]
    assert run_larix(f"--repo={repo}", "fsck").err == ""


def test_damaged_refs_of_all_kinds_can_be_mended(pair: list[Path]) -> None:
    repo = pair[0]
    larix(repo, "refs", "--create=o:x", "main")
    larix(repo, "refs", "-c", "--create=org.x:m", "main")
    for path in "heads/z", "remotes/o/x", "mirrors/org.x/m":
        (repo / "refs" / path).write_bytes(b"")
    assert "pull gives it one, `larix refs -c --delete`" in run_larix(f"--repo={repo}", "refs", "-c").err
    # One that is damaged is in no other's way.
    larix(repo, "refs", "-A", "main", "--create=alias")
    larix(repo, "refs", "-c", "--delete", "org.x")
    larix(repo, "refs", "--delete", "o:")
    assert larix(repo, "refs", "--unreferenced") == ""
    larix(repo, "reset", "z", "main")
    larix(repo, "fsck", "-q")


@pytest.mark.parametrize("end", ["", "\r\n", " \n", "\t\n\n", "\f\r\n"])
def test_ends_of_refs(pair: list[Path], end: str) -> None:
    """Of an editor, or a script."""
    ref = pair[0] / "refs/heads/main"
    ref.write_bytes(ref.read_bytes().strip() + end.encode())
    assert larix(pair[0], "rev-parse", "main") == ostree(pair[0], "rev-parse", "main")
    larix(pair[0], "fsck", "-q")


def test_chains_of_aliases(pair: list[Path]) -> None:
    before = "main"
    for i in range(30):
        (pair[0] / f"refs/heads/a{i}").symlink_to(before)
        before = f"a{i}"
    assert larix(pair[0], "rev-parse", before) == ostree(pair[0], "rev-parse", before)
    larix(pair[0], "prune", "--refs-only")


def test_a_branch_is_not_called_like_a_checksum(pair: list[Path]) -> None:
    name = "a" * 64
    for words in ["commit", "-b", name, "--tree=ref=main"], ["refs", f"--create={name}", "main"]:
        assert run_c(f"--repo={pair[1]}", *words, check=False).returncode == 1
        assert "looks like a checksum" in fails(f"--repo={pair[0]}", *words)
    assert larix(pair[0], "refs") == "main"


def test_repos_without_the_directories_of_refs(pair: list[Path]) -> None:
    (pair[0] / "refs/mirrors").rmdir()
    assert larix(pair[0], "refs", "-c") == ""
    larix(pair[0], "refs", "-c", "--create=org.x:m", "main")
    assert larix(pair[0], "refs", "-c") == "(org.x, m)"
    (pair[0] / "refs/remotes").rmdir()
    message = fails(f"--repo={pair[0]}", "refs")
    assert "Listing refs" in message
    assert "No such file or directory" in message


@pytest.mark.parametrize("name", ["org", "org.1x", "org.x-y", "org..x", "a.b/c", ".a.b", "org.x."])
def test_names_that_are_no_collection(tmp_path: Path, name: str) -> None:
    command = [f"--repo={tmp_path}/repo", "init", f"--collection-id={name}"]
    assert f"Invalid collection ID {name}" in fails(*command)
    assert f"Invalid collection ID {name}" in run_c(*command, check=False).stderr


def test_a_new_repo_knows_its_collection(tmp_path: Path) -> None:
    for tool in larix, ostree:
        tool(tmp_path / tool.__name__, "init", "--mode=archive", "--collection-id=org.example_1.Os")
    assert (tmp_path / "larix/config").read_bytes() == (tmp_path / "ostree/config").read_bytes()


def test_summary_of_collections(pair: list[Path]) -> None:
    summaries = []
    for repo, tool in zip(pair, (larix, ostree), strict=True):
        ostree(repo, "config", "set", "core.collection-id", "org.own")
        ostree(repo, "config", "set", 'remote "far".collection-id', "org.far")
        ostree(repo, "refs", "--create=far:os", "main")
        ostree(repo, "refs", "-c", "--create=org.other:x/y", "main^")
        ostree(repo, "refs", "-A", "main", "--create=alias")
        for more in [], ["-m", "key='v'", "-m", "int=@t 7", "--add-metadata=map=@a{sv} {}"]:
            tool(repo, "summary", "-u", *more)
        summary = decode_summary((repo / "summary").read_bytes())
        pairs = sorted(pair for pair in summary.metadata.pairs if pair[0] != "ostree.summary.last-modified")
        # The commit that says so too is of a time of its own.
        about = {ref: found for ref, found in summary.refs.items() if ref != "ostree-metadata"}
        summaries.append((about, pairs, summary.collections))
        assert ostree(repo, "log", "ostree-metadata").count("commit ") == 2
        raw = ostree(repo, "show", "--raw", "ostree-metadata")
        for key in "'key': <'v'>", "'map': <@a{sv} {}>", "<'org.own'>", "<['ostree-metadata']>":
            assert key in raw
    assert summaries[0] == summaries[1]
    for repo in pair:
        mine, theirs = (tool(repo, "summary", "-v") for tool in (larix, ostree))
        assert sorted({*mine.splitlines()} - {"Summary is unsigned"}) == sorted(
            {*theirs.splitlines()} - {"Summary is unsigned"}
        )


@pytest.mark.parametrize("text", ["bad", "a=x"])
def test_metadata_that_is_none(pair: list[Path], text: str) -> None:
    assert run_c(f"--repo={pair[1]}", "summary", "-u", "-m", text, check=False).returncode == 1
    fails(f"--repo={pair[0]}", "summary", "-u", "-m", text)
    assert not (pair[0] / "summary").exists()


@pytest.mark.parametrize(
    "change",
    [
        ["commit", "-b", "new", "--tree=ref=main"],
        ["refs", "--create=new", "main"],
        ["refs", "-A", "main", "--create=new"],
        ["reset", "main", "main^"],
        ["refs", "--delete", "main"],
    ],
)
def test_the_summary_follows_where_the_config_says_so(pair: list[Path], change: list[str]) -> None:
    repo = pair[0]
    larix(repo, "summary", "-u")
    before = (repo / "summary").read_bytes()
    larix(repo, *change)
    assert (repo / "summary").read_bytes() == before
    other = pair[1]
    larix(other, "summary", "-u")
    (other / "summary.sig").write_text("of the old one")
    larix(other, "config", "set", "core.auto-update-summary", "true")
    larix(other, *change)
    assert decode_summary((other / "summary").read_bytes()).refs != decode_summary(before).refs
    assert not (other / "summary.sig").exists()


def test_summary_after_a_commit(pair: list[Path]) -> None:
    larix(pair[0], "config", "set", "core.commit-update-summary", "true")
    larix(pair[0], "refs", "--create=other", "main")
    assert not (pair[0] / "summary").exists()
    for repo in pair:
        larix(repo, "config", "set", "core.commit-update-summary", "true")
        larix(repo, "config", "set", "core.collection-id", "org.x")
    larix(pair[0], "commit", "-b", "new", "--tree=ref=main")
    ostree(pair[1], "commit", "-b", "new", "--tree=ref=main")
    assert "(org.x, new)" in larix(pair[0], "summary", "-v")
    # What says more of the whole repo than refs is made by `summary -u` alone.
    assert sorted(larix(pair[0], "refs").split()) == ["main", "new", "other"]
    assert sorted(ostree(pair[1], "refs").split()) == ["main", "new"]
