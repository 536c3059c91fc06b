"""--json says what the C tool says as text."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from tests.judge import larix, make_tree, ostree, run_c, run_larix

REF = "os/stable"


def loaded(repo: Path, *args: str | Path) -> Any:
    return json.loads(larix(repo, *args, "--json"))


def test_ls(c_repos: dict[str, Path]) -> None:
    for repo in c_repos.values():
        expected = ostree(repo, "ls", "-RC", REF).split("\n")
        found = []
        for entry in loaded(repo, "ls", "-R", REF):
            letter = {"file": "-", "directory": "d", "symlink": "l"}[entry["type"]]
            checksums = entry.get("checksum") or f"{entry['dirtree']} {entry['dirmeta']}"
            end = f" -> {entry['target']}" if letter == "l" else ""
            size = entry.get("size", 0)
            line = (
                f"{letter}{entry['mode']:05o} {entry['uid']} {entry['gid']} {size:6} {checksums} {entry['path']}{end}"
            )
            found.append(line)
        assert found == expected


def test_xattrs_of_ls(c_repos: dict[str, Path], tree: Path) -> None:
    found = {entry["path"]: entry["xattrs"] for entry in loaded(c_repos["bare-user"], "ls", "-R", REF)}
    for path in "usr/share/none", "usr/share", "usr/bin/tool":
        keys = os.listxattr(tree / path)
        expected = {key: os.getxattr(tree / path, key).hex() for key in keys if os.getxattr(tree / path, key)}
        assert found[f"/{path}"] == expected


def test_log_and_show(c_repos: dict[str, Path]) -> None:
    repo = c_repos["archive"]
    history = loaded(repo, "log", REF)
    assert [commit["checksum"] for commit in history] == re.findall("^commit (.*)", ostree(repo, "log", REF), re.M)
    assert loaded(repo, "show", REF) == history[0]
    first, last = history[1], history[0]
    assert (first["subject"], first["body"], first["parent"]) == ("First", "", None)
    assert first["timestamp"] == 1767323045
    assert first["metadata"]["ostree.ref-binding"] == [REF]
    assert (last["body"], last["metadata"]["n"]) == ("With\n\na body ü", {"x": 7 << 8})
    assert loaded(repo, "show", "-B", "--print-metadata-key=n", REF) == {"x": 7}
    assert last["dirtree"], last["dirmeta"] == tuple(ostree(repo, "ls", "-dC", REF).split()[4:6])


def test_show_of_other_objects(c_repos: dict[str, Path]) -> None:
    repo = c_repos["bare-user"]
    entries = {entry["path"]: entry for entry in loaded(repo, "ls", "-R", REF)}
    tree = loaded(repo, "show", entries["/usr/bin"]["dirtree"])
    assert tree["files"] == {name: entries[f"/usr/bin/{name}"]["checksum"] for name in ("su", "tool", "tool2")}
    assert list(tree["dirs"]) == ["sticky"]
    meta = loaded(repo, "show", entries["/usr/share"]["dirmeta"])
    assert (meta["uid"], oct(meta["mode"]), list(meta["xattrs"])) == (os.geteuid(), "0o40755", ["user.dir"])
    for path, about in ("/large", {"type": "file", "size": 10_240_000}), ("/link", {"type": "symlink"}):
        found = loaded(repo, "show", entries[path]["checksum"])
        assert found | about == found


def test_refs(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = shutil.copytree(c_repos["archive"], tmp_path / "repo", symlinks=True)
    for args in [f"--create=far:off/one {REF}", f"--create=plain {REF}^", f"-A {REF} --create=alias"]:
        ostree(repo, "refs", *args.split())
    ostree(repo, "config", "set", "core.collection-id", "org.own")
    for prefixes in [], ["os"]:
        shown = ostree(repo, "refs", "--list", *prefixes).split("\n")
        found = loaded(repo, "refs", *prefixes)
        named = {f"{ref['remote']}:{ref['ref']}" if ref["remote"] else ref["ref"]: ref["checksum"] for ref in found}
        assert named == {name: ostree(repo, "rev-parse", name) for name in shown}
    (alias,) = loaded(repo, "refs", "-A")
    assert (alias["ref"], alias["alias_of"]) == ("alias", REF)
    found = loaded(repo, "refs", "-c")
    assert sorted(ostree(repo, "refs", "-c").split("\n")) == [f"({ref['collection']}, {ref['ref']})" for ref in found]
    assert {ref["ref"]: ref["checksum"] for ref in found} == {
        name: ostree(repo, "rev-parse", name) for name in (REF, "plain", "alias")
    }


def test_diff(tmp_path: Path) -> None:
    repo, tree = tmp_path / "repo", make_tree(tmp_path / "tree")
    ostree(repo, "init", "--mode=archive")
    ostree(repo, "commit", "-b", "before", f"--tree=dir={tree}")
    (tree / "large").write_text("smaller")
    (tree / "usr/bin/su").unlink()
    (tree / "usr/new").mkdir()
    ostree(repo, "commit", "-b", "after", f"--tree=dir={tree}")
    found = loaded(repo, "diff", "before", "after", "--stats", "--fs-diff")
    letters = {"M": "modified", "D": "removed", "A": "added"}
    for letter, key in letters.items():
        lines = re.findall(f"^{letter}    (.*)", ostree(repo, "diff", "before", "after"), re.M)
        assert lines and found[key] == lines
    numbers = re.findall("Count: (.*)", ostree(repo, "diff", "before", "after", "--stats"))
    assert [str(found[key]) for key in ("old_objects", "new_objects", "common_objects")] == numbers


def test_fsck(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = shutil.copytree(c_repos["archive"], tmp_path / "repo", symlinks=True)
    assert loaded(repo, "fsck") == {"commits": 2, "partial_commits": [], "problems": []}
    files = {entry["path"]: entry["checksum"] for entry in loaded(repo, "ls", "-R", REF) if "size" in entry}
    gone, bad = files["/usr/bin/su"], files["/usr/bin/tool"]
    (repo / f"objects/{gone[:2]}/{gone[2:]}.filez").unlink()
    shutil.copy(
        repo / f"objects/{files['/large'][:2]}/{files['/large'][2:]}.filez", repo / f"objects/{bad[:2]}/{bad[2:]}.filez"
    )
    done = run_larix(f"--repo={repo}", "fsck", "--json")
    assert done.status == 1
    report = json.loads(done.out)
    history = sorted(commit["checksum"] for commit in loaded(repo, "log", REF))
    assert sorted((problem["checksum"], problem["missing"]) for problem in report["problems"]) == sorted(
        [(gone, True), (bad, False)]
    )
    assert all(sorted(problem["commits"]) == history for problem in report["problems"])


def test_config_remotes_and_summary(c_repos: dict[str, Path], tmp_path: Path) -> None:
    server = shutil.copytree(c_repos["archive"], tmp_path / "server", symlinks=True)
    ostree(server, "summary", "-u", "--add-metadata=own=uint32 7")
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=bare-user")
    assert loaded(repo, "config", "get", "core.mode") == {"group": "core", "key": "mode", "value": "bare-user"}
    assert loaded(repo, "remote", "list") == []
    ostree(repo, "remote", "add", "--no-gpg-verify", "far", f"file://{server}")
    assert loaded(repo, "remote", "list") == [{"name": "far", "url": f"file://{server}", "gpg-verify": "false"}]
    tip = ostree(server, "rev-parse", REF)
    assert loaded(repo, "remote", "refs", "far") == [{"remote": "far", "ref": REF, "checksum": tip}]
    summary = loaded(server, "summary", "--view")
    assert loaded(repo, "remote", "summary", "far") == summary
    (ref,) = summary["refs"]
    assert (ref["collection"], ref["ref"], ref["checksum"]) == (None, REF, tip)
    assert ref["metadata"]["ostree.commit.timestamp"] == loaded(server, "show", REF)["timestamp"]
    assert summary["metadata"]["ostree.summary.mode"] == "archive-z2"
    assert run_c(f"--repo={server}", "summary", "--view").returncode == 0
