"""From two trees to an upgraded machine and back, with larix alone: publish, serve, pull, deploy, upgrade, roll back.

Everything happens in a folder below /var/tmp, which is removed at the end. Where the C `ostree` is installed it is
asked too. `--quick` makes the trees of files of this machine at once. The exit status is 1 if a check failed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.releases import make_releases

LARIX = [sys.executable, "-m", "larix"]


class Demo:
    def __init__(self, work: Path) -> None:
        self.upstream = work / "upstream"
        self.sysroot = work / "sysroot"
        self.repo = self.sysroot / "ostree/repo"
        self.rows: list[tuple[str, str, float]] = []
        self.failed: list[str] = []

    def larix(self, *words: str | Path) -> str:
        shown = " ".join(str(word).replace(str(self.upstream.parent), "…") for word in words)
        print(f"$ larix {shown}", flush=True)
        done = subprocess.run([*LARIX, *words], stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="", flush=True)
        return done.stdout

    def admin(self, *words: str | Path) -> str:
        return self.larix("admin", *words, f"--sysroot={self.sysroot}")

    def check(self, what: str, *, good: bool) -> None:
        if not good:
            self.failed.append(what)
            print(f"FAILED: {what}", flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """One row of the table; what is put into the list is said there."""
        print(f"\n== {what}", flush=True)
        said: list[str] = []
        began = time.monotonic()
        yield said
        self.rows.append((what, "; ".join(said), time.monotonic() - began))

    @contextmanager
    def serving(self) -> Iterator[str]:
        command = [*LARIX, "serve", f"--repo={self.upstream}", "--port=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                print(line, end="", flush=True)
                yield line.split()[-1]
            finally:
                process.terminate()

    def deployments(self) -> list[Path]:
        done = subprocess.run(
            [*LARIX, "admin", "status", "--json", f"--sysroot={self.sysroot}"],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)["deployments"]
        return [self.sysroot / f"ostree/deploy/demo/deploy/{one['checksum']}.{one['serial']}" for one in found]

    def publish(self, tree: Path, version: str) -> None:
        self.larix(
            "commit", f"--repo={self.upstream}", "--branch=demo/stable", f"--subject=Release {version}",
            f"--add-metadata-string=version={version}", f"--tree=dir={tree}",
        )  # fmt: skip
        self.larix("summary", f"--repo={self.upstream}", "--update")

    def run(self, first: Path, second: Path) -> None:
        with self.step("Publish release 1") as said:
            self.larix("init", f"--repo={self.upstream}", "--mode=archive")
            self.publish(first, "1")
            said.append(f"{size(first)} of files, {size(self.upstream)} of archive")
        with self.serving() as url:
            self.install(url)
            self.edit_etc()
            with self.step("Publish release 2"):
                self.publish(second, "2")
            self.upgrade()
        self.roll_back()
        self.ask_the_c_tool()

    def install(self, url: str) -> None:
        with self.step("Install") as said:
            self.sysroot.mkdir()
            self.larix("admin", "init-fs", self.sysroot)
            self.admin("os-init", "demo")
            self.larix("remote", "add", f"--repo={self.repo}", "--no-gpg-verify", "origin", url)
            self.larix("pull", f"--repo={self.repo}", "origin", "demo/stable")
            self.admin("deploy", "--os=demo", "--karg=root=LABEL=root", "--karg=rw", "origin:demo/stable")
            said.append(f"repo and one deployment: {size(self.sysroot)}")

    def edit_etc(self) -> None:
        with self.step("Edit /etc as an administrator") as said:
            etc = self.deployments()[0] / "etc/demo"
            (etc / "port").write_text("2222\n")
            (etc / "own").write_text("by hand\n")
            (etc / "old").unlink()
            (self.sysroot / "ostree/deploy/demo/var/data").write_text("data\n")
            said.append("port changed, own added, old removed; a file put into /var")

    def upgrade(self) -> None:
        with self.step("Upgrade") as said:
            before = used(self.sysroot)
            self.admin("upgrade", "--os=demo")
            self.admin("status")
            new, old = self.deployments()
            print("Merged /etc/demo:")
            for path in sorted((new / "etc/demo").iterdir()):
                print(f"  {path.name}: {path.read_text()}", end="")
            found = {path.name: path.read_text() for path in (new / "etc/demo").iterdir()}
            wanted = {"port": "2222\n", "own": "by hand\n", "new": "new\n", "welcome": "Welcome to release 2\n"}
            self.check("the new /etc is the new defaults with the administrator's changes", good=found == wanted)
            self.check(
                "the old /etc is untouched", good=(old / "etc/demo/welcome").read_text() == "Welcome to release 1\n"
            )
            said.append(f"{(used(self.sysroot) - before) / 1e6:.1f} MB more for a second tree of {size(new)}")

    def roll_back(self) -> None:
        with self.step("Roll back"):
            new, old = self.deployments()
            self.admin("set-default", "1")
            self.admin("status")
            self.check("the old release boots again", good=self.deployments() == [old, new])
            entry = max((self.sysroot / "boot/loader/entries").iterdir()).read_text()
            self.check("its boot entry comes first", good="Demo OS 1" in entry)
            self.check("its /etc is as it was", good=(old / "etc/demo/port").read_text() == "2222\n")
            self.check("/var was not touched", good=(self.sysroot / "ostree/deploy/demo/var/data").exists())
            self.larix("fsck", f"--repo={self.repo}", "--quiet")

    def ask_the_c_tool(self) -> None:
        if shutil.which("ostree") is None:
            self.rows.append(("Ask the C tool", "it is not installed", 0))
            return
        with self.step("Ask the C tool") as said:
            for repo in self.repo, self.upstream:
                done = subprocess.run(["ostree", "fsck", "--quiet", f"--repo={repo}"], capture_output=True, check=False)
                self.check(f"ostree fsck of {repo.name}", good=done.returncode == 0)
            command = ["ostree", "admin", "status", f"--sysroot={self.sysroot}"]
            theirs = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            # Of conflicts the C tool says nothing.
            ours = [line for line in self.admin("status").splitlines() if "Conflicts in /etc" not in line]
            self.check("both list the same deployments", good=theirs.splitlines() == ours)
            said.append("fsck of both repos, and the same status")

    def clean_up(self) -> None:
        """A deployment's root is immutable: larix takes that away with it."""
        if self.repo.exists():
            while self.deployments():
                self.admin("undeploy", "0")


def used(path: Path) -> int:
    """Bytes on the disk, each file once however many names it has."""
    done = subprocess.run(["du", "-s", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def size(path: Path) -> str:
    return f"{used(path) / 1e6:.1f} MB"


def main() -> int:
    work = Path(tempfile.mkdtemp(prefix="larix-demo-", dir="/var/tmp"))
    demo = Demo(work)
    try:
        with demo.step("Make two releases") as said:
            why = "" if os.geteuid() == 0 else "only root can run mmdebstrap here"
            first, second, about = make_releases(work, "as was asked" if "--quick" in sys.argv[1:] else why)
            print(about)
            said.append(about)
        demo.run(first, second)
    except subprocess.CalledProcessError as error:
        demo.failed.append(f"{' '.join(map(str, error.cmd[3:]))}: exit status {error.returncode}")
    finally:
        print("\n== Clean up", flush=True)
        demo.clean_up()
        subprocess.run(["chmod", "-R", "u+rwX", work], check=False)
        shutil.rmtree(work)
    print()
    for row, note, seconds in demo.rows:
        print(f"{row:<30} {seconds:6.1f} s   {note}".rstrip())
    for what in demo.failed:
        print(f"FAILED: {what}")
    print("All checks passed." if not demo.failed else f"{len(demo.failed)} checks failed.")
    return 1 if demo.failed else 0


if __name__ == "__main__":
    sys.exit(main())
