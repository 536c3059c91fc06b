"""Manual pages and completion, as the wheel brings them: of every command, and judged by man and by the shells."""

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from larix.cli.main import COMMANDS, GROUPS
from tests.judge import larix

ROOT = Path(__file__).parent.parent
# How each shell is started, and the file it then reads; {share} is the folder of the installation.
SHELLS = {
    "bash": ("bash --rcfile rc -i", "source {share}/bash-completion/completions/larix; PS1='ready> '"),
    "zsh": (
        "zsh -i",
        "fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D; PS1='ready> '\n"
        # Tabs that come faster than a hand writes them are meant all the same.
        "zstyle ':completion:*' insert-tab false",
    ),
    "fish": (
        "fish --no-config --init-command 'source rc'",
        "source {share}/fish/vendor_completions.d/larix.fish; function fish_prompt; echo -n 'ready> '; end",
    ),
}


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder share/ of an installation."""
    target = tmp_path_factory.mktemp("prefix")
    subprocess.run([sys.executable, ROOT / "tools/share.py", target], check=True)
    return target / "share"


def test_every_command_and_group_has_a_page(share: Path) -> None:
    pages = {path.name for path in (share / "man/man1").iterdir()}
    names = [name for name in COMMANDS if "--" not in name]
    assert pages == {"larix.1"} | {f"larix-{name.replace(' ', '-')}.1" for name in (*names, *GROUPS)}


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_finds_nothing_to_complain_of(share: Path) -> None:
    pages = sorted((share / "man/man1").iterdir())
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100"}
    result = subprocess.run(
        ["man", "--warnings", "--local-file", *pages], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    for name in COMMANDS:
        assert name.startswith("admin --") or f"larix {name} " in result.stdout
    assert "larix checkout --repo=repo -U os/stable tree" in result.stdout


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the ref os/stable, and the same of the remote origin."""
    top = tmp_path_factory.mktemp("completed")
    (top / "tree").mkdir()
    for name in "other", "repo":
        larix(top / name, "init", "--mode=bare-user")
    larix(top / "other", "commit", "-b", "os/stable", top / "tree")
    larix(top / "repo", "pull-local", top / "other")
    larix(top / "repo", "pull-local", "--remote=origin", top / "other")
    larix(top / "repo", "remote", "add", "--no-gpg-verify", "origin", "file:///nowhere")
    return top / "repo"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("rev-p\t --repo={repo} os/sta\t", "{commit}"),
        ("rev-parse --repo {repo} origin:\t", "{commit}"),
        ("remote show\t --repo={repo} or\t", "file:///nowhere"),
    ],
)
def test_a_shell_completes(shell: str, typed: str, answer: str, share: Path, repo: Path, tmp_path: Path) -> None:
    command, setup = SHELLS[shell]
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "rc").write_text(setup.format(share=share))
    (tmp_path / ".zshrc").symlink_to("rc")
    commit = larix(repo, "rev-parse", "os/stable").strip()
    with Terminal(command, tmp_path) as terminal:
        terminal.wait_for("ready> ")
        terminal.write(f"larix {typed.format(repo=repo)}\r")
        terminal.wait_for(answer.format(commit=commit))


class Terminal:
    """A shell that believes that somebody sits before it."""

    def __init__(self, command: str, home: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(home), "ZDOTDIR": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            words = shlex.split(command)
            os.execvpe(words[0], words, environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def write(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until the text appears; it may be folded at the terminal's width."""
        seen = ""
        end = time.monotonic() + 30
        while text not in seen.replace("\r\n", ""):
            ready, _, _ = select.select([self.fd], [], [], end - time.monotonic())
            assert ready, f"{text!r} did not appear, but {seen!r}"
            seen += os.read(self.fd, 65536).decode()
