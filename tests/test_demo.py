"""The demonstration."""

import subprocess
import sys
from pathlib import Path


def test_demo() -> None:
    command = [sys.executable, "-m", "demo", "--quick"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("All checks passed.\n")
