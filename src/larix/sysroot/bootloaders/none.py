"""A boot loader that reads the entries itself."""

from collections.abc import Sequence

from larix.formats.bootentry import BootEntry


class NoBootLoader:
    name = "none"

    def is_active(self, boot_fd: int) -> bool:
        return True

    def write(self, entries: Sequence[BootEntry], bootversion: int, boot_fd: int) -> None:
        pass
