"""Running other programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence


def run_in_terminal(command: Sequence[str]) -> int:
    """Run a program that talks to the user; its exit status, negative for a signal. Raises OSError."""
    return subprocess.run(command, check=False).returncode


def run_instead(name: str, args: Sequence[str]) -> None:
    """Run a program of $PATH in place of this one; return only where there is none. Raises OSError."""
    if "/" not in name and (program := shutil.which(name)) is not None:
        sys.stdout.flush()
        os.execv(program, [name, *args])
