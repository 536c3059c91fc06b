"""What the list of deployments becomes, and the boot entries that go with it. Nothing here is written."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from larix.errors import Error
from larix.formats.bootentry import BootEntry, BootTarget
from larix.formats.kargs import KernelArgs
from larix.linux import reading
from larix.ops.tree.osrelease import find_os_name
from larix.ops.tree.tree import DiskTree
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot

# What starts a tree that has no initramfs to do it.
PREPARE_ROOT = "/usr/lib/ostree/ostree-prepare-root"


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """Which older deployments of the stateroot stay beside the booted one, the source of /etc and pinned ones.

    Pending are those before the booted one in the list, rollbacks those after it, and all where none is booted.
    `not_as_default` puts the new one after what boots.
    """

    retain: bool = False
    retain_pending: bool = False
    retain_rollback: bool = False
    not_as_default: bool = False


def plan_order(
    old: Sequence[Deployment], new: Deployment, booted: Deployment | None, source: Deployment | None, keep: KeepOptions
) -> list[Deployment]:
    """Return the list with the new deployment: first, or after the booted one (else after the first) where not the
    default."""
    kept = []
    for i, one in enumerate(old):
        is_pending = booted is not None and i < old.index(booted)
        wanted = keep.retain or (keep.retain_pending if is_pending else keep.retain_rollback)
        if wanted or one in (booted, source) or one.is_pinned or one.stateroot != new.stateroot:
            kept.append(one)
    if not keep.not_as_default:
        return [new, *kept]
    at = kept.index(booted) + 1 if booted is not None and booted in kept else min(1, len(kept))
    return [*kept[:at], new, *kept[at:]]


def plan_entries(sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int) -> list[Deployment]:
    """Return the deployments with the entries and serials that they have as this list, under a bootversion."""
    several = len({deployment.stateroot for deployment in deployments}) > 1
    count: Counter[str] = Counter()
    planned = []
    for i, deployment in enumerate(deployments):
        serial = count[deployment.bootcsum]
        count[deployment.bootcsum] += 1
        target = BootTarget(bootversion, deployment.stateroot, deployment.bootcsum, serial)
        options = _plan_options(deployment.entry, target)
        place = f"{deployment.stateroot}:{i}" if several else str(i)
        entry = BootEntry(
            (("title", f"{_title(sysroot, deployment)} (ostree:{place})"), ("version", str(len(deployments) - i)))
        )
        entry = entry.set("options", str(options))
        for key, value in deployment.entry.pairs:
            if key not in ("title", "version", "options"):
                entry = entry.add(key, value)
        planned.append(replace(deployment, bootserial=serial, entry=entry))
    return planned


def _plan_options(entry: BootEntry, target: BootTarget) -> KernelArgs:
    options = entry.options
    if entry.find("initrd") is None:
        options = options.replace(f"init={target}{PREPARE_ROOT}")
    elif (options.find("init") or "").endswith(PREPARE_ROOT):
        # From a time when this stateroot had no initramfs.
        options = options.without("init")
    return options.replace(f"ostree={target}")


def _title(sysroot: Sysroot, deployment: Deployment) -> str:
    version = ""
    # The tree is here, and boots, also where its commit is not.
    with suppress(Error):
        version = sysroot.repo.load_commit(deployment.checksum).metadata.find_string("version") or ""
    name: str = deployment.stateroot
    with suppress(OSError), reading.closing(reading.open_directory(deployment.path, sysroot.fd)) as fd:
        name = find_os_name(DiskTree(fd)) or name
    if version and version not in name:
        name += f" {version}"
    return name
