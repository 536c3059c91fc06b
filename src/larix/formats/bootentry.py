"""One entry of a boot loader's menu, as of the Boot Loader Specification: lines of a key and a value.

    title      what a person sees
    version    a number; the highest is booted
    options    kernel arguments, `ostree=` among them
    linux      kernel, a path on the file system of /boot
    initrd     likewise
    devicetree likewise

Keys that larix does not know are kept, in their order.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from larix.formats.kargs import KernelArgs

# ostree=/ostree/boot.BOOTVERSION/STATEROOT/BOOTCSUM/BOOTSERIAL
TARGET = re.compile(r"/ostree/boot\.([01])/([^/]+)/([^/]+)/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class BootTarget:
    """What `ostree=` names: a link to a deployment. `serial` tells those with one kernel apart."""

    bootversion: int
    stateroot: str
    bootcsum: str
    serial: int

    def __str__(self) -> str:
        return f"/ostree/boot.{self.bootversion}/{self.stateroot}/{self.bootcsum}/{self.serial}"


@dataclass(frozen=True, slots=True)
class BootEntry:
    """A key may be repeated (initrd)."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Any text is an entry, if of few keys."""
        pairs = []
        for line in text.split("\n"):
            words = line.strip().split(None, 1)
            if words and not words[0].startswith("#"):
                pairs.append((words[0], words[1] if len(words) > 1 else ""))
        return cls(tuple(pairs))

    def __str__(self) -> str:
        return "".join(f"{key} {value}\n" for key, value in self.pairs)

    def find(self, key: str) -> str | None:
        return next((value for name, value in self.pairs if name == key), None)

    def set(self, key: str, value: str) -> Self:
        """With this value for the key, where it stands or else at the end."""
        if self.find(key) is None:
            return replace(self, pairs=(*self.pairs, (key, value)))
        return replace(self, pairs=tuple((name, value if name == key else old) for name, old in self.pairs))

    @property
    def options(self) -> KernelArgs:
        return KernelArgs.parse(self.find("options") or "")

    @property
    def version(self) -> int:
        """0 where it has none."""
        text = self.find("version") or ""
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0

    @property
    def target(self) -> BootTarget | None:
        found = TARGET.fullmatch(self.options.find("ostree") or "")
        return BootTarget(int(found[1]), found[2], found[3], int(found[4])) if found else None
