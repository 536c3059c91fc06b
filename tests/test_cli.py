"""The command as a user starts it."""

import re
import subprocess
import sys
from pathlib import Path

import larix

LARIX = Path(sys.executable).parent / "larix"


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LARIX, *args], capture_output=True, text=True, check=False)


def test_version_is_readable_by_scripts() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"libostree:\n Version: '\d{4}\.\d+'\n", done.stdout)
    assert f"larix:\n Version: '{larix.__version__}'\n" in done.stdout


def test_python_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "larix", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, run("--version").stdout)


def test_no_command_is_an_error_with_usage() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("Usage: larix")
    assert done.stderr.endswith("error: No command specified\n")


def test_unknown_command_is_one_line() -> None:
    done = run("frobnicate")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: Unknown command 'frobnicate'; see larix --help\n"
