"""One entry of a boot loader's menu, as of the Boot Loader Specification: lines of a key and a value.

    title      what a person sees
    version    a number; the highest is booted
    options    kernel arguments, `ostree=` among them
    linux      kernel, a path on the file system of /boot; with sysroot.bootprefix one that begins with /boot
    initrd     likewise
    devicetree likewise

Keys that larix does not know are kept, in their order. A value is one line, whatever text it was made of: a version,
a name, a kernel argument of a commit's may hold line ends, which would begin another key.
"""

import re
from dataclasses import dataclass, replace
from typing import NewType, Self

from larix.errors import Corrupt, Invalid
from larix.formats.kargs import KernelArgs
from larix.formats.names import Stateroot

# SHA-256 of a kernel and what boots with it, in hexadecimal: which of them a deployment needs in /boot.
BootCsum = NewType("BootCsum", str)

SINGLE = ("title", "version", "options", "linux", "devicetree", "fdtdir")
PATHS = ("linux", "initrd", "devicetree", "fdtdir")
# What ends a line for someone (boot loaders differ, Python has most), and what else a terminal would take amiss.
BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]+")
# ostree=/ostree/boot.BOOTVERSION/STATEROOT/BOOTCSUM/BOOTSERIAL
TARGET = re.compile(r"/ostree/boot\.([01])/([^/]+)/([^/]+)/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class BootTarget:
    """What `ostree=` names: a link to a deployment. `serial` tells those with one kernel apart."""

    bootversion: int
    stateroot: Stateroot
    bootcsum: BootCsum
    serial: int

    def __str__(self) -> str:
        return f"/ostree/boot.{self.bootversion}/{self.stateroot}/{self.bootcsum}/{self.serial}"


@dataclass(frozen=True, slots=True)
class BootEntry:
    """A key is one word, and may be repeated (initrd). Values are made one line here, and nowhere else."""

    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple((key, one_line(value)) for key, value in self.pairs))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Any text is an entry, if of few keys. Of a key that ought to stand once the last counts, as in the C tool."""
        pairs = []
        for line in text.split("\n"):
            words = line.strip().split(None, 1)
            if words and not words[0].startswith("#"):
                pairs.append((words[0], words[1] if len(words) > 1 else ""))
        last = {key: i for i, (key, _) in enumerate(pairs)}
        return cls(tuple(pair for i, pair in enumerate(pairs) if pair[0] not in SINGLE or last[pair[0]] == i))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the entry in a file. Bytes that are no UTF-8 are kept: kernel arguments are those of a boot loader."""
        return cls.parse(data.decode("utf-8", "surrogateescape"))

    def encode(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    def __str__(self) -> str:
        return "".join(f"{key} {value}\n" for key, value in self.pairs)

    def find(self, key: str) -> str | None:
        return next((value for name, value in self.pairs if name == key), None)

    def set(self, key: str, value: str) -> Self:
        """Return the entry with this value for the key, once: where it stood first, or else at the end."""
        places = [i for i, (name, _) in enumerate(self.pairs) if name == key]
        if not places:
            return self.add(key, value)
        kept = [pair for i, pair in enumerate(self.pairs) if i not in places[1:]]
        kept[places[0]] = key, value
        return replace(self, pairs=tuple(kept))

    def add(self, key: str, value: str) -> Self:
        """Return the entry with one more value for the key."""
        return replace(self, pairs=(*self.pairs, (key, value)))

    def with_prefix(self, prefix: str) -> Self:
        """Return the entry with what a boot loader must put before the paths, which it sees from the root of another
        file system."""
        pairs = ((key, f"{prefix}{value}" if key in PATHS else value) for key, value in self.pairs)
        return replace(self, pairs=tuple(pairs))

    def without_prefix(self, prefix: str) -> Self:
        pairs = ((key, value.removeprefix(prefix) if key in PATHS else value) for key, value in self.pairs)
        return replace(self, pairs=tuple(pairs))

    @property
    def options(self) -> KernelArgs:
        text = self.find("options") or ""
        parsed, words = KernelArgs.parse(text), KernelArgs(tuple(text.split()))
        # Early boot splits at spaces; a quote that another argument does not close must not hide from us what it finds.
        return parsed if parsed.find("ostree") == words.find("ostree") else words

    @property
    def version(self) -> int:
        """0 where it has none."""
        text = self.find("version") or ""
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0

    @property
    def target(self) -> BootTarget:
        """Raises Corrupt where the options name none."""
        named = self.options.find("ostree")
        if named is None:
            raise Corrupt("No ostree= kernel argument found")
        found = TARGET.fullmatch(named)
        if not found:
            expected = "ostree=/ostree/boot.BOOTVERSION/STATEROOT/BOOTCSUM/SERIAL"
            raise Corrupt(f"Invalid ostree= argument {named!r}, expected {expected}")
        return BootTarget(int(found[1]), Stateroot(found[2]), BootCsum(found[3]), int(found[4]))


def check_word(text: str, what: str) -> str:
    """Raises Invalid for what a boot loader or the kernel would take for two words, or for none; `what` it names."""
    if not text or text != one_line(text) or len(text.split()) != 1:
        raise Invalid(f"{what} {text!r} cannot stand in a boot entry; it must have no spaces and no control characters")
    return text


def one_line(text: str) -> str:
    """Return the text with a space for each run of line ends and control characters, none at its ends. Tabs stay."""
    return BREAKS.sub(" ", text).strip()
