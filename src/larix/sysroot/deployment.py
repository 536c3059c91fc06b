"""A deployment: one tree of one stateroot, that can be booted.

ostree/deploy/STATEROOT/
  var/                           of all deployments of this stateroot
  deploy/CHECKSUM.SERIAL/        the tree: hard links into the repo, but for etc
  deploy/CHECKSUM.SERIAL.origin  where it came from: [origin] refspec=
  backing/CHECKSUM.SERIAL/       what is written to a transient root
"""

import re
from dataclasses import dataclass, field

from larix.formats.bootentry import BootCsum, BootEntry
from larix.formats.checksum import Checksum
from larix.formats.keyfile import KeyFile
from larix.formats.names import Stateroot

# Of a tree.
NAME = re.compile(r"([0-9a-f]{64})\.(\d+)")
TRANSIENT = "libostree-transient"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Two are equal where they are the same tree, whatever has become of its entry and its origin meanwhile.

    `serial` tells deployments of one commit apart, `bootserial` those of one kernel (`bootcsum`).
    """

    stateroot: Stateroot
    checksum: Checksum
    serial: int
    bootcsum: BootCsum = field(compare=False)
    bootserial: int = field(compare=False)
    entry: BootEntry = field(compare=False)
    origin: KeyFile = field(compare=False)

    @property
    def name(self) -> str:
        return f"{self.checksum}.{self.serial}"

    @property
    def path(self) -> str:
        """Relative to the sysroot."""
        return f"{deploy_path(self.stateroot)}/{self.name}"

    @property
    def refspec(self) -> str | None:
        return self.origin.find("origin", "refspec")

    @property
    def is_pinned(self) -> bool:
        return is_pinned(self.origin)


@dataclass(frozen=True, slots=True)
class Target:
    """What to deploy."""

    commit: Checksum
    origin: KeyFile


def is_pinned(origin: KeyFile) -> bool:
    return origin.find(TRANSIENT, "pinned") == "true"


def stateroot_path(stateroot: Stateroot) -> str:
    return f"ostree/deploy/{stateroot}"


def deploy_path(stateroot: Stateroot) -> str:
    return f"{stateroot_path(stateroot)}/deploy"
