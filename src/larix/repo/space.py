"""What a repo leaves free of its file system, by its config: new file objects do not take it.

Metadata objects are small, and come in any case.
"""

import os
import re

from larix.errors import Invalid, NoSpace
from larix.formats.keyfile import KeyFile

# Where the config says nothing.
PERCENT = 3
UNITS = {"MB": 2**20, "GB": 2**30, "TB": 2**40}


class Space:
    """Of the file system of `fd`."""

    def __init__(self, config: KeyFile, fd: int) -> None:
        """Raises Invalid for a size or share that is none. A size other than 0 goes before a share."""
        self._fd = fd
        text = (config.find("core", "min-free-space-size") or "0MB").strip()
        found = re.fullmatch(r"(\d{1,18})([MGT]B)", text, re.ASCII)
        if not found:
            raise Invalid(
                f"Invalid min-free-space-size '{text}': It should be of the format '123MB', '123GB' or '123TB'"
            )
        percent = config.find_int("core", "min-free-space-percent", PERCENT)
        if not 0 <= percent <= 99:
            raise Invalid(f"Invalid min-free-space-percent '{percent}'; it must be from 0 to 99")
        system = os.fstatvfs(fd)
        self._unit = system.f_frsize
        if size := int(found[1]) * UNITS[found[2]]:
            self._kept, self._limit = size, f"min-free-space-size {size // UNITS['MB']}MB"
        else:
            self._kept = system.f_blocks * self._unit * percent // 100
            self._limit = f"min-free-space-percent '{percent}%'"

    def check(self, size: int) -> None:
        """Raises NoSpace where a file of so many bytes would leave less than shall be free."""
        if not self._kept:
            return
        needed = size + self._unit
        found = os.fstatvfs(self._fd)
        # Some of what is free may be for root alone.
        free = found.f_bavail if os.geteuid() else found.f_bfree
        if free * self._unit - needed < self._kept:
            raise NoSpace(f"{self._limit} would be exceeded, at least {needed} bytes requested")
