"""What the documents tell people to type."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import larix.api
from larix.linux import writing
from tests.judge import make_os_tree, ostree

ROOT = Path(__file__).parent.parent


def test_the_tour(tmp_path: Path) -> None:
    tour = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tour
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eux"], input=tour[1], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "First needles" in done.stdout
    assert (tmp_path / "checkout/usr/bin/hello").read_text() == "hello, trunk\n"
    head = ostree(tmp_path / "server", "rev-parse", "os/stable")
    assert ostree(tmp_path / "client", "rev-parse", "origin:os/stable") == head
    ostree(tmp_path / "client", "fsck")


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL)


def test_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example of docs/api.md, in their order, in one directory."""
    for version in "1", "2":
        make_os_tree(tmp_path / f"release-{version}", version, "6.1.0")
    (tmp_path / "extra/usr/share").mkdir(parents=True)
    with tarfile.open(tmp_path / "more.tar", "w") as archive:
        archive.add(ROOT / "README.md", "usr/share/doc/README")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    try:
        for number, block in enumerate(python_blocks(), 1):
            exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
        repo = tmp_path / "disk/ostree/repo"
        ostree(repo, "fsck")
        assert ostree(repo, "refs", "--list", "ostree").count("\n") == 1
        assert sorted(ostree(tmp_path / "client", "refs").split()) == ["origin:os/stable", "os/testing"]
        assert (tmp_path / "bin/tool").read_text() == (tmp_path / "tree/usr/bin/tool").read_text() == "tool 2"
        assert ostree(tmp_path / "repo", "show", "--print-metadata-key=version", "os/testing") == "'2.1'"
        listed = re.findall("^commit (.*)", ostree(tmp_path / "repo", "log", "os/testing"), re.MULTILINE)
        assert listed == [names[name] for name in ("third", "second", "first")]
    finally:
        for root in tmp_path.glob("disk/ostree/deploy/os/deploy/*.[0-9]"):
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            writing.set_immutable(fd, False)
            os.close(fd)


def test_public_names() -> None:
    """Each is there, stands once, and is explained, by itself or with what it belongs to."""
    assert len(set(larix.api.__all__)) == len(larix.api.__all__)
    for name in larix.api.__all__:
        text = getattr(larix, name).__doc__
        # Not what Python says of a dataclass or a tuple by itself.
        assert text, name
        assert not text.startswith(f"{name}("), name
    with pytest.raises(ImportError, match="cannot import name 'json'"):
        exec("from larix import json")
    assert set(larix.api.__all__) <= set(dir(larix))


def test_documents_that_are_named_are_there() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`((?:docs|bench)/[a-z]+\.md)`", document.read_text()):
            assert (ROOT / name).is_file(), (document, name)
