"""The installed tests of the C tool, run with each of the two as `ostree`: `make conformance`.

Two ages of them: those of this machine, and those of the newest release, which Debian's next one has. The second is
unpacked, not installed, and its programs run with the libraries beside them.

CONFORMANCE=regex       only these scripts; by default those of the commands that larix has
CONFORMANCE_NEWER=path  where the newer age is unpacked, or is to be (default: .conformance)
CONFORMANCE_MIRROR=url  where the packages of the newer age come from

Each script reports in TAP; a point is one `ok`. What a script skips gives none, to either. For each script where larix
has fewer points than the C tool of that age, the reason must stand in docs/conformance.md; the end says which do not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SCRIPTS = Path("usr/libexec/installed-tests/libostree")
SERVER = "ostree-trivial-httpd"
SUITE = "forky"
MIRROR = "http://deb.debian.org/debian"
FAMILIES = (
    "basic|archivez|commit|config|corruption|export|fsck|help|init|libarchive|local-pull|oldstyle|parent|prune|refs"
    "|reset|summary|auto-summary|cli-ext|concurrency|admin|no-initramfs|osupdate|pull|remote|mirror|rollback|switch"
)
TIMEOUT = 180
REASONS = PROJECT / "docs/conformance.md"


@dataclass(frozen=True)
class Age:
    """A release of the C tool: `tool` and `server` are programs, `scripts` the directory of its installed tests.

    Those of releases before 2023 want the names that boot entries had then; with `old_names` both tools give them.
    """

    name: str
    scripts: Path
    tool: Path
    server: Path
    old_names: bool


@dataclass(frozen=True)
class Result:
    points: int
    note: str


def main() -> int:
    wanted = os.environ.get("CONFORMANCE") or f"test-({FAMILIES})"
    larix = Path(sys.executable).parent / "larix"
    reasons = REASONS.read_text()
    unexplained = []
    for age in this_age(), newer_age():
        scripts = sorted(path for path in age.scripts.glob("test-*.sh") if re.search(wanted, path.name))
        if not scripts:
            print(f"No script in {age.scripts} is called {wanted}", file=sys.stderr)
            return 1
        totals = [0, 0]
        print(f"{age.name:44} {'C':>4} {'larix':>6}")
        for script in scripts:
            c, own = (run(age, script, tool) for tool in (age.tool, larix))
            totals = [totals[0] + c.points, totals[1] + own.points]
            missing = own.points < c.points
            if missing and f"`{script.name}`" not in reasons:
                unexplained.append(f"{script.name}, {age.name}")
            print(f"{script.name:44} {c.points:4} {own.points:6}  {own.note if missing else ''}", flush=True)
        print(f"{'':44} {totals[0]:4} {totals[1]:6}")
    for name in unexplained:
        print(f"{name}: fewer points than the C tool, and no reason in {REASONS.name}", file=sys.stderr)
    return int(bool(unexplained))


def this_age() -> Age:
    tool = Path(shutil.which("ostree") or "/usr/bin/ostree")
    return Age(version_of(tool), "/" / SCRIPTS, tool, Path("/usr/libexec/libostree") / SERVER, True)


def newer_age() -> Age:
    root = Path(os.environ.get("CONFORMANCE_NEWER") or PROJECT / ".conformance").absolute()
    if not (root / "usr/bin/ostree").exists():
        unpack(root)
    tools = root / "tools"
    tools.mkdir(exist_ok=True)
    tool = with_libraries(root, root / "usr/bin/ostree", tools)
    return Age(version_of(tool), root / SCRIPTS, tool, with_libraries(root, root / SCRIPTS / SERVER, tools), False)


def unpack(root: Path) -> None:
    mirror = os.environ.get("CONFORMANCE_MIRROR") or MIRROR
    options = ["--variant=extract", "--include=ostree,ostree-tests", "--aptopt=Acquire::Check-Valid-Until false"]
    # It appears whole.
    made = root.with_name(f"{root.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    subprocess.run(["mmdebstrap", "--quiet", *options, SUITE, made, mirror], check=True)
    made.rename(root)


def with_libraries(root: Path, program: Path, tools: Path) -> Path:
    """A script that runs a program of another release."""
    (loader,) = (root / "usr").glob("lib*/ld-linux-*.so.*")
    (libraries,) = (path.parent for path in (root / "usr/lib").glob("*/libostree-1.so.1"))
    script = tools / program.name
    script.write_text(f'#!/bin/sh\nexec {loader} --argv0 {program.name} --library-path {libraries} {program} "$@"\n')
    script.chmod(0o755)
    return script


def version_of(tool: Path) -> str:
    said = subprocess.run([tool, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    (version,) = re.findall(r"Version: '(.*)'", said)
    return str(version)


def run(age: Age, script: Path, tool: Path) -> Result:
    """Run a script with `tool` as `ostree`, in a directory of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="conformance-", ignore_cleanup_errors=True) as name:
        top = Path(name)
        for below in "bin", "home", "test":
            (top / below).mkdir()
        (top / "bin/ostree").symlink_to(tool)
        environment = {
            "HOME": f"{top}/home",
            "LANG": "C.UTF-8",
            "PATH": f"{top}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "TMPDIR": f"{top}/home",
            "OSTREE_HTTPD": str(age.server),
        }
        if age.old_names:
            environment["OSTREE_SYSROOT_OPTS"] = "bootloader-naming-1"
        try:
            done = subprocess.run(
                [script],
                cwd=top / "test",
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Result(0, f"not done after {TIMEOUT} s")
    points = len(re.findall(r"^ok (?!.*# SKIP)", done.stdout, re.M))
    if skipped := re.search(r"^1\.\.0 # SKIP(.*)", done.stdout, re.M | re.I):
        return Result(points, f"skipped:{skipped[1]}")
    last = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "File '", "Oops", "fatal"))]
    return Result(points, last[-1] if done.returncode and last else "")


if __name__ == "__main__":
    sys.exit(main())
