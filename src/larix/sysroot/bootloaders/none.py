"""A boot loader that reads the entries itself."""

from collections.abc import Sequence

from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot


class NoBootLoader:
    name = "none"

    def is_active(self, boot_fd: int) -> bool:
        return True

    def write(self, sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
        pass
