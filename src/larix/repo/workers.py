"""Threads for the work on file objects: read, hash, inflate, deflate, place. The C libraries let them run side by side.

One queue with a limit, so that whoever submits cannot run ahead of the work: not with bytes in memory, nor with open
directories. Small tasks are given in batches by their submitters, since each handing over costs more than a small file.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

# Tasks in hand, and bytes that they hold or will read whole.
MAX_TASKS = 64
MAX_SIZE = 96 << 20

Task = Callable[[], None]


class Workers:
    """Used in a `with`, at whose end all is done, also after an error: a task may hold what it alone can close. The
    first error of a task is raised there, or by the next `submit`."""

    def __init__(self) -> None:
        self._tasks: deque[tuple[int, Task]] = deque()
        self._changed = threading.Condition()
        self._count = 0
        self._size = 0
        self._ended = False
        self._error: BaseException | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(os.cpu_count() or 1)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    def submit(self, task: Task, size: int = 0) -> None:
        """`size` is how many bytes of memory it holds until it is done."""
        size = min(size, MAX_SIZE)
        with self._changed:
            while self._error is None and (self._count >= MAX_TASKS or self._size + size > MAX_SIZE):
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._count += 1
            self._size += size
            self._tasks.append((size, task))
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._tasks and not self._ended:
                    self._changed.wait()
                if not self._tasks:
                    return
                size, task = self._tasks.popleft()
            try:
                task()
            except BaseException as error:
                with self._changed:
                    self._error = self._error or error
            with self._changed:
                self._count -= 1
                self._size -= size
                self._changed.notify_all()
