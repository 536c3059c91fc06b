"""The installed tests of the C tool, run with each of the two as `ostree`: `make conformance`.

CONFORMANCE=regex   only these scripts; by default those of the commands that larix has

Each script reports in TAP; a point is one `ok`. What a script skips gives none, to either. For each script where larix
has fewer points than the C tool, the reason must stand in docs/conformance.md; the end says which do not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path("/usr/libexec/installed-tests/libostree")
FAMILIES = (
    "basic|archivez|commit|config|corruption|export|fsck|help|init|libarchive|local-pull|oldstyle|parent|prune|refs"
    "|reset|summary|auto-summary|cli-ext|concurrency|admin|no-initramfs|osupdate"
)
TIMEOUT = 180
REASONS = Path(__file__).parents[1] / "docs/conformance.md"


@dataclass(frozen=True)
class Result:
    points: int
    note: str


def main() -> int:
    pattern = os.environ.get("CONFORMANCE") or f"test-({FAMILIES})"
    scripts = sorted(path for path in SCRIPTS.glob("test-*.sh") if re.search(pattern, path.name))
    if not scripts:
        print(f"No script in {SCRIPTS} is called {pattern}", file=sys.stderr)
        return 1
    tools = {"C": shutil.which("ostree") or "ostree", "larix": str(Path(sys.executable).parent / "larix")}
    totals = dict.fromkeys(tools, 0)
    reasons = REASONS.read_text()
    unexplained = []
    print(f"{'':40} {'C':>4} {'larix':>6}")
    for script in scripts:
        results = {tool: run(script, path) for tool, path in tools.items()}
        for tool, result in results.items():
            totals[tool] += result.points
        missing = results["larix"].points < results["C"].points
        if missing and f"`{script.name}`" not in reasons:
            unexplained.append(script.name)
        note = results["larix"].note if missing else ""
        print(f"{script.name:40} {results['C'].points:4} {results['larix'].points:6}  {note}", flush=True)
    print(f"{'':40} {totals['C']:4} {totals['larix']:6}")
    for name in unexplained:
        print(f"{name}: fewer points than the C tool, and no reason in {REASONS.name}", file=sys.stderr)
    return int(bool(unexplained))


def run(script: Path, tool: str) -> Result:
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
            "OSTREE_SYSROOT_OPTS": "bootloader-naming-1",
        }
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
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return Result(points, last[-1] if done.returncode and last else "")


if __name__ == "__main__":
    sys.exit(main())
