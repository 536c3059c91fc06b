"""Small file systems on loop devices, in a mount namespace of their own: it takes them with it when it ends."""

import ctypes
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

CLONE_NEWNS = 0x00020000


def in_namespace(work: Callable[[], None]) -> None:
    """Run in a forked process that sees mounts which nobody else sees. Raises AssertionError with what went wrong."""
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(reading)
            # Nothing of the runner's: its output is a channel to other processes.
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            work()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc()[-60_000:].encode())
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, said


def mount(image: Path, size: int, at: Path) -> None:
    """Make an ext4 of so many MiB without a reserve for root, and mount it."""
    with image.open("wb") as file:
        file.truncate(size << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-O", "^has_journal", image], check=True)
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)


needs_loop = pytest.mark.skipif(not os.path.exists("/dev/loop-control"), reason="no loop devices are to be had here")
