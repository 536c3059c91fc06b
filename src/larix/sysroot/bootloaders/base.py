"""What a boot loader needs beside the entries in boot/loader.N/entries, which all have."""

from collections.abc import Sequence
from typing import Protocol

from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot


class BootLoader(Protocol):
    name: str

    def is_active(self, boot_fd: int) -> bool:
        """Return whether its configuration is there in /boot."""

    def write(self, sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
        """Put its own configuration into loader.BOOTVERSION, before that becomes the one that boots."""
