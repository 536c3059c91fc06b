"""A deployment: one tree of one stateroot, that can be booted.

ostree/deploy/STATEROOT/
  var/                           of all deployments of this stateroot
  deploy/CHECKSUM.SERIAL/        the tree: hard links into the repo, but for etc
  deploy/CHECKSUM.SERIAL.origin  where it came from: [origin] refspec=
  backing/CHECKSUM.SERIAL/       a newer C tool's: what is written to a transient root
"""

from dataclasses import dataclass

from larix.formats.bootentry import BootEntry
from larix.formats.checksum import Checksum
from larix.formats.keyfile import KeyFile


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """`serial` tells deployments of one commit apart, `bootserial` those of one kernel (`bootcsum`)."""

    stateroot: str
    checksum: Checksum
    serial: int
    bootcsum: str
    bootserial: int
    entry: BootEntry
    origin: KeyFile

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
        return self.origin.find("libostree-transient", "pinned") == "true"


def stateroot_path(stateroot: str) -> str:
    return f"ostree/deploy/{stateroot}"


def deploy_path(stateroot: str) -> str:
    return f"{stateroot_path(stateroot)}/deploy"
