"""What is measured: for each row the work, where it is done, and what both tools must agree on afterwards."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str | Path]
# Begins the line with the size of an archive, in which the tools may differ.
SIZE = "bytes of objects: "
# So that deployments can be removed.
ENVIRONMENT = {**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
WHEN = "--timestamp=2026-01-02 03:04:05 +0000"


@dataclass(frozen=True)
class Row:
    """`prepare` fills an empty folder, not measured; `command` is then run there; `check` says what came of it."""

    name: str
    command: Callable[[Path], Command]
    prepare: Callable[[Path], None] = lambda work: None
    check: Callable[[Path], str] = lambda work: ""


def ostree(*words: str | Path) -> str:
    done = subprocess.run(["ostree", *words], stdout=subprocess.PIPE, text=True, check=True, env=ENVIRONMENT)
    return done.stdout.strip()


def clone(source: Path, target: Path) -> None:
    """A repo with the same objects, shared with the source, and files of its own."""
    subprocess.run(["cp", "-a", "--link", source, target], check=True)
    for name in "refs", "config", "summary", "tmp", "state":
        if (target / name).is_dir():
            shutil.rmtree(target / name)
            shutil.copytree(source / name, target / name)
        elif (target / name).exists():
            (target / name).unlink()
            shutil.copy2(source / name, target / name)


class Fixtures:
    """Repos made by the C tool, which each row starts from: in each mode the two releases as `os/a` and `os/b`."""

    def __init__(self, cache: Path, trees: tuple[Path, Path]) -> None:
        self.trees = trees
        self.repos = {}
        for mode in "archive", "bare", "bare-user":
            self.repos[mode] = repo = cache / f"{trees[0].name}-{mode}"
            if repo.exists():
                continue
            print(f"making {repo} …", flush=True)
            new = repo.with_name(f"{repo.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            ostree("init", f"--repo={new}", f"--mode={mode}")
            if mode == "archive":
                for tree, branch in zip(trees, ("os/a", "os/b"), strict=True):
                    ostree("commit", f"--repo={new}", "-b", branch, WHEN, f"--tree=dir={tree}")
                ostree("summary", f"--repo={new}", "-u")
            else:
                ostree("pull-local", f"--repo={new}", self.repos["archive"])
            new.rename(repo)


def rows(fixtures: Fixtures, url: str) -> list[Row]:
    """`url` is where a web server has the archive."""
    return [*store_rows(fixtures), *pull_rows(fixtures, url), *upkeep_rows(fixtures), *machine_rows(fixtures, url)]


def store_rows(fixtures: Fixtures) -> list[Row]:
    archive, bare, bare_user = (fixtures.repos[mode] for mode in ("archive", "bare", "bare-user"))
    commit = at("repo", "commit", "-b", "os/a", WHEN, f"--tree=dir={fixtures.trees[0]}")
    out = "{work}/out"
    return [
        Row("start-up (`rev-parse`)", at(archive, "rev-parse", "os/a")),
        Row("commit to archive", commit, init("archive"), commits_and_size),
        Row("commit to bare", commit, init("bare"), commits),
        Row("commit to bare-user", commit, init("bare-user"), commits),
        Row("commit again, unchanged, to bare", commit, copy(bare), commits),
        Row("commit again, unchanged, to archive", commit, copy(archive), commits),
        Row("checkout from archive", at(archive, "checkout", "os/a", out), check=tree),
        Row("checkout -H from bare", at(bare, "checkout", "-H", "os/a", out), check=tree),
        Row("checkout -U from bare-user", at(bare_user, "checkout", "-U", "os/a", out), check=tree),
        Row("fsck, bare", at(bare, "fsck")),
        Row("fsck, archive", at(archive, "fsck")),
        Row("diff", at(bare, "diff", "os/a", "os/b")),
        Row("ls -R", at(bare, "ls", "-R", "os/a")),
    ]


def pull_rows(fixtures: Fixtures, url: str) -> list[Row]:
    archive, bare = fixtures.repos["archive"], fixtures.repos["bare"]
    pull = ["pull", "origin"]

    def with_release_a(work: Path) -> None:
        init("bare", url)(work)
        ostree("pull-local", f"--repo={work}/repo", "--remote=origin", bare, "os/a")

    return [
        Row("pull-local, archive to bare", at("repo", "pull-local", archive, "os/a"), init("bare"), commits),
        Row("pull-local, bare to bare", at("repo", "pull-local", bare, "os/a"), init("bare"), commits),
        Row("pull over HTTP, all of a release", at("repo", *pull, "os/a"), init("bare", url), commits),
        Row("pull over HTTP, an upgrade", at("repo", *pull, "os/b"), with_release_a, commits),
        Row("mirror over HTTP", at("repo", *pull, "--mirror", "os/a"), init("archive", url), commits_and_size),
    ]


def upkeep_rows(fixtures: Fixtures) -> list[Row]:
    archive, bare = fixtures.repos["archive"], fixtures.repos["bare"]
    return [
        Row("prune, nothing to do", at("repo", "prune", "--refs-only"), copy(bare), commits),
        Row("prune, one release dropped", at("repo", "prune", "--refs-only"), without_b(bare), commits),
        Row("export to tar", at(bare, "export", "os/a", "--output={work}/out.tar")),
        Row("summary -u", at("repo", "summary", "-u"), copy(archive)),
    ]


def machine_rows(fixtures: Fixtures, url: str) -> list[Row]:
    def sysroot(work: Path) -> None:
        (work / "root").mkdir()
        ostree("admin", "init-fs", work / "root")
        ostree("admin", f"--sysroot={work}/root", "os-init", "test")
        repo = f"--repo={work}/root/ostree/repo"
        ostree("remote", repo, "add", "--no-gpg-verify", "origin", url)
        ostree("pull-local", repo, "--remote=origin", fixtures.repos["bare"], "os/a")

    def deployed(work: Path) -> None:
        sysroot(work)
        ostree("admin", f"--sysroot={work}/root", "deploy", "--os=test", "origin:os/a")

    return [
        Row("deploy", admin("deploy", "--os=test", "origin:os/a"), sysroot),
        Row("upgrade, nothing new", admin("upgrade", "--os=test"), deployed),
    ]


def at(repo: str | Path, *words: str | Path) -> Callable[[Path], Command]:
    return lambda work: [words[0], f"--repo={work / repo}", *[str(word).format(work=work) for word in words[1:]]]


def admin(*words: str) -> Callable[[Path], Command]:
    return lambda work: ["admin", *words, f"--sysroot={work}/root"]


def init(mode: str, url: str | None = None) -> Callable[[Path], None]:
    """An empty repo, with a remote where an URL is given."""

    def prepare(work: Path) -> None:
        ostree("init", f"--repo={work}/repo", f"--mode={mode}")
        if url is not None:
            ostree("remote", f"--repo={work}/repo", "add", "--no-gpg-verify", "origin", url)

    return prepare


def copy(repo: Path) -> Callable[[Path], None]:
    return lambda work: clone(repo, work / "repo")


def without_b(repo: Path) -> Callable[[Path], None]:
    def prepare(work: Path) -> None:
        clone(repo, work / "repo")
        ostree("refs", f"--repo={work}/repo", "--delete", "os/b")

    return prepare


def commits(work: Path) -> str:
    """Every ref and its commit, the same commit being the same tree to the byte; and that the C tool finds it whole."""
    repo = f"--repo={work}/repo"
    ostree("fsck", repo, "-q")
    refs = ostree("refs", repo).splitlines()
    return "\n".join(f"{ref} {ostree('rev-parse', repo, ref)}" for ref in sorted(refs))


def commits_and_size(work: Path) -> str:
    sizes = (found.lstat().st_size for found in (work / "repo/objects").rglob("*.*"))
    return f"{commits(work)}\n{SIZE}{sum(sizes)}"


def tree(work: Path) -> str:
    """Names, types, modes, owners, sizes of everything; the contents come from objects whose checksums were read."""
    form = "%P %y %m %U %G %s %l\\n"
    done = subprocess.run(
        ["find", work / "out", "!", "-type", "d", "-printf", form, "-o", "-printf", "%P %y %m %U %G\\n"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return hashlib.sha256(b"\n".join(sorted(done.stdout.splitlines()))).hexdigest()
