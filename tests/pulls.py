"""What tests of pulls share."""

import os
from pathlib import Path

from tests.judge import larix, ostree, picture

MODES = ["archive", "bare", "bare-user"] if os.geteuid() == 0 else ["archive", "bare-user"]


def client(path: Path, mode: str, url: str) -> Path:
    ostree(path, "init", f"--mode={mode}")
    ostree(path, "remote", "add", "--no-gpg-verify", "origin", url)
    return path


def objects(repo: Path) -> set[str]:
    return {str(path.relative_to(repo)) for path in (repo / "objects").glob("*/*")}


def contents(repo: Path) -> dict[str, object]:
    """All of a repo but its lock, and what a failed pull keeps for the next one; the C tool leaves both too."""
    return {
        path: found for path, found in picture(repo).items() if path != ".lock" and not path.startswith("tmp/staging-")
    }


def refs(repo: Path) -> dict[str, str]:
    return dict(line.split("\t") for line in larix(repo, "refs", "--revision").splitlines())
