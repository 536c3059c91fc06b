"""Processes for the work on file objects: read, hash, inflate, deflate, place, on all cores.

Workers are forked, so they have all that their function refers to: the open repo, the staging directory, options. Only
tasks and results travel. Threads would do for large files, where the C libraries let others run; with small ones they
spend their time handing Python's lock to each other.

A worker has at most two tasks, one to do and one to go on with; whoever submits more waits. So memory is bounded by
what one task needs, if a task names files and does not hold them. Tasks and results must be small beside a pipe's
buffer, 64 KiB, or both sides could wait for each other.
"""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from larix.errors import Error

IN_HAND = 2
FORK = get_context("fork")

Task = TypeVar("Task")
Result = TypeVar("Result")


class _Worker:
    """A forked process, as its parent sees it."""

    def __init__(self, work: Callable[[Any], Any], siblings: "list[_Worker]") -> None:
        self.channel, theirs = FORK.Pipe()
        self.in_hand = 0
        # The child has copies of the parent's ends, and would keep itself and its siblings waiting with them.
        ends = [self.channel, *(sibling.channel for sibling in siblings)]
        self.process = FORK.Process(target=_serve, args=(theirs, ends, work), daemon=True)
        self.process.start()
        theirs.close()

    def end(self) -> None:
        self.channel.close()
        self.process.join()


def _serve(channel: "Connection[Any, Any]", ends: "list[Connection[Any, Any]]", work: Callable[[Any], Any]) -> None:
    # The parent alone answers to the keyboard, and ends its workers by closing their channels.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in ends:
        end.close()
    while True:
        try:
            task = channel.recv()
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = work(task), None
        except Exception as error:
            answer = None, error
        try:
            channel.send(answer)
        except BrokenPipeError:
            return


class Workers(Generic[Task, Result]):
    """Used in a `with`, at whose end all is done.

    `work` is called with each task in another process, `take` with each result in this one, in no order. The first
    error of a task is raised by the next `submit` or at the end.
    """

    def __init__(self, work: Callable[[Task], Result], take: Callable[[Result], None]) -> None:
        self._work = work
        self._take = take
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            while error is None and any(worker.in_hand for worker in self._workers):
                self._collect()
        finally:
            for worker in self._workers:
                worker.end()

    def submit(self, task: Task) -> None:
        worker = min(self._workers, key=lambda worker: worker.in_hand, default=None)
        if worker is None or (worker.in_hand and len(self._workers) < (os.cpu_count() or 1)):
            worker = _Worker(self._work, self._workers)
            self._workers.append(worker)
        while worker.in_hand >= IN_HAND:
            self._collect()
            worker = min(self._workers, key=lambda worker: worker.in_hand)
        worker.channel.send(task)
        worker.in_hand += 1

    def _collect(self) -> None:
        """Take what is ready, waiting for the first."""
        busy = [worker for worker in self._workers if worker.in_hand]
        ready = wait([worker.channel for worker in busy])
        for worker in busy:
            if worker.channel not in ready:
                continue
            try:
                result, error = worker.channel.recv()
            except EOFError:
                raise Error("A worker process was ended by something else; is there enough memory?") from None
            worker.in_hand -= 1
            if error is not None:
                raise error
            self._take(result)
