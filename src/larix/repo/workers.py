"""Processes for the work on file objects: read, hash, inflate, deflate, place, on all cores.

Workers are forked, so they have all that their function refers to: the open repo, the staging directory, options. Only
tasks and results travel. Threads would do for large files, where the C libraries let others run; with small ones they
spend their time handing Python's lock to each other.

A worker has at most two tasks, one to do and one to go on with; whoever submits more waits. So memory is bounded by
what one task needs, if a task names files and does not hold them. Tasks and results must be small beside a pipe's
buffer, 64 KiB, or both sides could wait for each other.
"""

import os
import pickle
import select
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from larix.errors import Error

# Those that we may use.
CORES = len(os.sched_getaffinity(0))
IN_HAND = 2
LENGTH_SIZE = 4

Task = TypeVar("Task")
Result = TypeVar("Result")


class _Worker:
    """A forked process, as its parent sees it: tasks go in, answers (result, exception) come out."""

    def __init__(self, work: Callable[[Any], Any], siblings: "list[_Worker]") -> None:
        self.in_hand = 0
        tasks, self._tasks = os.pipe()
        self.answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(tasks)
            os.close(answers)
            return
        # In the child, which must not return from here: what its parent has begun is not its own to end.
        try:
            # It has copies of the parent's ends, and would keep itself and its siblings waiting with them.
            for worker in (self, *siblings):
                os.close(worker._tasks)
                os.close(worker.answers)
            # The parent alone answers to the keyboard, and ends its workers by closing their pipes.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _serve(tasks, answers, work)
        finally:
            os._exit(0)

    def give(self, task: object) -> None:
        _send(self._tasks, task)
        self.in_hand += 1

    def take(self) -> Any:
        """The result of a task; raises what the task raised."""
        try:
            result, error = _receive(self.answers)
        except EOFError:
            raise Error("A worker process was ended by something else; is there enough memory?") from None
        self.in_hand -= 1
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        os.close(self._tasks)
        os.close(self.answers)
        os.waitpid(self._pid, 0)


def _serve(tasks: int, answers: int, work: Callable[[Any], Any]) -> None:
    while True:
        try:
            task = _receive(tasks)
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = work(task), None
        except Exception as error:
            answer = None, error
        try:
            _send(answers, answer)
        except BrokenPipeError:
            return


def _send(fd: int, value: object) -> None:
    data = pickle.dumps(value)
    data = len(data).to_bytes(LENGTH_SIZE, "little") + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> Any:
    """Raises EOFError."""
    return pickle.loads(_read(fd, int.from_bytes(_read(fd, LENGTH_SIZE), "little")))


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


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
        if worker is None or (worker.in_hand and len(self._workers) < CORES):
            worker = _Worker(self._work, self._workers)
            self._workers.append(worker)
        while worker.in_hand >= IN_HAND:
            self._collect()
            worker = min(self._workers, key=lambda worker: worker.in_hand)
        try:
            worker.give(task)
        except BrokenPipeError:
            worker.take()

    def is_free(self) -> bool:
        """Whether `submit` would not wait."""
        if len(self._workers) < CORES:
            return True
        self._collect(0)
        return any(worker.in_hand < IN_HAND for worker in self._workers)

    def _collect(self, timeout: int | None = None) -> None:
        """Take what is ready, waiting for the first at most so many milliseconds."""
        ready = select.poll()
        busy = {worker.answers: worker for worker in self._workers if worker.in_hand}
        for fd in busy:
            ready.register(fd, select.POLLIN)
        for fd, _ in ready.poll(timeout):
            self._take(busy[fd].take())
