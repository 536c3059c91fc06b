"""U-Boot, which reads variables from boot/loader/uEnv.txt, usually through the link boot/uEnv.txt.

    kernel_image=/boot/ostree/…     the path as the boot loader sees it: boot/boot links to boot
    ramdisk_image=…
    fdt_file=…, fdtdir=…
    bootargs=kernel arguments
    kernel_image2=…                 of the second deployment, and so on

After those of the first comes its tree's own usr/lib/ostree-boot/uEnv.txt, which says how to boot with them.
"""

import os
from collections.abc import Iterator, Sequence

from larix.formats.bootentry import BootEntry
from larix.linux import reading, writing
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot

LINK, CONFIG = "uEnv.txt", "loader/uEnv.txt"
OF_TREE = "usr/lib/ostree-boot/uEnv.txt"
MAX_SIZE = 1 << 20
NAMES = {"linux": "kernel_image", "initrd": "ramdisk_image", "devicetree": "fdt_file", "fdtdir": "fdtdir"}


class UBoot:
    name = "uboot"

    def is_active(self, boot_fd: int) -> bool:
        return reading.is_link(LINK, boot_fd) or os.path.lexists(f"/proc/self/fd/{boot_fd}/{CONFIG}")

    def write(self, sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
        text = b""
        for i, deployment in enumerate(deployments):
            suffix = "" if i == 0 else str(i + 1)
            text += "".join(f"{line}\n" for line in variables(deployment.entry, suffix)).encode(
                "utf-8", "surrogateescape"
            )
            if i == 0:
                text += _of_tree(sysroot, deployment)
        writing.replace(f"loader.{bootversion}/uEnv.txt", text, boot_fd)


def variables(entry: BootEntry, suffix: str) -> Iterator[str]:
    for key, name in NAMES.items():
        # It can load one of each.
        value = entry.find(key)
        if value is not None:
            yield f"{name}{suffix}=/boot{value}"
    yield f"bootargs{suffix}={entry.options}"


def _of_tree(sysroot: Sysroot, deployment: Deployment) -> bytes:
    fd = reading.open_directory(deployment.path, sysroot.fd)
    try:
        return reading.read(OF_TREE, fd, MAX_SIZE) + b"\n"
    except FileNotFoundError:
        return b""
    finally:
        os.close(fd)
