"""Making the tree of a deployment: a checkout of its commit, with an /etc of its own."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from larix.errors import Invalid, NotFound
from larix.formats.bootentry import BootEntry, check_word
from larix.formats.checksum import Checksum
from larix.formats.kargs import KernelArgs
from larix.formats.names import Stateroot
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.ops.checkout.placing import CheckoutOptions
from larix.ops.checkout.verb import checkout
from larix.ops.tree.directory import tree_of
from larix.ops.tree.kernel import Kernel, load_kernel
from larix.ops.tree.tree import ObjectTree
from larix.progress import Progress
from larix.sysroot.copying import copy_tree
from larix.sysroot.deployment import NAME, Deployment, Target, deploy_path, stateroot_path
from larix.sysroot.etcmerge import merge, read_tree
from larix.sysroot.etcplan import EtcPlan, plan_merge
from larix.sysroot.kernel import check_space, install_overlay, kernel_directory
from larix.sysroot.plan import KeepOptions
from larix.sysroot.stateroot import fill_var
from larix.sysroot.sysroot import Sysroot


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """`source` is the deployment whose /etc is carried over. `overlays` are paths of archives that are unpacked over
    the initramfs. `keep` says which older deployments stay."""

    source: Deployment | None = None
    overlays: Sequence[str] = ()
    keep: KeepOptions = field(default_factory=KeepOptions)


def make_deployment(
    sysroot: Sysroot, stateroot: Stateroot, target: Target, kargs: KernelArgs, how: DeployOptions, progress: Progress
) -> tuple[Deployment, EtcPlan]:
    """Make a deployment, which is not listed yet; return it, and the plan by which its /etc was made of that of its
    source.

    Raises NotFound for a stateroot that is not there, Invalid for a tree that cannot boot; what was made then is left
    for the next cleanup.
    """
    commit = target.commit
    if not os.access(f"{stateroot_path(stateroot)}/var", os.F_OK, dir_fd=sysroot.fd):
        raise NotFound(f"No such stateroot: {stateroot} (in {sysroot.path}); `larix admin os-init` makes one")
    check_word(stateroot, "Stateroot")
    directory = deploy_path(stateroot)
    is_root = os.geteuid() == 0
    with doing(f"Deploying {commit} in {sysroot.path}"):
        writing.make_directory(directory, sysroot.fd, 0o755)
        serial = _next_serial(sysroot, directory, commit)
        path = f"{directory}/{commit}.{serial}"
        options = CheckoutOptions(user_mode=not is_root, passed_whiteouts=is_root)
        kernel = _find_kernel(sysroot, stateroot, commit, how.overlays)
        checkout(sysroot.repo, commit, Path(sysroot.path, path), options, progress=progress)
        with reading.closing(reading.open_directory(path, sysroot.fd, follow=False)) as root_fd:
            plan = _make_etc(sysroot, root_fd, str(commit), how.source)
            _make_backing(sysroot, root_fd, f"{stateroot_path(stateroot)}/backing/{commit}.{serial}")
            writing.replace(f"{path}.origin", str(target.origin).encode(), sysroot.fd)
            # Last: where any of this fails, the next deployment is still the first.
            fill_var(sysroot, root_fd, stateroot)
    entry = BootEntry().set("options", str(kargs))
    for key, name in kernel.entry.items():
        entry = entry.set(key, f"/{kernel_directory(stateroot, kernel.bootcsum)}/{name}")
    for name in _install_overlays(sysroot, how.overlays):
        entry = entry.add("initrd", f"/{name}")
    made = Deployment(stateroot, commit, serial, kernel.bootcsum, 0, entry, target.origin)
    guard(sysroot, made)
    return made, plan


def _find_kernel(sysroot: Sysroot, stateroot: Stateroot, commit: Checksum, overlays: Sequence[str]) -> Kernel:
    """Find the kernel of the commit, for which there must be room in /boot."""
    tree = ObjectTree(sysroot.repo, tree_of(sysroot.repo, commit))
    kernel = load_kernel(tree, str(commit), with_dtb=sysroot.options.with_dtb)
    with reading.closing(reading.open_directory("boot", sysroot.fd)) as fd:
        check_space(kernel, tree, kernel_directory(stateroot, kernel.bootcsum), overlays, fd, sysroot.fd)
    return kernel


def guard(sysroot: Sysroot, deployment: Deployment) -> None:
    """Set the immutable bit on the root of its tree, so that nothing is made beside usr, etc and the others."""
    if sysroot.options.mutable:
        return
    with (
        doing(f"Guarding {sysroot.path}/{deployment.path}"),
        reading.closing(reading.open_directory(deployment.path, sysroot.fd, follow=False)) as fd,
    ):
        writing.set_immutable(fd, True)


def _install_overlays(sysroot: Sysroot, paths: Sequence[str]) -> list[str]:
    with reading.closing(reading.open_directory("boot", sysroot.fd)) as fd:
        return [install_overlay(path, fd) for path in paths]


def _next_serial(sysroot: Sysroot, directory: str, commit: Checksum) -> int:
    found = [NAME.fullmatch(name) for name in reading.names(directory, sysroot.fd)]
    return max((int(one[2]) + 1 for one in found if one and one[1] == commit), default=0)


def _make_etc(sysroot: Sysroot, root_fd: int, tree: str, source: Deployment | None) -> EtcPlan:
    # A symlink would lead what follows out of the deployment.
    if "usr" not in reading.directories(root_fd):
        raise Invalid(f"{tree} has no directory /usr; it cannot be deployed")
    has_etc, has_defaults = (os.access(name, os.F_OK, dir_fd=root_fd) for name in ("etc", "usr/etc"))
    if has_etc and has_defaults:
        # An empty one is where the other is to be mounted or copied, in a tree that a container may run, too.
        if "etc" not in reading.directories(root_fd) or not writing.remove_if_empty("etc", root_fd):
            raise Invalid(f"{tree} has both /etc and /usr/etc; a tree must have one, with the defaults")
    elif has_etc:
        writing.rename("etc", root_fd, "usr/etc", root_fd)
    elif not has_defaults:
        raise Invalid(f"{tree} has no /usr/etc, which holds the defaults of /etc")
    writing.make_directory("etc", root_fd, 0o700)
    with (
        reading.closing(reading.open_directory("usr/etc", root_fd, follow=False)) as defaults_fd,
        reading.closing(reading.open_directory("etc", root_fd, follow=False)) as etc_fd,
    ):
        if source is None:
            copy_tree(defaults_fd, etc_fd)
            return EtcPlan()
        with (
            reading.closing(
                reading.open_directory(f"{source.path}/usr/etc", sysroot.fd, follow=False)
            ) as old_defaults_fd,
            reading.closing(reading.open_directory(f"{source.path}/etc", sysroot.fd, follow=False)) as old_fd,
        ):
            plan = plan_merge(read_tree(old_defaults_fd), read_tree(old_fd), read_tree(defaults_fd))
            copy_tree(defaults_fd, etc_fd)
            merge(plan, old_fd, etc_fd)
        _forget_update(sysroot, etc_fd, source.stateroot)
        return plan


def _make_backing(sysroot: Sysroot, root_fd: int, path: str) -> None:
    """Make the place where early boot keeps what is written to a root that is to forget it: the layers of an
    overlay."""
    place = f"{path}/root-transient"
    for each in os.path.dirname(path), path, place, f"{place}/upper", f"{place}/work":
        writing.make_directory(each, sysroot.fd, 0o700)
    with reading.closing(reading.open_directory(f"{place}/upper", sysroot.fd, follow=False)) as fd:
        writing.copy_metadata(root_fd, fd)


def _forget_update(sysroot: Sysroot, etc_fd: int, stateroot: Stateroot) -> None:
    """systemd runs units that want an update when these files are older than /usr, whose times never change here."""
    with suppress(FileNotFoundError):
        writing.remove(".updated", etc_fd)
    with suppress(FileNotFoundError):
        writing.remove(f"{stateroot_path(stateroot)}/var/.updated", sysroot.fd)
