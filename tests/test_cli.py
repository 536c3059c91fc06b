"""The command as a user starts it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import larix
from larix.cli.main import COMMANDS, GROUPS, NOT_YET, main
from tests.judge import ostree

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
    assert run("comit").stderr.endswith("error: Unknown command 'comit'; did you mean commit?\n")


def test_a_command_that_larix_lacks_is_no_unknown_one() -> None:
    assert not NOT_YET & {*COMMANDS, *GROUPS}
    for name in NOT_YET:
        done = run(*name.split(), "--word", "word")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: larix cannot do '{name}' yet;"), done.stderr
    assert run("static-delta", "generate", "x").stderr.startswith("error: larix cannot do 'static-delta' yet;")


def test_an_interrupted_command_dies_of_the_signal(tmp_path: Path) -> None:
    run("init", f"--repo={tmp_path}/repo", "--mode=archive")
    os.mkfifo(tmp_path / "body")
    words = ["commit", f"--repo={tmp_path}/repo", "-b", "x", f"--body-file={tmp_path}/body", f"{tmp_path}/repo/refs"]
    # In the background of some shells the signal is ignored, and so by all that is started there.
    process = subprocess.Popen(["env", "--default-signal=INT", LARIX, *words], stderr=subprocess.PIPE)
    # Returns when it is there to read.
    with (tmp_path / "body").open("w"):
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == b""
    assert process.returncode == -signal.SIGINT


def test_a_defect_is_one_line_and_a_traceback_for_who_asks() -> None:
    code = "import sys, larix.cli.main as front; front.dispatch = lambda *_: 1 // 0; front.run()"
    for words, expected in ([], "error: A defect of larix: ZeroDivisionError("), (["-v"], "Traceback"):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(expected)
        assert (done.stderr.count("\n") == 1) == (not words)


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


SAID = [
    "ls -R main",
    "refs",
    "log main",
    "cat main /f",
    "fsck",
    "--help",
    "--version",
    "prune",
    "summary -u",
    "diff main main",
]
SAID += ["rev-parse main", "ls --json main", "config get core.mode", "commit -b new {tree}"]
NO_SPACE = "error: Writing to standard output: No space left on device\n"


@pytest.mark.parametrize("words", SAID)
def test_nobody_reads_what_is_said(words: str, tmp_path: Path, tree: Path) -> None:
    """The work goes on to its end, and that is what the exit tells; only a full disk is told besides."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    (tree / "f").write_text("x" * 200_000)
    ostree(repo, "commit", "-b", "main", tree)
    command = f"{sys.executable} -m larix --repo={repo} {words.format(tree=tree)}"
    told = bool(words not in ("summary -u", "diff main main"))
    for how, status, said in [
        ("| true", 0, ""),
        ("| head -c1 >/dev/null", 0, ""),
        (">&-", 0, ""),
        (">/dev/full", int(told), NO_SPACE if told else ""),
        ("2>/dev/full >/dev/null", 0, ""),
    ]:
        script = ["bash", "-c", f"set -o pipefail; {command} {how}"]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (status, said), how
    if words.startswith("commit"):
        assert ostree(repo, "log", "new").count("commit ") == 5


@pytest.mark.parametrize("how", ["| true", "| head -c1 >/dev/null", ">&-", ">/dev/full"])
def test_an_archive_that_nobody_reads(how: str, tmp_path: Path, tree: Path) -> None:
    """It is lost, as with the C tool."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    (tree / "f").write_bytes(os.urandom(1 << 20))
    ostree(repo, "commit", "-b", "main", tree)
    for program in "ostree", f"{sys.executable} -m larix":
        script = ["bash", "-c", f"set -o pipefail; {program} --repo={repo} export main {how}"]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Writ" in done.stderr or "write" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(closed: str, tmp_path: Path, tree: Path) -> None:
    """Work is done all the same, and no file of the repo gets what was to be said."""
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    larix_command = f"{sys.executable} -m larix --repo={repo}"
    for words in f"commit -b main {tree}", "fsck", "ls -R main", f"checkout -U main {tmp_path}/out", "nonsense":
        done = subprocess.run(["/bin/sh", "-c", f"exec {larix_command} {words} {closed}"], check=False)
        assert done.returncode == (1 if words == "nonsense" else 0), words
    ostree(repo, "fsck")
