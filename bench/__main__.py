"""C `ostree` and larix in turn on the same work, in one run: `make bench`.

BENCH=small        a smaller pair of releases
BENCH_ROWS=regex   only these rows; the others stand as they were measured before
BENCH_RUNS=n       how often each is run, 3 by default; figures are medians
BENCH_CACHE=path   where releases and repos are kept
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import larix
from bench.measure import Failed, Measured, measure, median
from bench.releases import find_releases
from bench.rows import ENVIRONMENT, SIZE, Fixtures, Row, rows
from tests.servers import nginx

C, OURS = "ostree", "larix"
ENOUGH = 25 << 30
EXT4_RECENCY = 61
RESULTS = Path(__file__).parent / "results.md"


def main() -> int:
    cache = Path(os.environ.get("BENCH_CACHE", "/var/tmp/larix-bench"))
    cache.mkdir(parents=True, exist_ok=True)
    runs = int(os.environ.get("BENCH_RUNS", "3"))
    pattern = os.environ.get("BENCH_ROWS", "")
    small = os.environ.get("BENCH") == "small"
    # As an installed larix is; an editable one may not have been run before.
    subprocess.run([sys.executable, "-m", "compileall", "-q", Path(larix.__file__).parent], check=True)
    fixtures = Fixtures(cache, find_releases(cache, small=small))
    what = "the smaller pair" if small else "the full pair"
    head = INTRODUCTION.format(version=larix.__version__, runs=runs, what=what) + HEAD
    wrong = False
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix="run-") as name,
        nginx(fixtures.repos["archive"], Path(name, "nginx")) as url,
    ):
        every = rows(fixtures, url)
        table = lines_before(head)
        for row in every:
            if re.search(pattern, row.name):
                table[row.name], right = compare(row, Path(name), runs)
                wrong |= not right
                print(table[row.name], flush=True)
                # After each, as a long run may be ended.
                lines = [table[row.name] for row in every if row.name in table]
                RESULTS.write_text("\n".join([head, *lines, ""]))
    return int(wrong)


def lines_before(head: str) -> dict[str, str]:
    """The line of each row in the results of an earlier run on the same releases, with the same version."""
    if not RESULTS.exists() or not (text := RESULTS.read_text()).startswith(head):
        return {}
    return {line.split(" | ")[0].removeprefix("| "): line for line in text.removeprefix(head).splitlines() if line}


def compare(row: Row, work: Path, runs: int) -> tuple[str, bool]:
    """A line of the table, and whether both tools came to the same."""
    taken: dict[str, list[Measured]] = {C: [], OURS: []}
    results: dict[str, str] = {}
    # The tools in turn, so that a slow minute of the machine meets both.
    for i in range(runs):
        for tool in C, OURS:
            make_room(work)
            folder = Path(tempfile.mkdtemp(dir=work))
            try:
                row.prepare(folder)
                program = [C] if tool == C else [sys.executable, "-m", "larix"]
                taken[tool].append(measure([*program, *row.command(folder)], work / "log", ENVIRONMENT))
                if i == 0:
                    results[tool] = row.check(folder)
            except Failed as error:
                print(f"{row.name}: {tool}: {error}", file=sys.stderr)
    if not taken[C] or not taken[OURS]:
        return f"| {row.name} | {_seconds(taken[C])} | {_seconds(taken[OURS])} | not there yet | | | |", True
    same = _without_size(results[C]) == _without_size(results[OURS])
    theirs, ours = median(taken[C]), median(taken[OURS])
    notes = [] if same else ["**the results differ**"]
    if SIZE in results[C]:
        sizes = [int(results[tool].rpartition(SIZE)[2]) for tool in (C, OURS)]
        notes.append(f"objects {sizes[0] / 1e6:.1f} / {sizes[1] / 1e6:.1f} MB")
    processor = f"{theirs.user:.1f} + {theirs.system:.1f} / {ours.user:.1f} + {ours.system:.1f}"
    peak = f"{theirs.peak / 1e6:.0f} / {ours.peak / 1e6:.0f}"
    figures = f"{theirs.wall:.2f} | {ours.wall:.2f} | {theirs.wall / ours.wall:.2f} | {processor} | {peak}"
    return f"| {row.name} | {figures} | {'; '.join(notes)} |", same


def make_room(work: Path) -> None:
    """What was done is left until the disk is wanted: ext4 does not take again the inodes that were freed in the last
    minute, and looks for others for seconds, which would be charged to the next in turn."""
    if shutil.disk_usage(work).free > ENOUGH:
        return
    for folder in work.glob("tmp*"):
        shutil.rmtree(folder)
    os.sync()
    time.sleep(EXT4_RECENCY)


def _seconds(taken: list[Measured]) -> str:
    return f"{median(taken).wall:.2f}" if taken else ""


def _without_size(result: str) -> str:
    return result.partition(SIZE)[0]


HEAD = """\
| work | C, s | larix, s | C/larix | user + system, s, C / larix | peak MB, C / larix | |
|---|--:|--:|--:|--:|--:|---|"""

INTRODUCTION = """\
# C `ostree` and larix side by side

Written by `make bench` with larix {version} on {what} of releases, median of {runs}. Each line is of one machine
and one run: only the ratios mean something. Both commit the same checksums and the C tool's fsck passes on what larix
wrote, or the row says so.

"""

if __name__ == "__main__":
    sys.exit(main())
