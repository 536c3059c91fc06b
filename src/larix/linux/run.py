"""Running other programs."""

import subprocess
from collections.abc import Sequence


def run_in_terminal(command: Sequence[str]) -> int:
    """Run a program that talks to the user; its exit status, negative for a signal. Raises OSError."""
    return subprocess.run(command, check=False).returncode
