"""What the documents tell people to type."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.judge import ostree

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


def test_documents_that_are_named_are_there() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`((?:docs|bench)/[a-z]+\.md)`", document.read_text()):
            assert (ROOT / name).is_file(), (document, name)
