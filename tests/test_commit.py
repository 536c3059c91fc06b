"""Options of commit: the C tool makes the same commit of the same trees and archives, and refuses the same."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import larix as api
from larix.formats.sizes import Size, decode_size
from larix.repo.repo import Repo
from tests.judge import everything, fails, larix, make_os_tree, ostree, picture, run_c, run_larix

WHEN = "--timestamp=@1000000000"


SAME = [
    ["-b", "x", "a"],
    ["-b", "x", "-s", "Subject", "-m", "body\n", "--tree=dir=a", "--tree=dir=b"],
    ["-b", "x", "--tree=ref=before", "--tree=dir=b"],
    ["-b", "x", "--base=before", "--tree=dir=b", "--owner-uid=7"],
    ["-b", "x", "--tree=dir=b", "--tree=ref=before"],
    ["-b", "before", "--tree=dir=a", "--parent=none"],
    ["-b", "before", "--tree=dir=b", "-F", "body"],
    ["-b", "x", "--tree=dir=a", "--owner-uid=7", "--owner-gid=8"],
    ["-b", "x", "--tree=dir=a", "--owner-uid=-5", "--owner-gid=2147483647"],
    ["-b", "x", "--tree=dir=a", "--no-xattrs", "--mode-ro-executables"],
    ["-b", "x", "--tree=dir=a", "--canonical-permissions"],
    ["-b", "x", "--tree=dir=a", "--statoverride=overrides"],
    ["-b", "x", "--tree=dir=a", "--skip-list=skipped"],
    ["-b", "x", "--tree=dir=a", "--statoverride=overrides", "--canonical-permissions", "--mode-ro-executables"],
    ["-b", "before", "--tree=dir=a", "--skip-if-unchanged"],
    ["-b", "before", "--tree=dir=b", "--skip-if-unchanged"],
    ["-b", "x", "a", "--add-metadata-string=k=v=w", "--add-metadata=n=[<1>, <'two'>]", "--add-metadata-string=k=v"],
    ["-b", "x", "a", "--bind-ref=z", "--bind-ref=y"],
    ["-b", "x", "a", "--no-bindings"],
    ["-b", "x", "a", "--timestamp=November 05 1955"],
    ["-b", "x", "a", "--timestamp=@-5"],
    ["--orphan", "a"],
    ["--orphan", "-b", "before", "a"],
    ["-b", "x", "--tree=dir=b", "--table-output"],
    ["-b", "before", "--tree=dir=a", "--table-output", "--fsync=false"],
    ["-b", "x", "a", "--link-checkout-speedup"],
]


@pytest.mark.parametrize("options", SAME, ids=" ".join)
def test_the_same_commit(pair: list[Path], options: list[str]) -> None:
    c, ours = pair
    for repo in pair:
        ostree(repo, "commit", "-b", "before", "a", WHEN)
    assert larix(ours, "commit", *options) == ostree(c, "commit", *options)
    assert larix(ours, "refs") == ostree(ours, "refs")
    assert {ref: larix(ours, "rev-parse", ref) for ref in ostree(ours, "refs").split()} == {
        ref: ostree(c, "rev-parse", ref) for ref in ostree(c, "refs").split()
    }
    ostree(ours, "fsck", "-q")


def test_a_body_may_be_a_symlink_or_a_pipe(pair: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("A body\n")
    (tmp_path / "link").symlink_to("text")
    os.mkfifo(tmp_path / "pipe")
    for name in "link", "pipe":
        for by, repo in (ostree, pair[0]), (larix, pair[1]):
            # Waits for a reader, and fails where there is none.
            writer = (
                ["timeout", "20", "sh", "-c", f"cat {tmp_path}/text > {tmp_path}/{name}"]
                if name == "pipe"
                else ["true"]
            )
            with subprocess.Popen(writer) as process:
                by(repo, "commit", "-b", name, "-F", tmp_path / name, WHEN, "a")
            assert process.returncode == 0
        assert larix(pair[1], "rev-parse", name) == ostree(pair[0], "rev-parse", name)
    assert "A body" in larix(pair[1], "show", "pipe")


REFUSED = [
    ["a"],
    ["-b", "x", "--tree=dir=none"],
    ["-b", "x", "--tree=ref=none"],
    ["-b", "x", "--tree=tar=none"],
    ["-b", "x", "--tree=what=a"],
    ["-b", "x", "--tree=a"],
    ["-b", "../x", "a"],
    ["-b", "x", "--tree=dir=a", "--canonical-permissions", "--owner-uid=7"],
    ["-b", "x", "--tree=dir=a", "--owner-gid=4294967295"],
    ["-b", "x", "--tree=dir=a", "--owner-uid=root"],
    ["-b", "x", "--tree=dir=b", "--skip-list=skipped"],
    ["-b", "x", "--tree=dir=b", "--statoverride=overrides"],
    ["-b", "x", "--tree=dir=a", "--skip-list=none"],
    ["-b", "x", "--tree=dir=a", "--statoverride=body"],
    ["-b", "x", "a", "--parent=before"],
    ["-b", "x", "a", "--add-metadata-string=k"],
    ["-b", "x", "a", "--add-metadata-string==v"],
    ["-b", "x", "a", "--add-metadata=k=unquoted"],
    ["-b", "x", "a", "--add-detached-metadata-string=k"],
    ["-b", "before", "a", "--keep-metadata=none"],
    ["-b", "x", "a", "--bootable"],
    ["-b", "x", "a", "--fsync=perhaps"],
    ["-b", "x", "a", "--timestamp=whenever"],
    ["-b", "x", "--tree=tar=body"],
]


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
def test_the_same_refused(pair: list[Path], options: list[str]) -> None:
    for repo in pair:
        ostree(repo, "commit", "-b", "before", "a", WHEN)
    before = picture(pair[1])
    assert run_c(f"--repo={pair[0]}", "commit", *options, check=False).returncode != 0
    fails(f"--repo={pair[1]}", "commit", *options)
    assert picture(pair[1]) == before


def test_metadata_from_the_parent_and_the_kernel(pair: list[Path]) -> None:
    for repo, run in zip(pair, (ostree, larix), strict=True):
        ostree(repo, "commit", "-b", "x", "a", WHEN, "--add-metadata-string=kept=1", "--add-metadata=n=<3>")
        run(repo, "commit", "-b", "x", "--tree=dir=os", "--bootable", "--keep-metadata=n", "--keep-metadata=kept")
    # The C tool has these in the order of a hash table.
    for key in "n", "kept", "ostree.linux", "ostree.bootable", "ostree.ref-binding":
        shown = [ostree(repo, "show", f"--print-metadata-key={key}", "x") for repo in pair]
        assert shown[0] == shown[1], key


def test_detached_metadata(pair: list[Path]) -> None:
    options = [
        "commit",
        "-b",
        "x",
        "a",
        WHEN,
        "--add-detached-metadata-string=a=b",
        "--add-detached-metadata-string=c=",
    ]
    assert larix(pair[1], *options) == ostree(pair[0], *options)
    theirs, ours = ([path for path in everything(repo) if path.suffix == ".commitmeta"] for repo in pair)
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs] != []


def test_an_editor_writes_the_message(pair: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "message").write_text("# comment\nSubject \n\nbody\n# more\nend\n\n")
    monkeypatch.setenv("EDITOR", f"cp {tmp_path}/message")
    monkeypatch.delenv("VISUAL", raising=False)
    assert larix(pair[1], "commit", "-b", "x", "-e", "a") == ostree(pair[0], "commit", "-b", "x", "-e", "a")
    (tmp_path / "message").write_text("\n# nothing\n")
    assert "empty commit subject" in fails(f"--repo={pair[1]}", "commit", "-b", "x", "-e", "a")
    monkeypatch.setenv("EDITOR", "false")
    assert "nothing was committed" in fails(f"--repo={pair[1]}", "commit", "-b", "x", "-e", "a")


def test_consumed_trees_are_gone_when_committed(pair: list[Path], tmp_path: Path) -> None:
    for name in "a", "b":
        shutil.copytree(name, tmp_path / name, symlinks=True)
    options = ["commit", "-b", "x", f"--tree=dir={tmp_path}/a", f"--tree=dir={tmp_path}/b", "--consume"]
    fails(f"--repo={pair[1]}", *options, "--tree=dir=none")
    assert (tmp_path / "a").exists()
    consumed = larix(pair[1], *options)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert ostree(pair[0], "commit", "-b", "x", "--tree=dir=a", "--tree=dir=b") == consumed


@pytest.mark.parametrize("option", ["-I", "--devino-canonical", "--link-checkout-speedup"])
def test_files_linked_to_objects_are_not_read(pair: list[Path], tmp_path: Path, option: str) -> None:
    repo = pair[1]
    ostree(repo, "commit", "-b", "before", "a")
    mode = (repo / "config").read_text()
    if "mode=archive" in mode:
        pytest.skip("an archive has nothing to link to")
    ostree(repo, "checkout", "-H", *(["-U"] if "bare-user" in mode else []), "before", tmp_path / "out")
    (tmp_path / "out/new").write_text("new")
    table = larix(repo, "commit", "-b", "x", f"--tree=dir={tmp_path}/out", option, "--table-output")
    # There, what was changed of the link is changed of the object, and only reading it tells.
    is_read = "bare-user-only" in mode and option == "--link-checkout-speedup"
    hits = re.findall("Content Cache Hits: (.*)", table)
    assert hits == ["0"] if is_read else hits in (["4"], ["5"])
    assert "Content Written: 1" in table
    assert larix(repo, "diff", "before", "x") == "A    /new"


def test_sizes_of_all_objects(pair: list[Path]) -> None:
    found = []
    for path, run in zip(pair, (ostree, larix), strict=True):
        run(path, "commit", "-b", "x", "--tree=dir=a", "--generate-sizes")
        stored = {f"{size.checksum}.{size.type and size.type.extension}": size for size in sizes_in(path, "x")}
        for name, size in stored.items():
            object_path = path / "objects" / name[:2] / name[2:].replace(".file", ".filez")
            assert object_path.stat().st_size == size.packed
        # How well a file is compressed is up to the tool.
        found.append({name: size.unpacked for name, size in stored.items()})
    assert found[0] == found[1]
    assert bool(found[0]) == ("mode=archive" in (pair[0] / "config").read_text())


def test_sizes_of_several_trees(pair: list[Path]) -> None:
    """Of which the C tool names the files of the last alone."""
    larix(pair[1], "commit", "-b", "x", "--tree=dir=a", "--tree=dir=b", "--generate-sizes", "--parent=none")
    if sizes := sizes_in(pair[1], "x"):
        objects = [path for path in everything(pair[1] / "objects") if path.is_file() and path.suffix != ".commit"]
        # One file of the first tree lies under another of the second.
        assert len(sizes) == len(objects) - 1


def sizes_in(path: Path, rev: str) -> list[Size]:
    with Repo(str(path)) as repo:
        items = repo.load_commit(repo.refs.resolve(rev)).metadata.get("ostree.sizes")
        return [decode_size(item) for item in items.value] if items is not None else []


def test_bits_are_added_to_directories_as_by_the_c_tool(pair: list[Path], tmp_path: Path) -> None:
    """To those of an archive; not to those of this machine or of a commit, which is told."""
    tree = tmp_path / "bits"
    (tree / "d").mkdir(parents=True)
    (tree / "f").touch()
    (tmp_path / "lines").write_text("+1024 /d\n+1024 /f\n+5 /\n")
    with tarfile.open(tmp_path / "bits.tar", "w") as archive:
        archive.add(tree, ".")
    for repo in pair:
        ostree(repo, "commit", "-b", "before", tree, WHEN)
    for kind in f"dir={tree}", f"tar={tmp_path / 'bits.tar'}", "ref=before":
        words = "commit", "-b", "x", f"--tree={kind}", f"--statoverride={tmp_path / 'lines'}", "--parent=none", WHEN
        done = run_larix(f"--repo={pair[1]}", *words)
        assert done.out.strip() == ostree(pair[0], *words), kind
        for path in "/", "/d":
            assert (f"mode of {path} unchanged" in done.err) == (not kind.startswith("tar"))


def test_a_branch_that_moves_under_a_tree_made_by_hand(tmp_path: Path, tree: Path) -> None:
    with api.Repo.init(str(tmp_path / "repo"), "archive") as repo:
        first = api.commit_directory(repo, str(tree), "main")
        second = api.commit_directory(repo, str(tree / "usr"), "main")
        with api.Transaction(repo) as transaction, pytest.raises(api.Moved):
            api.commit_tree(
                transaction,
                api.Stored(repo.load_commit(first).dirtree, repo.load_commit(first).dirmeta),
                "main",
                api.CommitOptions(expected=first),
            )
            transaction.commit()
        assert repo.refs.resolve("main") == second


def test_a_branch_that_moves_while_a_message_is_written(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    ostree(repo, "commit", "-b", "main", "--add-metadata-string=k=v", tree)
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!/bin/sh\ntouch {tmp_path}/edited\nostree --repo={repo} commit -b main {tree}/usr >/dev/null\n"
    )
    editor.write_text(editor.read_text() + 'echo message >"$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("OSTREE_EDITOR", raising=False)
    words = f"--repo={repo}", "commit", "-b", "main", "--editor", str(tree)
    assert "Missing metadata key 'none'" in fails(*words, "--keep-metadata=none")
    assert not (tmp_path / "edited").exists()
    assert "Ref main was at" in fails(*words, "--keep-metadata=k")
    assert ostree(repo, "log", "main").count("commit ") == 2


def test_archives_are_read_one_after_the_other(tmp_path: Path, tree: Path) -> None:
    """Who writes them may do so in that order."""
    for name in "one", "two":
        os.mkfifo(tmp_path / name)
        shutil.make_archive(str(tmp_path / f"{name}-made"), "tar", tree)
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    script = f"(cat {tmp_path}/one-made.tar >{tmp_path}/one; cat {tmp_path}/two-made.tar >{tmp_path}/two) & "
    script += f"{sys.executable} -m larix --repo={repo} commit -b x --tree=tar={tmp_path}/one --tree=tar={tmp_path}/two"
    subprocess.run(["timeout", "60", "bash", "-c", script], check=True, capture_output=True)
    assert ostree(repo, "fsck")


@pytest.mark.parametrize("mode", ["bare-user", "archive", "bare"])
@pytest.mark.parametrize(
    "change",
    [
        "--owner-uid=3",
        "--owner-gid=4",
        "--mode-ro-executables",
        "--statoverride={list}",
        "--no-xattrs",
        "--owner-uid=3 -I",
    ],
)
def test_links_that_are_changed(change: str, mode: str, tmp_path: Path, tree: Path) -> None:
    """They are the objects that they are links to, with all that these say of themselves."""
    if mode == "bare" and os.geteuid() != 0:
        pytest.skip("only root has such repos")
    (tmp_path / "list").write_text("+2048 /usr/bin/tool\n")
    words = change.format(list=tmp_path / "list").split()
    made = []
    for tool in larix, ostree:
        ostree(repo := tmp_path / tool.__name__, "init", f"--mode={mode}")
        ostree(repo, "commit", "-b", "main", WHEN, tree)
        out = tmp_path / f"{tool.__name__}-out"
        ostree(
            repo, "checkout", *([] if mode == "bare" else ["-U"]), *([] if mode == "archive" else ["-H"]), "main", out
        )
        made.append(tool(repo, "commit", "-b", "again", WHEN, "--parent=none", "--link-checkout-speedup", *words, out))
        ostree(repo, "fsck")
    assert made[0] == made[1]


def test_links_whose_mode_was_changed(tmp_path: Path, tree: Path) -> None:
    """In a repo of plain files that damages the object; a new commit is whole all the same."""
    made = []
    for tool in larix, ostree:
        (source := tmp_path / f"{tool.__name__}-tree").mkdir()
        (source / "a").write_text("a")
        ostree(repo := tmp_path / tool.__name__, "init", "--mode=bare-user-only")
        ostree(repo, "commit", "-b", "x", source)
        ostree(repo, "checkout", "-U", "-H", "x", out := tmp_path / f"{tool.__name__}-out")
        (out / "a").chmod(0o755)
        made.append(tool(repo, "commit", "-b", "y", WHEN, "--link-checkout-speedup", out))
        ostree(repo, "refs", "--delete", "x")
        ostree(repo, "prune", "--refs-only")
        ostree(repo, "fsck")
    assert made[0] == made[1]


def test_counts_of_links_that_are_changed(tmp_path: Path, tree: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    ostree(repo, "commit", "-b", "main", tree)
    ostree(repo, "checkout", "-U", "-H", "main", tmp_path / "out")
    words = "commit", "-b", "x", "--table-output", "--link-checkout-speedup"
    totals = [
        re.findall("Content Total: .*", tool(repo, *words, "--parent=none", "--no-xattrs", tmp_path / "out"))
        for tool in (larix, ostree)
    ]
    assert totals[0] == totals[1]


def test_what_names_the_kernel_twice(tmp_path: Path) -> None:
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    made = []
    for tool in larix, ostree:
        ostree(repo := tmp_path / tool.__name__, "init", "--mode=archive")
        tool(repo, "commit", "-b", "x", "--bootable", "--add-metadata-string=ostree.linux=mine", tree)
        made.append(ostree(repo, "show", "--print-metadata-key=ostree.linux", "x"))
    assert made == ["'6.1.0'"] * 2
    with api.Repo(str(tmp_path / "larix")) as opened:
        keys = [key for key, _ in opened.load_commit(opened.refs.resolve("x")).metadata.pairs]
    assert len(keys) == len({*keys})


def test_a_list_that_leaves_all_out(tmp_path: Path, tree: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    ostree(repo, "commit", "-b", "main", tree)
    (tmp_path / "list").write_text("/\n")
    archive = shutil.make_archive(str(tmp_path / "made"), "tar", tree)
    for layer in f"dir={tree}", "ref=main", f"tar={archive}":
        said = fails(f"--repo={repo}", "commit", "-b", "x", f"--skip-list={tmp_path}/list", f"--tree={layer}")
        assert "Can't commit an empty tree" in said


def test_an_archive_in_memory(tmp_path: Path, tree: Path) -> None:
    archive = io.BytesIO(Path(shutil.make_archive(str(tmp_path / "made"), "tar", tree)).read_bytes())
    with api.Repo.init(str(tmp_path / "repo"), "archive") as repo:
        assert api.commit(repo, [api.FromArchive(archive)], "main").checksum
    assert not archive.closed
