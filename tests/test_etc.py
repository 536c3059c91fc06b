"""/etc in the next deployment: laws on generated trees, and beside the C tool."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from larix.linux import reading
from larix.ops.diff import Changes
from larix.sysroot.copying import copy_tree
from larix.sysroot.etcmerge import merge, read_tree
from larix.sysroot.etcplan import BESIDE, EtcPlan, Item, Reason, plan_merge
from tests.judge import admin, by_c, c_admin, fails, make_os_tree, ostree, picture, run_larix

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the C tool deploys only as root")

NAMES = "abc"
ATTRIBUTES = st.sampled_from([None, None, b"1", b"2"])


class File(NamedTuple):
    content: str
    mode: int = 0o644
    attribute: bytes | None = None


class Link(NamedTuple):
    target: str


class Folder(NamedTuple):
    below: dict[str, "Node"]
    mode: int = 0o755
    attribute: bytes | None = None


Node = File | Link | Folder
# Path -> mode, owner, group, extended attributes, content or target.
Picture = dict[str, Any]
Triple = tuple[Folder, Folder, Folder]

FILES = st.builds(File, st.sampled_from("123"), st.sampled_from([0o644, 0o600, 0o755]), ATTRIBUTES)
LINKS = st.builds(Link, st.sampled_from(["a", "b", "../a"]))
MODES = st.sampled_from([0o755, 0o700])


def folders(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(Folder, st.dictionaries(st.sampled_from(NAMES), nodes, max_size=3), MODES, ATTRIBUTES)


NODES: st.SearchStrategy[Node] = st.recursive(FILES | LINKS, folders, max_leaves=6)


@st.composite
def changed(draw: st.DrawFn, tree: Folder) -> Folder:
    """Another state of a directory."""
    below: dict[str, Node] = {}
    for name in NAMES:
        old = tree.below.get(name)
        do = draw(st.sampled_from(["keep"] * 8 + ["remove", "replace", "edit", "edit"]))
        if do == "replace":
            below[name] = draw(NODES)
        elif old is None or do == "remove":
            continue
        elif isinstance(old, Folder):
            mode, attribute = (draw(MODES), draw(ATTRIBUTES)) if do == "edit" else old[1:]
            below[name] = Folder(draw(changed(old)).below, mode, attribute)
        elif do == "edit":
            below[name] = draw(FILES) if isinstance(old, File) else draw(LINKS)
        else:
            below[name] = old
    return Folder(below)


@st.composite
def triples(draw: st.DrawFn) -> Triple:
    """The old defaults, what an administrator made of them, and the new defaults."""
    old = Folder(draw(st.dictionaries(st.sampled_from(NAMES), NODES, max_size=3)))
    return old, draw(changed(old)), draw(changed(old))


def seen_by_c(tree: Folder, before: Folder | None = None) -> Folder:
    """Without what the C tool does not see: attributes of directories, and of files that changed in nothing else."""
    below: dict[str, Node] = {}
    for name, node in tree.below.items():
        old = before.below.get(name) if before is not None else None
        if isinstance(node, Folder):
            below[name] = seen_by_c(node, old if isinstance(old, Folder) else None)
        else:
            below[name] = old if isinstance(old, File) and old[:2] == node[:2] else node
    return Folder(below, tree.mode)


def lay(path: Path, node: Node) -> None:
    if isinstance(node, Link):
        path.symlink_to(node.target)
        return
    if isinstance(node, Folder):
        path.mkdir()
        for name, below in node.below.items():
            lay(path / name, below)
    else:
        path.write_text(node.content)
    path.chmod(node.mode)
    if node.attribute is not None:
        os.setxattr(path, "user.key", node.attribute)


def below(root: Path) -> Picture:
    found: Picture = picture(root)
    del found["."]
    return found


def is_directory(item: object) -> bool:
    return isinstance(item, tuple) and stat.S_ISDIR(item[0])


def ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def merged(top: Path) -> EtcPlan:
    """Merge `old`, `etc` and `new` below a directory, as a deployment does, into `target`."""
    (top / "target").mkdir()
    fds = [reading.open_directory(str(top / name)) for name in ("old", "etc", "new", "target")]
    try:
        plan = plan_merge(*(read_tree(fd) for fd in fds[:3]))
        copy_tree(fds[2], fds[3])
        merge(plan, fds[1], fds[3])
    finally:
        for fd in fds:
            os.close(fd)
    return plan


A_FILE, A_FOLDER = File("1"), Folder({"a": File("1")})


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(triples())
@example((Folder({"a": A_FILE}), Folder({"a": A_FOLDER}), Folder({"a": File("2")})))
@example((Folder({"a": A_FOLDER}), Folder({"a": A_FOLDER._replace(mode=0o700)}), Folder({"a": Link("b")})))
@example((Folder({"a": A_FOLDER}), Folder({"a": Folder({})}), Folder({"a": Link("b"), "b": A_FOLDER})))
@example((Folder({"a": A_FOLDER}), Folder({"a": Folder({"a": File("2")})}), Folder({"a": Link("b"), "b": A_FOLDER})))
@example((Folder({"a": A_FILE}), Folder({"a": File("2")}), Folder({"a": A_FOLDER})))
@example((Folder({}), Folder({"a": Link("b")}), Folder({"a": A_FOLDER})))
@example((Folder({"a": A_FOLDER}), Folder({"a": Link("b")}), Folder({"a": Folder({"a": File("2")})})))
def test_laws(triple: Triple) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for part, node in zip(("old", "etc", "new"), triple, strict=True):
            lay(top / part, node)
        before = picture(top)
        old, etc, new = (below(top / part) for part in ("old", "etc", "new"))
        touched = {path for path in old.keys() | etc.keys() if old.get(path) != etc.get(path)}
        plan = merged(top)
        target = below(top / "target")
        shutil.rmtree(top / "target")
        assert picture(top) == before
    beside = {one.path: one.yours for one in plan.conflicts if one.yours not in (None, one.path)}

    def place(path: str) -> str:
        tops = [top for top in (*ancestors(path), path) if top in beside]
        return f"{beside[tops[0]]}{path.removeprefix(tops[0])}" if tops else path

    for path in touched & etc.keys():
        assert target[place(path)] == etc[path]
    for path in touched - etc.keys():
        assert path not in target
    for path in beside:
        # Only where what was touched is a file that meets a new directory, or lies below what is none any more.
        assert target[path] == new[path]
        if is_directory(new[path]):
            assert path in touched and not is_directory(old.get(path))
        else:
            assert path not in touched and any(path in ancestors(one) for one in touched)
    kept = {place(path) for path in etc if place(path) != path}
    for path in (new.keys() | target.keys()) - touched - kept:
        replaced = [one for one in ancestors(path) if one in touched - beside.keys() and not is_directory(etc.get(one))]
        if path in new and not replaced:
            assert target[path] == new[path]
        elif path in target:
            # Not in the new tree: a directory for what was touched in it, or what is in a touched directory.
            assert target[path] == etc[path]
            assert any(path in ancestors(other) for other in touched) or set(ancestors(path)) & touched
    assert set(plan.incoming.added) == target.keys() - etc.keys() - kept
    assert set(plan.incoming.modified) == {path for path in target.keys() & etc.keys() if target[path] != etc[path]}
    gone = etc.keys() - target.keys()
    # What is in a removed directory is not listed, nor what was in one that is a file now.
    listed = {path for path in gone if all(is_directory(target.get(parent)) for parent in ancestors(path))}
    assert set(plan.incoming.removed) == listed
    for conflict in plan.conflicts:
        assert conflict.default == (conflict.path in new)
        assert conflict.yours is None or conflict.yours in target
        assert (conflict.yours is None) == (conflict.reason is Reason.REMOVED)


def c_differs(plan: EtcPlan, old: Picture, etc: Picture, new: Picture) -> bool:
    """Where the C tool fails, follows a symlink or loses what was added: see docs/compatibility.md."""
    removed_below = any(
        parent in new and not is_directory(new[parent]) for path in plan.kept.removed for parent in ancestors(path)
    )
    now_directories = [path for path in plan.kept.modified if is_directory(etc[path]) and not is_directory(old[path])]
    stops = any(one.reason in (Reason.FILE_OVER_DIRECTORY, Reason.BELOW_FILE) for one in plan.conflicts)
    return removed_below or stops or any(is_directory(new.get(path)) for path in now_directories)


def as_c_has_it(result: Picture, plan: EtcPlan, etc: Picture, new: Picture) -> None:
    """The C tool forgets the mode of a directory that was changed, and takes that of one in which something was."""
    for path in plan.kept.modified + plan.kept.added:
        if is_directory(etc[path]) and is_directory(new.get(path)):
            result[path] = new[path]
    for path in plan.kept.modified + plan.kept.added:
        if "/" in path:
            parent = path.rpartition("/")[0]
            result[parent] = etc[parent]


def compare_with_c(tmp_path: Path, count: int, *, derandomize: bool) -> int:
    """Merge generated triples in one deployment by the C tool, each in a directory of its own; how many they were."""
    found: list[Triple] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(triples())
    def collect(triple: Triple) -> None:
        old, etc, new = triple
        found.append((seen_by_c(old), seen_by_c(etc, old), seen_by_c(new)))

    collect()
    repo, sysroot, tree = tmp_path / "repo", tmp_path / "sysroot", make_os_tree(tmp_path / "tree", "1", "6")
    ostree(repo, "init", "--mode=archive")
    expected: dict[str, Picture] = {}
    plans: dict[str, EtcPlan] = {}
    for i, triple in enumerate(found):
        top = tmp_path / f"t{i}"
        top.mkdir()
        for part, node in zip(("old", "etc", "new"), triple, strict=True):
            lay(top / part, node)
        plan = merged(top)
        old, etc, new, result = (below(top / part) for part in ("old", "etc", "new", "target"))
        if not c_differs(plan, old, etc, new):
            as_c_has_it(result, plan, etc, new)
            expected[top.name], plans[top.name] = result, plan
    for version, part in ("1", "old"), ("2", "new"):
        for name in expected:
            shutil.rmtree(tree / "usr/etc" / name, ignore_errors=True)
            shutil.copytree(tmp_path / name / part, tree / "usr/etc" / name, symlinks=True)
        ostree(repo, "commit", "-b", f"os/{version}", f"--tree=dir={tree}")
    sysroot.mkdir()
    c_admin(sysroot, "init-fs", sysroot)
    c_admin(sysroot, "os-init", "test")
    ostree(sysroot / "ostree/repo", "pull-local", repo)
    c_admin(sysroot, "deploy", "--os=test", "os/1")
    deployments = sysroot / "ostree/deploy/test/deploy"
    first = next(path for path in deployments.iterdir() if path.is_dir())
    for name in expected:
        shutil.rmtree(first / "etc" / name)
        shutil.copytree(tmp_path / name / "etc", first / "etc" / name, symlinks=True)
    c_admin(sysroot, "deploy", "--os=test", "os/2")
    second = next(path for path in deployments.iterdir() if path.is_dir() and path != first)
    for name, result in expected.items():
        assert below(second / "etc" / name) == result, (name, plans[name])
    return len(expected)


@as_root
def test_as_the_c_tool_merges(tmp_path: Path) -> None:
    assert compare_with_c(tmp_path, 120, derandomize=True) > 80


@as_root
def test_the_plan_is_what_an_upgrade_does(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    sysroot = by_c(tmp_path / "sysroot", releases)
    admin(sysroot, "deploy", "--os=test", "origin:os/1")
    etc = next(path for path in (sysroot / "ostree/deploy/test/deploy").iterdir() if path.is_dir()) / "etc"
    (etc / "new").write_text("by admin")
    (etc / "same").unlink()
    (etc / "own").mkdir()
    (etc / "own/file").write_text("own")
    before = picture(sysroot)
    words = ["etc-merge", "--plan", "--os=test"]
    assert "C    /etc/new: changed by you and in the new tree" in admin(sysroot, *words, "origin:os/2")
    assert "Conflicts" not in admin(sysroot, *words)
    found = json.loads(admin(sysroot, *words, "--json", "origin:os/2"))
    assert found["kept"] == {"added": ["own", "own/file"], "changed": ["new"], "removed": ["same"]}
    conflict = {"path": "new", "reason": "both-changed", "yours": "/etc/new", "default": "/usr/etc/new"}
    assert found["conflicts"] == [conflict]
    assert (found["added"], found["changed"], found["removed"]) == ([], [], [])
    assert "Give --plan" in fails("admin", "etc-merge", f"--sysroot={sysroot}")
    assert picture(sysroot) == before
    done = run_larix("admin", "deploy", "--os=test", "origin:os/2", f"--sysroot={sysroot}")
    assert done.err == "Note: /etc/new: changed by you and in the new tree; yours is kept, the other is /usr/etc/new\n"
    assert "    Conflicts in /etc, where yours was kept: new\n" in admin(sysroot, "status")
    status = json.loads(admin(sysroot, "status", "--json"))["deployments"]
    assert [one["etc_conflicts"] for one in status] == [found["conflicts"], []]
    # A status is asked for when something is broken, too.
    made = next(path for path in (sysroot / "ostree/deploy/test/deploy").glob("*/etc") if path != etc)
    made.rename(made.with_name("gone"))
    assert "Conflicts" not in admin(sysroot, "status")
    assert len(json.loads(admin(sysroot, "status", "--json"))["deployments"]) == 2


class Meeting(NamedTuple):
    """What an administrator did to `conf`, and what the next tree has there, of which the C tool 2022.7 makes an error.

    `yours` is where each content is found then, relative to /etc.
    """

    first: Node | None
    own: Node | None
    second: Node | None
    reason: Reason
    yours: dict[str, str]
    said: str


KEPT = f"conf{BESIDE}"
MEETINGS = {
    "below a symlink": Meeting(
        Folder({"a": File("1"), "b": File("1")}),
        Folder({"a": File("mine"), "b": File("1")}),
        Link("other"),
        Reason.BELOW_FILE,
        {f"{KEPT}/a": "mine"},
        f"what you changed in it is now in /etc/{KEPT}",
    ),
    "equal by chance": Meeting(
        Folder({"a": File("1")}),
        Folder({"a": File("in other")}),
        Link("other"),
        Reason.BELOW_FILE,
        {f"{KEPT}/a": "in other"},
        f"is now in /etc/{KEPT}",
    ),
    "below a file": Meeting(
        Folder({"a": Folder({"b": File("1")})}),
        Folder({"a": Folder({"b": File("1"), "c": File("mine")})}),
        File("2"),
        Reason.BELOW_FILE,
        {f"{KEPT}/a/c": "mine", "conf": "2"},
        f"is now in /etc/{KEPT}",
    ),
    "file and new directory": Meeting(
        File("1"),
        File("mine"),
        Folder({"a": File("2")}),
        Reason.FILE_OVER_DIRECTORY,
        {KEPT: "mine", "conf/a": "2"},
        f"yours is now /etc/{KEPT}",
    ),
    "own file and new directory": Meeting(
        None,
        File("mine"),
        Folder({"a": File("2")}),
        Reason.FILE_OVER_DIRECTORY,
        {KEPT: "mine", "conf/a": "2"},
        f"yours is now /etc/{KEPT}",
    ),
    "file for a directory": Meeting(
        Folder({"a": File("1")}),
        File("mine"),
        Folder({"a": File("2")}),
        Reason.FILE_OVER_DIRECTORY,
        {"conf": "mine"},
        "yours is kept, and the new default is /usr/etc/conf",
    ),
    "directory and new file": Meeting(
        File("1"),
        Folder({"a": File("mine")}),
        File("2"),
        Reason.DIRECTORY_OVER_FILE,
        {"conf/a": "mine"},
        "yours is kept with all in it, and the new default is /usr/etc/conf",
    ),
    "default that went": Meeting(
        File("1"), File("mine"), None, Reason.DEFAULT_REMOVED, {"conf": "mine"}, "not in the new tree; yours is kept"
    ),
    "removed and changed": Meeting(
        File("1"), None, File("2"), Reason.REMOVED, {}, "it stays away, and the new default is /usr/etc/conf"
    ),
}


@as_root
@pytest.mark.parametrize("meeting", MEETINGS.values(), ids=list(MEETINGS))
def test_an_upgrade_goes_on(tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    repo, sysroot = tmp_path / "repo", tmp_path / "sysroot"
    run_larix("init", "--mode=archive", f"--repo={repo}")
    for version, node in ("1", meeting.first), ("2", meeting.second):
        tree = make_os_tree(tmp_path / f"tree{version}", version, "6")
        lay(tree / "usr/etc/other", Folder({"a": File("in other")}))
        if node is not None:
            lay(tree / "usr/etc/conf", node)
        run_larix("commit", "-b", "os/x", f"--tree=dir={tree}", f"--repo={repo}")
        if version == "1":
            sysroot.mkdir()
            admin(sysroot, "init-fs", sysroot)
            admin(sysroot, "os-init", "test")
            run_larix("remote", "add", "--no-gpg-verify", "origin", f"file://{repo}", f"--repo={sysroot}/ostree/repo")
            run_larix("pull", "origin", "os/x", f"--repo={sysroot}/ostree/repo")
            admin(sysroot, "deploy", "--os=test", "origin:os/x")
    deployments = sysroot / "ostree/deploy/test/deploy"
    first = next(path for path in deployments.iterdir() if path.is_dir())
    if meeting.first is not None:
        shutil.rmtree(first / "etc/conf", ignore_errors=True)
        (first / "etc/conf").unlink(missing_ok=True)
    if meeting.own is not None:
        lay(first / "etc/conf", meeting.own)
    before = picture(first)
    admin(sysroot, "upgrade", "--os=test", "--pull-only")
    plan = json.loads(admin(sysroot, "etc-merge", "--plan", "--os=test", "--json"))
    assert meeting.said in admin(sysroot, "etc-merge", "--plan", "--os=test")
    done = run_larix("admin", "upgrade", "--os=test", "--deploy-only", f"--sysroot={sysroot}")
    assert done.status == 0
    assert meeting.said in done.err
    (conflict,) = plan["conflicts"]
    assert (conflict["path"], conflict["reason"]) == ("conf", meeting.reason)
    second = next(path for path in deployments.iterdir() if path.is_dir() and path != first)
    for place, content in meeting.yours.items():
        assert (second / "etc" / place).read_text() == content
    for side in "yours", "default":
        assert conflict[side] is None or os.path.lexists(f"{second}{conflict[side]}")
    assert (conflict["yours"] is None) == (meeting.own is None)
    assert (conflict["default"] is None) == (meeting.second is None)
    status = json.loads(admin(sysroot, "status", "--json"))["deployments"]
    assert status[0]["etc_conflicts"] == [conflict]
    assert "Conflicts in /etc, where yours was kept: conf" in admin(sysroot, "status")
    assert picture(first) == before


def test_what_is_no_file_is_not_carried_over_and_told(tmp_path: Path) -> None:
    for part in "old", "etc", "new":
        (tmp_path / part).mkdir()
    for name in "own", "default":
        os.mkfifo(tmp_path / "etc" / name)
    for part in "old", "new":
        (tmp_path / part / "default").write_text("1")
    plan = merged(tmp_path)
    assert plan.left_out == Changes(modified=["default"], added=["own"])
    assert plan.kept == Changes()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["default"]


def test_what_vanished_since_it_was_planned_is_left_out(tmp_path: Path) -> None:
    for part in "etc", "target":
        (tmp_path / part).mkdir()
    (tmp_path / "etc/kept").write_text("mine")
    paths = ["kept", "run", "run/sub", "run/sub/file"]
    with (
        reading.closing(reading.open_directory(str(tmp_path / "etc"))) as etc,
        reading.closing(reading.open_directory(str(tmp_path / "target"))) as target,
    ):
        merge(EtcPlan(placed={path: path for path in paths}), etc, target)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["kept"]


def test_a_plan_of_many_paths() -> None:
    """Which would take hours, were each compared with all others, or its way down walked."""
    folder, file, other = Item(0o40755, 0, 0), Item(0o100644, 0, 0, (), b"1"), Item(0o100644, 0, 0, (), b"2")
    chain = {"/".join("d" * level): folder for level in range(1, 3001)}
    wide = {f"{kind}{number}": file for kind in ("gone", "own", "same") for number in range(10_000)}
    old = {**chain, **{path: file for path in wide if not path.startswith("own")}, "top": folder, "top/x": file}
    etc = {path: item for path, item in {**old, **wide}.items() if not path.startswith("gone")}
    etc |= {f"{path}/file": file for path in chain} | {"top/x": other}
    etc |= {"/".join("n" * level): folder for level in range(1, 3001)}
    plan = plan_merge(old, etc, {**old, "top": file})
    assert len(plan.kept.removed) == 10_000 and len(plan.kept.added) == 16_000
    assert plan.placed[f"top{BESIDE}/x"] == "top/x"
    assert plan.placed["/".join("n" * 3000)] == "/".join("n" * 3000)


def test_a_deep_etc(tmp_path: Path) -> None:
    for part in "old", "etc", "new":
        (tmp_path / part).mkdir()
        for level in range(0, 1200, 200):
            (tmp_path / part / ("d/" * level)).mkdir(parents=True, exist_ok=True)
    try:
        deepest = tmp_path / "etc" / ("d/" * 1000)
        (deepest / "own").write_text("mine")
        (tmp_path / "new" / ("d/" * 1000) / "new").write_text("2")
        assert merged(tmp_path).kept.added == ["d/" * 1000 + "own"]
        assert sorted(os.listdir(tmp_path / "target" / ("d/" * 1000))) == ["new", "own"]
    finally:
        # Python's own way does not come that deep.
        subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def test_what_is_kept_beside_has_a_name_of_its_own(tmp_path: Path) -> None:
    longest = "é" * 127
    for part in "old", "etc", "new":
        (tmp_path / part).mkdir()
    for name in "a", longest:
        (tmp_path / "etc" / name).write_text("mine")
        (tmp_path / "new" / name).mkdir()
        (tmp_path / "new" / name / "file").write_text("2")
    (tmp_path / f"etc/a{BESIDE}").write_text("older")
    (tmp_path / f"new/a{BESIDE}2").write_text("new")
    plan = merged(tmp_path)
    assert [one.path for one in plan.conflicts] == ["a", longest]
    for conflict in plan.conflicts:
        assert (tmp_path / f"target/{conflict.yours}").read_text() == "mine"
        assert (tmp_path / "target" / conflict.path / "file").read_text() == "2"
    assert (tmp_path / f"target/a{BESIDE}").read_text() == "older"
    assert (tmp_path / f"target/a{BESIDE}2").read_text() == "new"


@as_root
@pytest.mark.slow
def test_as_the_c_tool_merges_many(tmp_path: Path) -> None:
    assert compare_with_c(tmp_path, 650, derandomize=False) >= 500
