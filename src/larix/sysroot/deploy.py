"""Making a deployment of a commit, and the list it stands in."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larix.errors import Invalid, NotFound
from larix.formats.bootentry import BootEntry
from larix.formats.checksum import Checksum
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.linux import files
from larix.ops.checkout import checkout
from larix.ops.placing import CheckoutOptions
from larix.sysroot.deployment import Deployment, deploy_path, stateroot_path
from larix.sysroot.etcmerge import EtcChanges, copy_defaults, merge, plan_merge
from larix.sysroot.kernel import kernel_directory, load_kernel
from larix.sysroot.sysroot import NAME, Sysroot


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """`source` is the deployment whose /etc is carried over. `mutable` leaves out the immutable bit."""

    source: Deployment | None = None
    mutable: bool = False


def find_source(sysroot: Sysroot, stateroot: str) -> Deployment | None:
    """The deployment whose /etc and kernel arguments a new one of the stateroot takes over: booted, else the first."""
    booted = sysroot.booted
    if booted is not None and booted.stateroot == stateroot:
        return booted
    return next((one for one in sysroot.deployments if one.stateroot == stateroot), None)


def origin_of(refspec: str) -> KeyFile:
    origin = KeyFile()
    origin.set("origin", "refspec", refspec)
    return origin


def deploy(
    sysroot: Sysroot,
    stateroot: str,
    commit: Checksum,
    origin: KeyFile,
    options: KernelArgs,
    how: DeployOptions | None = None,
) -> tuple[Deployment, EtcChanges]:
    """Make the tree of a new deployment, which is not listed yet; and what was carried over of /etc.

    Raises NotFound for a stateroot that is not there, Invalid for a tree that cannot boot; what was made then is left
    for the next cleanup.
    """
    how = how or DeployOptions()
    if not os.access(f"{stateroot_path(stateroot)}/var", os.F_OK, dir_fd=sysroot.fd):
        raise NotFound(f"No stateroot {stateroot} in {sysroot.path}; `larix admin os-init {stateroot}` makes one")
    directory = deploy_path(stateroot)
    with files.doing(f"Deploying {commit}"):
        files.make_directory(directory, sysroot.fd, 0o755)
        serial = _next_serial(sysroot, directory, commit)
        path = f"{directory}/{commit}.{serial}"
        in_user_mode = os.geteuid() != 0
        checkout(sysroot.repo, commit, Path(sysroot.path, path), CheckoutOptions(user_mode=in_user_mode))
        root_fd = files.open_directory(path, sysroot.fd, follow=False)
        try:
            kernel = load_kernel(root_fd, str(commit))
            changes = _make_etc(sysroot, root_fd, str(commit), how.source)
            files.replace(f"{path}.origin", str(origin).encode(), sysroot.fd)
            if not how.mutable:
                files.set_immutable(root_fd, True)
        finally:
            os.close(root_fd)
    entry = BootEntry().set("options", str(options))
    for key, (_, name) in kernel.parts.items():
        entry = entry.set(key, f"/{kernel_directory(stateroot, kernel.bootcsum)}/{name}")
    return Deployment(stateroot, commit, serial, kernel.bootcsum, 0, entry, origin), changes


def _next_serial(sysroot: Sysroot, directory: str, commit: Checksum) -> int:
    fd = files.open_directory(directory, sysroot.fd)
    try:
        found = [NAME.fullmatch(name) for name in os.listdir(fd)]
    finally:
        os.close(fd)
    return max((int(one[2]) + 1 for one in found if one and one[1] == commit), default=0)


def _make_etc(sysroot: Sysroot, root_fd: int, tree: str, source: Deployment | None) -> EtcChanges:
    has_etc, has_defaults = (os.access(name, os.F_OK, dir_fd=root_fd) for name in ("etc", "usr/etc"))
    if has_etc and has_defaults:
        raise Invalid(f"{tree} has both /etc and /usr/etc; a tree must have one, with the defaults")
    if has_etc:
        files.rename("etc", root_fd, "usr/etc", root_fd)
    elif not has_defaults:
        raise Invalid(f"{tree} has no /usr/etc, which holds the defaults of /etc")
    files.make_directory("etc", root_fd, 0o700)
    fds = [files.open_directory(name, root_fd, follow=False) for name in ("usr/etc", "etc")]
    if source is not None:
        fds += [files.open_directory(f"{source.path}/{name}", sysroot.fd) for name in ("usr/etc", "etc")]
    try:
        copy_defaults(fds[0], fds[1])
        if source is None:
            return EtcChanges()
        changes = plan_merge(fds[2], fds[3])
        merge(changes, fds[3], fds[1])
        return changes
    finally:
        for fd in fds:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """Which older deployments of the stateroot stay beside the booted one, the source of /etc and pinned ones."""

    retain: bool = False
    not_as_default: bool = False


def plan_order(
    old: Sequence[Deployment], new: Deployment, booted: Deployment | None, source: Deployment | None, keep: KeepOptions
) -> list[Deployment]:
    """The list with the new deployment: first, or after the booted one (else after the first) where not the default."""
    kept = [
        one
        for one in old
        if keep.retain or one is booted or one is source or one.is_pinned or one.stateroot != new.stateroot
    ]
    if not keep.not_as_default:
        return [new, *kept]
    at = kept.index(booted) + 1 if booted in kept and booted is not None else min(1, len(kept))
    return [*kept[:at], new, *kept[at:]]
