"""Work on all cores: tasks go to workers, results come back.

Workers are forked processes, which have all that their function refers to: what is open, options. Only tasks and
results travel. Threads do the same for a program that must not fork; they suit large files, where the C libraries let
others run, and with small ones spend their time handing Python's lock to each other.

A worker has at most two tasks, one to do and one to go on with; whoever submits more waits. So memory is bounded by
what one task needs, if a task names files and does not hold them.
"""

import os
import pickle
import select
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from larix.errors import Failed
from larix.linux import syscalls
from larix.linux.failures import doing

# Those that we may use.
CORES = len(os.sched_getaffinity(0))
IN_HAND = 2
# Seconds that a worker has to put away what it has begun when it is not wanted any more.
GRACE = 0.5
LENGTH_SIZE = 8
# What ends us; a child has its own answers.
ENDING = signal.SIGINT, signal.SIGTERM
# What a pipe holds, usually.
PIECE = 1 << 16

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Task], Result]
Take = Callable[[Result], None]


def start_workers(work: Work[Task, Result], take: Take[Result], *, threads: bool = False) -> "Workers[Task]":
    """`work` is called with each task by a worker, `take` with each result by whoever submits, in no order."""
    return _Threads(work, take) if threads else _Processes(work, take)


class Workers(ABC, Generic[Task]):
    """Used in a `with`, at whose end all is done, or, after an error, as little as can be.

    What a task raises is raised by the next `submit` or at the end.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            while error is None and self._is_busy():
                self._collect()
        finally:
            self._end()

    @abstractmethod
    def submit(self, task: Task) -> None: ...

    @abstractmethod
    def is_free(self) -> bool:
        """Return whether `submit` would not wait."""

    @abstractmethod
    def _is_busy(self) -> bool: ...

    @abstractmethod
    def _collect(self, timeout: float | None = None) -> None:
        """Take what is ready, waiting for the first at most so many seconds."""

    @abstractmethod
    def _end(self) -> None: ...


class _Threads(Workers[Task], Generic[Task, Result]):
    """What a thread has begun cannot be ended; what none has begun is dropped after an error."""

    def __init__(self, work: Work[Task, Result], take: Take[Result]) -> None:
        self._work = work
        self._take = take
        self._pool = ThreadPoolExecutor(CORES)
        self._in_hand: set[Future[Result]] = set()

    def submit(self, task: Task) -> None:
        while not self._has_room():
            self._collect()
        self._in_hand.add(self._pool.submit(self._work, task))

    def is_free(self) -> bool:
        self._collect(0)
        return self._has_room()

    def _has_room(self) -> bool:
        return len(self._in_hand) < CORES * IN_HAND

    def _is_busy(self) -> bool:
        return bool(self._in_hand)

    def _collect(self, timeout: float | None = None) -> None:
        done, self._in_hand = wait(self._in_hand, timeout, FIRST_COMPLETED)
        for future in done:
            self._take(future.result())

    def _end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Processes(Workers[Task], Generic[Task, Result]):
    def __init__(self, work: Work[Task, Result], take: Take[Result]) -> None:
        self._work = work
        self._take = take
        self._workers: list[_Worker] = []

    def submit(self, task: Task) -> None:
        if self._workers:
            # A task that did not fit into a pipe goes on.
            self._collect(0)
        worker = min(self._workers, key=lambda worker: worker.in_hand, default=None)
        if worker is None or (worker.in_hand and len(self._workers) < CORES):
            worker = _Worker(self._work, self._workers)
        while worker.in_hand >= IN_HAND:
            self._collect()
            worker = min(self._workers, key=lambda worker: worker.in_hand)
        worker.give(task)

    def is_free(self) -> bool:
        if len(self._workers) < CORES:
            return True
        self._collect(0)
        return any(worker.in_hand < IN_HAND for worker in self._workers)

    def _is_busy(self) -> bool:
        return any(worker.in_hand for worker in self._workers)

    def _collect(self, timeout: float | None = None) -> None:
        ready = select.poll()
        waiting: dict[int, _Worker] = {}
        for worker in self._workers:
            for fd, event in worker.waits_for():
                ready.register(fd, event)
                waiting[fd] = worker
        for fd, _ in ready.poll(None if timeout is None else timeout * 1000):
            for result in waiting[fd].go_on(fd):
                self._take(result)

    def _end(self) -> None:
        for worker in self._workers:
            # One at work puts away what it has begun, if that is soon.
            worker.send(signal.SIGTERM if worker.in_hand else signal.SIGKILL)
        end = time.monotonic() + GRACE
        for worker in self._workers:
            if not worker.has_ended(end - time.monotonic()):
                worker.send(signal.SIGKILL)
        for worker in self._workers:
            worker.close()


class _Worker:
    """A forked process, as its parent sees it: tasks go in, answers (result, exception) come out.

    The parent's ends of the pipes never block, or both could wait for each other: one to give a task, the other to
    give an answer.
    """

    def __init__(self, work: Work[Any, Any], workers: "list[_Worker]") -> None:
        """Added to `workers`, its siblings."""
        self.in_hand = 0
        # What the pipe has not taken yet, and what came of an answer that is not whole.
        self._outgoing = bytearray()
        self._incoming = bytearray()
        with ExitStack() as childs, ExitStack() as ours, doing("Starting a worker process"):
            tasks, self._tasks = _pipe(childs, ours)
            self._answers, answers = _pipe(ours, childs)
            os.set_blocking(self._tasks, False)
            os.set_blocking(self._answers, False)
            # In the middle of a fork Python would drop the exception, and we a worker that nobody ends; and a signal
            # that reaches the child first would be the parent's to answer.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            childs.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
            if not (pid := os.fork()):
                self._be_the_child(tasks, answers, work, workers, mask)
            # By which it is ended, whoever has its number by then.
            try:
                self._process = os.pidfd_open(pid)
            except OSError:
                os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
                raise
            ours.pop_all()
            workers.append(self)

    def _be_the_child(
        self, tasks: int, answers: int, work: Work[Any, Any], siblings: "list[_Worker]", mask: Iterable[int]
    ) -> NoReturn:
        """Run the work, and end: what the parent has begun is not the child's to go on with."""
        try:
            # A program with an event loop is told of signals by a socket, which the child shares.
            signal.set_wakeup_fd(-1)
            # The parent alone answers to the keyboard.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, _leave)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            syscalls.end_with_parent(signal.SIGKILL)
            # It has copies of the parent's ends, and would keep itself and its siblings waiting with them.
            for worker in (self, *siblings):
                os.close(worker._tasks)
                os.close(worker._answers)
            _serve(tasks, answers, work)
        finally:
            os._exit(0)

    def give(self, task: object) -> None:
        self._outgoing += _frame(task)
        self.in_hand += 1
        self._send()

    def waits_for(self) -> list[tuple[int, int]]:
        """Descriptors, and the events of `poll` after which `go_on` has something to do."""
        waits = [(self._answers, select.POLLIN)] if self.in_hand else []
        return [*waits, (self._tasks, select.POLLOUT)] if self._outgoing else waits

    def go_on(self, fd: int) -> Iterator[Any]:
        """After an event of `fd`: results that came. Raises what a task raised."""
        if fd == self._tasks:
            self._send()
            return
        piece = os.read(fd, PIECE)
        if not piece:
            raise Failed("A worker process was ended by something else; is there enough memory?")
        self._incoming += piece
        while (end := _frame_end(self._incoming)) <= len(self._incoming):
            result, error = pickle.loads(memoryview(self._incoming)[LENGTH_SIZE:end].tobytes())
            del self._incoming[:end]
            self.in_hand -= 1
            if error is not None:
                raise error
            yield result

    def _send(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._tasks, self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            # It has ended; that is told where its answer is missing.
            self._outgoing.clear()

    def send(self, number: signal.Signals) -> None:
        """Send a signal: the worker has nothing to do, or what it does is not wanted any more."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def has_ended(self, seconds: float) -> bool:
        """Return whether a worker has ended, or does so soon enough."""
        ready = select.poll()
        ready.register(self._process, select.POLLIN)
        return bool(ready.poll(max(seconds, 0) * 1000))

    def close(self) -> None:
        """After it was killed."""
        # Where whoever started us ignores SIGCHLD, the kernel has taken its status already.
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._process, os.WEXITED)
        for fd in self._tasks, self._answers, self._process:
            os.close(fd)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Make a pipe; return its ends, each closed with its side."""
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


class _NotWanted(BaseException):
    """In a worker: what it does is not wanted any more."""


def _leave(number: int, frame: object) -> NoReturn:
    raise _NotWanted


def _serve(tasks: int, answers: int, work: Work[Any, Any]) -> None:
    """Until nobody gives tasks any more."""
    # What is to come may not fit into a pipe; Python's own buffers wait for all of it.
    with open(tasks, "rb", PIECE) as incoming, open(answers, "wb", 0) as outgoing:
        while head := incoming.read(LENGTH_SIZE):
            try:
                result = work(pickle.loads(incoming.read(int.from_bytes(head, "little"))))
                answer = _frame((result, None))
            except _NotWanted:
                return
            except BaseException as error:
                answer = _frame_error(error)
            try:
                while answer:
                    answer = answer[outgoing.write(answer) :]
            except BrokenPipeError:
                return


def _frame(value: object) -> bytes:
    data = pickle.dumps(value)
    return len(data).to_bytes(LENGTH_SIZE, "little") + data


def _frame_end(data: bytearray) -> int:
    """Return where the frame at the beginning ends, as far as can be seen."""
    return LENGTH_SIZE + int.from_bytes(data[:LENGTH_SIZE], "little") if len(data) >= LENGTH_SIZE else LENGTH_SIZE


def _frame_error(error: BaseException) -> bytes:
    """Return an answer that has it whole: with where it came from, and as what it is, if that can travel."""
    error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)).rstrip())
    try:
        answer = _frame((None, error))
        pickle.loads(answer[LENGTH_SIZE:])
    except Exception:
        told = RuntimeError(str(error))
        told.__notes__ = error.__notes__
        answer = _frame((None, told))
    return answer
