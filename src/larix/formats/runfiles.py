"""What the running machine says of its deployments in /run. Each file is an a{sv}, here a little-endian one.

/run/ostree-booted                made by early boot; empty where that is old
    backing-root-device-inode     (tt): of the deployment, where / is another file system on top of it
/run/ostree/staged-deployment     a deployment that is made, and becomes the default when the machine goes down
    target                        a{sv}: name (CHECKSUM.SERIAL), osname, bootcsum
"""

import re
from typing import NamedTuple

from larix.errors import Corrupt
from larix.formats.bootentry import BootCsum
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import Stateroot
from larix.formats.objects import Metadata
from larix.gvariant import Variant, decode

BACKING_ROOT = "backing-root-device-inode"
TARGET = "target"
NAME = re.compile(r"([0-9a-f]{64})\.([0-9]{1,9})")


class Staged(NamedTuple):
    """Which deployment is staged; `bootcsum` is empty where that is not said."""

    stateroot: Stateroot
    checksum: Checksum
    serial: int
    bootcsum: BootCsum


def decode_booted(data: bytes, name: str) -> tuple[int, int] | None:
    """Device and inode of the booted deployment, where they are not those of /. Raises Corrupt, with `name`."""
    found = _decode(data, name).get(BACKING_ROOT) if data else None
    if found is None:
        return None
    if found.type != "(tt)":
        raise Corrupt(f"{name}: {BACKING_ROOT} is a {found.type}; it must be a (tt)")
    device, inode = found.value
    return device, inode


def decode_staged(data: bytes, name: str) -> Staged:
    """Raises Corrupt, with `name`."""
    found = _decode(data, name).get(TARGET)
    if found is None or found.type != "a{sv}":
        raise Corrupt(f"{name} does not say which deployment is staged")
    target = Metadata(found.value)
    deployment = NAME.fullmatch(target.find_string("name") or "")
    stateroot, bootcsum = target.find_string("osname") or "", target.find_string("bootcsum") or ""
    if deployment is None or "/" in stateroot or not stateroot or (bootcsum and not is_checksum(bootcsum)):
        raise Corrupt(f"{name} does not say which deployment is staged")
    return Staged(Stateroot(stateroot), Checksum(deployment[1]), int(deployment[2]), BootCsum(bootcsum))


def _decode(data: bytes, name: str) -> Metadata:
    try:
        pairs: list[tuple[str, Variant]] = decode("a{sv}", data)
    except Corrupt as error:
        raise Corrupt(f"{name}: {error}") from None
    return Metadata(pairs)
