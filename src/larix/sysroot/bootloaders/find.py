"""Which boot loader a sysroot has."""

from glob import glob

from larix.errors import Invalid, Unsupported
from larix.sysroot.bootloaders.base import BootLoader
from larix.sysroot.bootloaders.none import NoBootLoader
from larix.sysroot.bootloaders.syslinux import Syslinux
from larix.sysroot.bootloaders.uboot import UBoot
from larix.sysroot.sysroot import Sysroot

LOADERS: dict[str, type[BootLoader]] = {"none": NoBootLoader, "syslinux": Syslinux, "uboot": UBoot}
# Name -> what shows, in /boot, that a sysroot boots with it.
MISSING = {
    "grub2": ("grub2/grub.cfg", "grub/grub.cfg", "efi/EFI/*/grub.cfg"),
    "zipl": (),
    "aboot": (),
    "systemd-boot": (),
}


def find_bootloader(sysroot: Sysroot, boot_fd: int) -> BootLoader:
    """Return what sysroot.bootloader names; where that is `auto`, what is in /boot.

    Raises Unsupported for one that larix cannot write yet: to leave its configuration as it is would boot the old tree,
    or none.
    """
    name = sysroot.repo.config.find("sysroot", "bootloader") or "auto"
    if name in LOADERS:
        return LOADERS[name]()
    if name in MISSING:
        raise Unsupported(f"sysroot.bootloader is {name}, which larix cannot write the configuration of yet")
    if name != "auto":
        raise Invalid(f"Invalid bootloader configuration: '{name}'; it must be auto, {', '.join([*LOADERS, *MISSING])}")
    for active in Syslinux(), UBoot():
        if active.is_active(boot_fd):
            return active
    for missing, paths in MISSING.items():
        for pattern in paths:
            for path in glob(pattern, root_dir=f"/proc/self/fd/{boot_fd}"):
                raise Unsupported(
                    f"{sysroot.path}/boot/{path}: larix cannot write the configuration of {missing} yet; where "
                    "it reads the entries in boot/loader/entries itself, set sysroot.bootloader to none"
                )
    return NoBootLoader()
