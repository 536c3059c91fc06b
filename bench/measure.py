"""Running a command: how long, how much processor, how much memory.

Memory is that of the command and all processes below it: what they share counts once (the kernel's PSS). It is looked
at every few milliseconds, and a single process's peak, which the kernel keeps, is the least it can be.
"""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# Seconds between two looks.
INTERVAL = 0.03


@dataclass(frozen=True)
class Measured:
    """Seconds of wall clock, seconds of processor (user and system), bytes of memory at the peak."""

    wall: float
    user: float
    system: float
    peak: int


class Failed(Exception):
    """The command failed; the text is what it said."""


def measure(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> Measured:
    """Raises Failed. What others wrote is on disk before the clock starts."""
    os.sync()
    with log.open("wb") as out:
        began = time.perf_counter()
        # wait4 gives the figures of this one child (and of those it waited for itself).
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        with _Watch(process.pid) as watch:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(log.read_text(errors="replace").strip()[-300:])
    return Measured(wall, usage.ru_utime, usage.ru_stime, max(watch.peak, usage.ru_maxrss * 1024))


class _Watch:
    """Looks at the memory of a process and its children until the end of the `with`."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        most = 0
        while not self._done.wait(INTERVAL):
            # A process may end at any time.
            with suppress(OSError):
                children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
                pids = [str(self._pid), *children]
                # The exact figure takes the kernel a while, so it is asked for only where a rough one has grown.
                if (resident := sum(map(_resident, pids))) > most:
                    most = resident
                    self.peak = max(self.peak, sum(map(_memory, pids)))


def _resident(pid: str) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def _memory(pid: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def median(runs: Sequence[Measured]) -> Measured:
    """Of each figure by itself."""
    return Measured(
        statistics.median(run.wall for run in runs),
        statistics.median(run.user for run in runs),
        statistics.median(run.system for run in runs),
        int(statistics.median(run.peak for run in runs)),
    )
