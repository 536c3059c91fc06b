"""Running a command: how long, how much processor, how much memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """Seconds of wall clock, seconds of processor (user and system), bytes of memory at the peak."""

    wall: float
    user: float
    system: float
    peak: int


class Failed(Exception):
    """The command failed; the text is what it said."""


def measure(command: Sequence[str | Path], log: Path) -> Measured:
    """Raises Failed. What others wrote is on disk before the clock starts."""
    os.sync()
    environment = {**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
    with log.open("wb") as out:
        began = time.perf_counter()
        # wait4 gives the figures of this one child (and of those it waited for itself).
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(log.read_text(errors="replace").strip()[-300:])
    return Measured(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)


def median(runs: Sequence[Measured]) -> Measured:
    """Of each figure by itself."""
    return Measured(
        statistics.median(run.wall for run in runs),
        statistics.median(run.user for run in runs),
        statistics.median(run.system for run in runs),
        int(statistics.median(run.peak for run in runs)),
    )
