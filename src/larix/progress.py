"""How far long work is, told by the verbs to whoever wants to know.

A step begins with `start`, and `expect` says how much is to do in it, at once or bit by bit; where it is known that no
more comes, `all_known` says so. `advance` says what was done. Objects are files, or what else the step counts.
"""

import time
from dataclasses import dataclass


class Progress:
    """One that shows nothing. Derive from `Counting` to show something."""

    # Whether it is worth counting beforehand what is to be done.
    wanted = False

    def start(self, what: str) -> None:
        """Begin the step `what`, as 'Fetching'; or goes on, if it is the one that goes on already."""

    def expect(self, objects: int, size: int = 0) -> None:
        """There is so much more to do, `size` in bytes."""

    def all_known(self) -> None:
        """Nothing more will be expected in this step."""

    def advance(self, objects: int, size: int = 0) -> None:
        """So much more was done."""

    def end(self) -> None:
        """End the last step. May be called twice."""


NO_PROGRESS = Progress()


@dataclass(slots=True)
class Step:
    """Counts of objects, sizes in bytes, `seconds` since it began. Totals are of what is known so far."""

    what: str
    objects: int = 0
    objects_total: int = 0
    size: int = 0
    size_total: int = 0
    seconds: float = 0.0
    is_known: bool = False

    @property
    def rate(self) -> float:
        """Bytes per second; 0 as long as nothing can be said."""
        return self.size / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end, if it goes on as before; None as long as the totals are not known, or nothing is done.

        By bytes, where these are known, else by objects.
        """
        done, total = (self.size, self.size_total) if self.size_total else (self.objects, self.objects_total)
        if not self.is_known or not done:
            return None
        return max(0.0, (total - done) * self.seconds / done)


class Counting(Progress):
    """Keeps the counts of each step, and calls `show` with them: when it begins, then not more often than each
    `interval` seconds, and when it has ended."""

    wanted = True

    def __init__(self, interval: float = 0.1) -> None:
        self.interval = interval
        self._step: Step | None = None
        self._began = self._shown = 0.0

    def show(self, step: Step, *, ended: bool) -> None:
        raise NotImplementedError

    def start(self, what: str) -> None:
        if self._step is not None and self._step.what == what:
            return
        self.end()
        self._step = Step(what)
        self._began = time.monotonic()
        self._shown = float("-inf")
        self._tell(self._step)

    def expect(self, objects: int, size: int = 0) -> None:
        if self._step is not None:
            self._step.objects_total += objects
            self._step.size_total += size
            self._step.is_known = False
            self._tell(self._step)

    def all_known(self) -> None:
        if self._step is not None:
            self._step.is_known = True

    def advance(self, objects: int, size: int = 0) -> None:
        if self._step is not None:
            self._step.objects += objects
            self._step.size += size
            self._tell(self._step)

    def end(self) -> None:
        if self._step is not None:
            self._step.seconds = time.monotonic() - self._began
            self.show(self._step, ended=True)
            self._step = None

    def _tell(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._shown >= self.interval:
            self._shown, step.seconds = now, now - self._began
            self.show(step, ended=False)
