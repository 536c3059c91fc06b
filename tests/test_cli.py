"""The command as a user starts it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import larix
from larix.cli.main import COMMANDS, main

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
    assert done.stderr.startswith("Usage:\n  larix ")
    assert done.stderr.endswith("error: No command specified\n")


def test_unknown_command_is_an_error_with_usage() -> None:
    for words, message in (["frobnicate"], "Unknown command"), (["remote", "frob"], 'Unknown "remote" subcommand'):
        done = run(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Usage:\n  larix ")
        assert done.stderr.endswith(f"error: {message} '{words[-1]}'\n")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ending:
            main([*name.split(), "--help"])
        out, err = capsys.readouterr()
        assert (ending.value.code, err) == (0, "")
        assert out.startswith(f"Usage: larix {name} "), name


def test_other_names(tmp_path: Path) -> None:
    (tmp_path / "ostree").symlink_to(LARIX)
    done = subprocess.run([tmp_path / "ostree", "remote", "--help"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Usage:\n  ostree remote ")


def test_programs_beside(tmp_path: Path) -> None:
    program = tmp_path / "ostree-greet"
    program.write_text('#!/bin/sh\necho "$@"; exit 3\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    expected = subprocess.run(
        ["ostree", "greet", "a", "--b"], capture_output=True, text=True, check=False, env=environment
    )
    done = subprocess.run([LARIX, "greet", "a", "--b"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (3, "greet a --b\n", "")
    assert (expected.returncode, expected.stdout) == (3, "greet a --b\n")
