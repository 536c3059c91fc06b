"""Names are bytes of the file system, and UTF-8 in a commit, whatever the locale says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.judge import everything, ostree, run_c

NAMES = [b"\xc3\xa9", "日本".encode(), b"plain", "ſtraße/Ünder".encode()]
LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "C.UTF-8": {"LC_ALL": "C.UTF-8"},
    "none": {},
    "one that is not there": {"LC_ALL": "xx_XX"},
    "ISO-8859-1": {"LC_ALL": "de_DE"},
    "no UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ISO-8859-1, no UTF-8 mode": {"LC_ALL": "de_DE", "PYTHONUTF8": "0"},
    "another encoding for output": {"LC_ALL": "de_DE", "PYTHONIOENCODING": "latin-1"},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(directory / "de_DE")]
    subprocess.run(command, check=True, capture_output=True)
    return directory


@pytest.fixture(params=LOCALES)
def environment(request: pytest.FixtureRequest, locales: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **LOCALES[request.param], "LOCPATH": str(locales)}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of names beyond ASCII."""
    top = tmp_path_factory.mktemp("odd")
    for name in NAMES:
        path = top / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name)
    os.symlink("日本".encode(), bytes(top) + b"/link")
    return top


def test_all_is_the_same(environment: dict[str, str], odd: Path, tmp_path: Path) -> None:
    def run(*words: str | bytes | Path, data: bytes | None = None) -> bytes:
        command = [sys.executable, "-m", "larix", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, input=data, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), (words, done)
        return done.stdout

    ostree(expected := tmp_path / "c", "init", "--mode=archive")
    about = ["--timestamp=@0", "-s", "日本é", "--add-metadata-string=wörd=é", "-b", "zweig/é"]
    commit = ostree(expected, "commit", *about, odd)
    run("--repo=repo", "init", "--mode=archive")
    assert run("--repo=repo", "commit", *about, odd).decode().strip() == commit
    log = run("--repo=repo", "log", "zweig/é").decode()
    assert "日本é" in log
    assert log == run_c(f"--repo={expected}", "log", "zweig/é").stdout
    for words in ["ls", "-R", "zweig/é"], ["refs"], ["show", "zweig/é"], ["cat", "zweig/é", "/日本"]:
        assert run("--repo=repo", *words).decode() == run_c(f"--repo={expected}", *words).stdout
    assert "/日本" in [one["path"] for one in json.loads(run("--repo=repo", "ls", "--json", "-R", "zweig/é"))]
    run("--repo=repo", "checkout", "-U", "zweig/é", "außen")
    out = bytes(tmp_path) + "/außen".encode()
    assert {bytes(path).removeprefix(out) for path in everything(Path(os.fsdecode(out)))} == {
        bytes(path).removeprefix(bytes(odd)) for path in everything(odd)
    }
    assert os.readlink(out + b"/link") == "日本".encode()
    tar = run("--repo=repo", "export", "zweig/é")
    (tmp_path / "tar").write_bytes(tar)
    assert run("--repo=repo", "commit", "-b", "tar", "--tree=tar=tar", "--timestamp=@0")
    assert run("--repo=repo", "diff", "zweig/é", "tar") == b""
    (tmp_path / "list").write_bytes("/日本\n".encode())
    run("--repo=repo", "commit", "-b", "less", "--skip-list=list", odd)
    assert run("--repo=repo", "diff", "zweig/é", "less").decode().split() == ["D", "/日本"]
    (tmp_path / "subject").write_bytes("Überschrift\n\nText é\n".encode())
    run("--repo=repo", "commit", "-b", "said", "--body-file=subject", "--tree=ref=less")
    assert "Text é".encode() in run("--repo=repo", "show", "said")
    run("--repo=repo", "config", "set", "core.x", "wört")
    assert run("--repo=repo", "config", "get", "core.x").decode() == "wört\n"
    (tmp_path / "repo/config").read_text(encoding="utf-8")


def test_messages(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "larix", "init", "--mode=archive", "--repo=x/y/é\n", "--collection-id=日本"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: Invalid collection ID 日本\n".encode())


def test_a_program_with_another_encoding_is_told(locales: Path, tmp_path: Path) -> None:
    """It can read no name right."""
    ostree(tmp_path / "repo", "init", "--mode=archive")
    code = "import larix\ntry: larix.Repo('repo')\nexcept larix.Unsupported as error: print(error)"
    environment = {**os.environ, "LC_ALL": "de_DE", "LOCPATH": str(locales), "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "PYTHONUTF8=1" in done.stdout
