"""SELinux labels in commits and checkouts, by Debian's policy, beside the C tool."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from larix.errors import Unsupported
from larix.linux import selinux
from tests.judge import fails, larix, ostree, release, run_c, run_larix

POLICY = Path("/etc/selinux/default")
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root may set labels")
LABEL = "security.selinux"
WHEN = "--timestamp=@1"


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`os` has a policy, `off` one that is turned off, `lost` names one that is not there, `none` has none."""
    assert POLICY.is_dir(), "selinux-policy-default is needed"
    top = tmp_path_factory.mktemp("trees")
    for name in "usr/bin", "usr/etc/ssh", "var/log", "usr/lib/modules", "home", "proc", "tmp":
        (top / "os" / name).mkdir(parents=True)
    for name in "usr/bin/ls", "usr/etc/passwd", "usr/etc/shadow", "usr/etc/ssh/sshd_config", "proc/x", "tmp/x":
        (top / "os" / name).write_text(name)
    (top / "os/bin").symlink_to("usr/bin")
    if ROOT:
        # Those that come after the label in order, the C tool does not put there: see docs/compatibility.md.
        os.setxattr(top / "os/usr/bin/ls", "security.key", b"value")
        # One that the policy has a label for, and one that it has not.
        for name in "usr/etc/passwd", "tmp/x":
            os.setxattr(top / "os" / name, LABEL, b"mine")
    shutil.copytree(top / "os", top / "none", symlinks=True)
    # Those that are compiled are of one release of libselinux.
    shutil.copytree(POLICY, top / "os/usr/etc/selinux/default", ignore=shutil.ignore_patterns("*.bin"))
    (top / "os/usr/etc/selinux/config").write_text("# a comment\nSELINUX=permissive\nSELINUXTYPE=default\n")
    for name in "off", "lost":
        shutil.copytree(top / "os", top / name, symlinks=True)
    (top / "off/usr/etc/selinux/config").write_text("SELINUX=disabled\nSELINUXTYPE=default\n")
    (top / "lost/usr/etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=missing\n")
    return top


COMMITS = [
    "--selinux-policy=os --tree=dir=os",
    "--selinux-policy=os --tree=dir=none",
    "--selinux-policy=os --tree=dir=os --no-xattrs",
    "--selinux-policy=os --tree=dir=os --canonical-permissions",
    "--selinux-policy=os --tree=ref=plain",
    "--selinux-policy=os --tree=tar=tar",
    "--selinux-policy=os --tar-autocreate-parents --tree=tar=part",
    "--selinux-policy=off --tree=dir=os",
    "--selinux-policy=none --tree=dir=os",
    "--selinux-policy-from-base --tree=dir=os",
    "--selinux-policy-from-base --tree=ref=plain",
    "--selinux-policy-from-base --base=plain --tree=dir=none",
    "-P --tree=dir=none",
    "--selinux-policy=os --selinux-labeling-epoch=1 --tree=dir=os",
    "--selinux-policy=os --selinux-labeling-epoch=0 --tree=dir=os",
]


@pytest.mark.parametrize("mode", ["archive", "bare-user"])
@pytest.mark.parametrize("words", COMMITS)
def test_the_same_labels(words: str, mode: str, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "epoch" in words and release() < (2024, 1):
        pytest.skip("older C tools know no epochs")
    monkeypatch.chdir(trees)
    archive = shutil.make_archive(str(tmp_path / "os"), "tar", trees / "os")
    with tarfile.open(tmp_path / "part", "w") as part:
        part.add("os/usr/bin/ls", "usr/bin/ls")
    given = words.replace("tar=tar", f"tar={archive}").replace("tar=part", f"tar={tmp_path}/part").split()
    made = []
    for tool in larix, ostree:
        ostree(repo := tmp_path / tool.__name__, "init", f"--mode={mode}")
        ostree(repo, "commit", "-b", "plain", WHEN, "os")
        made.append(tool(repo, "commit", "-b", "labelled", WHEN, *given))
        ostree(repo, "fsck")
    assert made[0] == made[1]
    has_labels = "system_u:object_r" in larix(repo, "ls", "-RX", "labelled")
    wanted = not any(word in ("--selinux-policy=off", "--selinux-policy=none", "-P") for word in given)
    assert has_labels == wanted


ON = "SELINUX=enforcing\n"
TYPE = "SELINUXTYPE=default\n"
# What stands in `config` -> whether the C tool labels by it.
CONFIGS = {
    TYPE: False,
    f"SELINUX=DISABLED\n{TYPE}": False,
    f"SELINUX=other\n{TYPE}": False,
    f"SELINUX=disabled # x\n{TYPE}": False,
    f"SELINUX = enforcing\n{TYPE}": False,
    f" {ON}{TYPE}": False,
    f"{ON}{TYPE}SELINUX=disabled\n": True,
    f"{ON}SELINUXTYPE=default  \n": True,
    f"SELINUX=permissive # x\n{TYPE}": True,
}


@pytest.mark.parametrize("text", CONFIGS)
def test_when_it_is_on(text: str, trees: Path, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / "usr/etc/selinux/config").write_text(text)
    compare(tree, tmp_path, CONFIGS[text])


def compare(tree: Path, tmp_path: Path, expected: bool) -> None:
    made = []
    for tool in larix, ostree:
        ostree(repo := tmp_path / tool.__name__, "init", "--mode=archive")
        made.append(tool(repo, "commit", "-b", "x", WHEN, f"--selinux-policy={tree}", tree / "usr/bin"))
    assert made[0] == made[1]
    assert ("object_r" in larix(tmp_path / "larix", "ls", "-RX", "x")) == expected


@pytest.mark.parametrize("text", [ON, f"{ON} {TYPE}"])
def test_when_it_is_on_without_a_policy(text: str, trees: Path, tmp_path: Path) -> None:
    """The C tool stumbles."""
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / "usr/etc/selinux/config").write_text(text)
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    assert "names no policy" in fails(f"--repo={repo}", "commit", "-b", "x", f"--selinux-policy={tree}", str(tree))


@pytest.mark.parametrize("place", ["usr/etc/selinux", "usr/etc/selinux/config", "usr/etc/selinux/default"])
def test_a_policy_behind_symlinks(place: str, trees: Path, tmp_path: Path) -> None:
    """They lead where they do in the tree, and one that leads nowhere is no tree without a policy."""
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / place).rename(tree / "usr/other")
    (tree / place).symlink_to(os.path.relpath(tree / "usr/other", (tree / place).parent))
    compare(tree, tmp_path, True)
    (tree / "usr/other").rename(tree / "usr/lost")
    said = fails(f"--repo={tmp_path}/larix", "commit", "-b", "y", f"--selinux-policy={tree}", str(tree / "usr/bin"))
    assert "leads nowhere" in said or "is not there" in said


def test_a_large_config(trees: Path, tmp_path: Path) -> None:
    """It is not cut, and what it says at its end lost."""
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / "usr/etc/selinux/config").write_text("#" * 100_000 + f"\n{ON}{TYPE}")
    compare(tree, tmp_path, True)
    (tree / "usr/etc/selinux/config").write_text("#" * (1 << 20) + f"\n{ON}{TYPE}")
    said = fails(f"--repo={tmp_path}/larix", "commit", "-b", "y", f"--selinux-policy={tree}", str(tree / "usr/bin"))
    assert "config is larger than" in said


def test_the_first_place_is_the_one(trees: Path, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / "etc/selinux").mkdir(parents=True)
    compare(tree, tmp_path, False)


@pytest.mark.parametrize(
    ("contexts", "said"),
    [
        ("", "has no label for /,"),
        ("/.*\t<<none>>\n", "has no label for /,"),
        ("/.*\tsystem_u:object_r:usr_t:s0\n/usr/bin/(ls\ta:b:c:s0\n", "has no answer for /"),
    ],
)
def test_a_policy_that_is_none(contexts: str, said: str, trees: Path, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(trees / "os", tmp_path / "os", symlinks=True))
    (tree / "usr/etc/selinux/default/contexts/files/file_contexts").write_text(contexts)
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    words = f"--repo={repo}", "commit", "-b", "x", f"--selinux-policy={tree}", str(tree)
    assert run_c(*words, check=False).returncode == 1
    assert said in fails(*words)


def test_a_deep_policy_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    with tarfile.open(tmp_path / "tar", "w") as archive:
        folder = tarfile.TarInfo("etc/selinux/" + "d/" * 3000)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    larix(repo, "commit", "-b", "deep", "--tar-autocreate-parents", f"--tree=tar={tmp_path}/tar")
    assert larix(repo, "commit", "-b", "x", "-P", "--tree=ref=deep")
    assert not [*tmp_path.glob("larix-policy*")]


def test_where_nobody_has_attributes(trees: Path, tmp_path: Path) -> None:
    """The C tool labels there what its own fsck then finds corrupt."""
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user-only")
    labelled = larix(repo, "commit", "-b", "x", WHEN, f"--selinux-policy={trees}/os", trees / "os")
    assert labelled == larix(repo, "commit", "-b", "x", WHEN, "--parent=none", trees / "os")
    ostree(repo, "fsck")


@as_root
def test_labels_stand_in_order(trees: Path, tmp_path: Path) -> None:
    """The C tool appends them, and a repo of mode bare gives attributes back in order: it finds them corrupt."""
    (tree := tmp_path / "tree").mkdir()
    (tree / "file").touch()
    os.setxattr(tree / "file", "user.key", b"value")
    ostree(repo := tmp_path / "repo", "init", "--mode=bare")
    larix(repo, "commit", "-b", "x", f"--selinux-policy={trees}/os", tree)
    assert "default_t" in larix(repo, "ls", "-X", "x", "/file")
    ostree(repo, "fsck")


def test_what_is_labelled_as_etc(trees: Path, tmp_path: Path) -> None:
    """In C 2026.4 labels of /usr/etc are by default those of any file there, and with the epoch 1 those of /etc."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    for epoch, label in ("0", "etc_t"), ("1", "shadow_t"):
        words = f"--selinux-policy={trees}/os", f"--selinux-labeling-epoch={epoch}"
        larix(repo, "commit", "-b", f"e{epoch}", *words, trees / "os")
        assert f"object_r:{label}:" in larix(repo, "ls", "-X", f"e{epoch}", "/usr/etc/shadow")
    said = fails(f"--repo={repo}", "commit", "-b", "x", "--selinux-labeling-epoch=2", str(trees / "os"))
    assert "Unknown SELinux labeling epoch: 2" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("commit -b x --selinux-policy=lost os", "names the policy 'missing'"),
        ("commit -b x --selinux-policy=nowhere os", "No directory nowhere"),
        ("commit -b x --selinux-policy=os -P os", "Cannot specify both"),
        ("checkout --selinux-policy=os -H plain {out}", "Cannot specify both --require-hardlinks"),
        ("checkout --selinux-prefix=/x plain {out}", "--selinux-prefix without --selinux-policy"),
        ("checkout --selinux-policy=lost plain {out}", "names the policy 'missing'"),
    ],
)
def test_what_is_refused(words: str, said: str, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trees)
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    ostree(repo, "commit", "-b", "plain", WHEN, "os")
    given = words.format(out=tmp_path / "out").split()
    assert run_c(f"--repo={repo}", *given, check=False).returncode != 0
    assert said in fails(f"--repo={repo}", *given)
    assert ostree(repo, "refs") == "plain"
    assert not (tmp_path / "out").exists()


def labels(top: Path) -> dict[str, bytes]:
    found = {}
    for path in [top, *top.rglob("*")]:
        if LABEL in os.listxattr(path, follow_symlinks=False):
            found[str(path.relative_to(top))] = os.getxattr(path, LABEL, follow_symlinks=False).split(b"\0")[0]
    return found


START = b"system_u:object_r:"
EXPECTED = {".": b"root_t", "usr/bin/ls": b"bin_t", "bin": b"bin_t", "usr/etc/passwd": b"etc_t", "tmp": b"tmp_t"}


@as_root
@pytest.mark.parametrize("mode", ["archive", "bare"])
def test_a_labelled_checkout(mode: str, trees: Path, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", f"--mode={mode}")
    ostree(repo, "commit", "-b", "plain", WHEN, trees / "os")
    policy = f"--selinux-policy={trees}/os"
    larix(repo, "checkout", policy, "plain", tmp_path / "out")
    found = labels(tmp_path / "out")
    assert {name: found[name] for name in EXPECTED} == {name: START + kind + b":s0" for name, kind in EXPECTED.items()}
    # What the policy has no label for.
    assert (found["tmp/x"], "proc/x" in found) == (b"mine", False)
    assert os.getxattr(tmp_path / "out/usr/bin/ls", "security.key") == b"value"
    assert (tmp_path / "out/usr/bin/ls").stat().st_nlink == 1
    # The C tool needs a prefix, and labels no directories on this kernel.
    for tool in larix, ostree:
        out = tmp_path / tool.__name__
        tool(repo, "checkout", policy, "--selinux-prefix=/etc", "--subpath=/usr/etc", "plain", out)
    ours, theirs = labels(tmp_path / "larix"), labels(tmp_path / "ostree")
    assert theirs["shadow"] == START + b"shadow_t:s0"
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours["."] == START + b"etc_t:s0"
    larix(repo, "checkout", policy, "--subpath=/usr/bin/ls", "plain", tmp_path / "one")
    assert labels(tmp_path / "one")["ls"] == START + b"bin_t:s0"
    # As a user's own, there are none.
    larix(repo, "checkout", "-U", policy, "plain", tmp_path / "own")
    assert labels(tmp_path / "own") == {}


def test_a_policy_of_a_stranger(trees: Path, tmp_path: Path) -> None:
    """In a commit it may be anything: nothing of it is followed, or waited for."""
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    policy = "etc/selinux"
    places = ["config", "config", "default/contexts/files/file_contexts", "default/contexts/files/file_contexts.local"]
    for number, name in enumerate(places):
        tree = Path(shutil.copytree(trees / "os", tmp_path / f"tree{number}", symlinks=True))
        path = tree / "usr" / policy / name
        path.unlink(missing_ok=True)
        if number == 0:
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")
        ostree(repo, "commit", "-b", f"strange{number}", tree)
        done = run_larix(f"--repo={repo}", "commit", "-b", "x", "-P", f"--tree=ref=strange{number}")
        assert "defect" not in done.err
        assert done.status == 1
        if "default/" in name:
            assert "is no file" in done.err or "is not there" in done.err
    for place, target in ("etc", "usr/etc"), ("etc", None):
        tree = Path(shutil.copytree(trees / "os", tmp_path / f"with-{target}", symlinks=True))
        if target:
            (tree / place).symlink_to(target)
        else:
            (tree / place).touch()
        ostree(repo, "commit", "-b", "linked", tree)
        larix(repo, "commit", "-b", "y", "-P", "--tree=ref=linked")
        assert "system_u" in larix(repo, "ls", "-RX", "y")
        larix(repo, "commit", "-b", "y", "-P", f"--tree=dir={tree}")
        assert "system_u" in larix(repo, "ls", "-RX", "y")


def test_without_the_binding(trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(selinux, "import_module", missing)
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    said = fails(f"--repo={repo}", "commit", "-b", "x", f"--selinux-policy={trees}/os", str(trees / "os"))
    assert "python3-selinux" in said
    with pytest.raises(Unsupported, match="python3-selinux"):
        selinux.load_labels(str(POLICY))
    # A tree without a policy needs none.
    done = run_larix(f"--repo={repo}", "commit", "-b", "x", f"--selinux-policy={trees}/none", str(trees / "os"))
    assert done.status == 0
