"""Which deployments the running machine uses. What it says of them in /run is described in formats/runfiles.py."""

import os

from larix.formats.runfiles import Staged, decode_booted, decode_staged
from larix.linux import reading
from larix.linux.failures import doing

BOOTED = "/run/ostree-booted"
STAGED = "/run/ostree/staged-deployment"


def running_root() -> tuple[int, int]:
    """Device and inode of the deployment that is /, or that lies under what is /. Raises Corrupt."""
    data = _read(BOOTED)
    found = decode_booted(data, BOOTED) if data else None
    if found is None:
        root = os.stat("/")
        found = root.st_dev, root.st_ino
    return found


def staged_deployment() -> Staged | None:
    """Return what another tool has made, and what boots next. Raises Corrupt."""
    data = _read(STAGED)
    return decode_staged(data, STAGED) if data is not None else None


def _read(path: str) -> bytes | None:
    with doing(f"Reading {path}"):
        try:
            return reading.read_whole(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
