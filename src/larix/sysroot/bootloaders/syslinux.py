"""SYSLINUX and EXTLINUX, which read boot/loader/syslinux.cfg through the link boot/syslinux/syslinux.cfg. Where that
is a file, it is what the first configuration is made of; the link is for the administrator to make.

    DEFAULT title of the first entry
    LABEL title
    \tKERNEL /boot/ostree/…     the path as the boot loader sees it: boot/boot links to boot
    \tINITRD …
    \tDEVICETREE, FDTDIR …
    \tAPPEND kernel arguments

Other lines are kept: settings, and labels whose kernel is not one of ours.
"""

import os
from collections.abc import Iterator, Sequence

from larix.formats.bootentry import BootEntry
from larix.linux import reading, writing
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot

LINK, CONFIG = "syslinux/syslinux.cfg", "loader/syslinux.cfg"
MAX_SIZE = 1 << 20
WORDS = {"linux": "KERNEL", "initrd": "INITRD", "devicetree": "DEVICETREE", "fdtdir": "FDTDIR"}
OURS = ("/ostree/", "/boot/ostree/")


class Syslinux:
    name = "syslinux"

    def is_active(self, boot_fd: int) -> bool:
        return os.path.lexists(f"/proc/self/fd/{boot_fd}/{LINK}")

    def write(self, sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
        try:
            path = CONFIG if reading.is_link(LINK, boot_fd) else LINK
            old = reading.read(path, boot_fd, MAX_SIZE).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            old = ""
        lines = [*_others(old.splitlines())]
        if deployments:
            lines.append(f"DEFAULT {deployments[0].entry.find('title')}")
        for deployment in deployments:
            lines += label(deployment.entry)
        text = "".join(f"{line}\n" for line in lines)
        writing.replace(f"loader.{bootversion}/syslinux.cfg", text.encode("utf-8", "surrogateescape"), boot_fd)


def label(entry: BootEntry) -> Iterator[str]:
    yield f"LABEL {entry.find('title')}"
    for key, word in WORDS.items():
        # It reads one line of each kind: several initrds stand there with commas.
        paths = [f"/boot{value}" for name, value in entry.pairs if name == key]
        if paths:
            yield f"\t{word} {','.join(paths)}"
    yield f"\tAPPEND {entry.options}"


def _others(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines that are not ours; of DEFAULT there can be only one."""
    block: list[str] = []
    for line in [*lines, "LABEL"]:
        word = line.split(None, 1)[0].upper() if line.split() else ""
        if word == "LABEL":
            if not any(_is_ours(other) for other in block):
                yield from block
            block = []
        if word != "DEFAULT":
            block.append(line)


def _is_ours(line: str) -> bool:
    words = line.split(None, 1)
    return len(words) == 2 and words[0].upper() in ("KERNEL", "LINUX") and words[1].startswith(OURS)
