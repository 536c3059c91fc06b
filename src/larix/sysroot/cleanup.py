"""Removing what no deployment needs: unlisted trees, kernels, and the boot configuration that is not in use."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from larix.linux import files
from larix.ops.prune import PruneOptions
from larix.ops.prune import prune as prune_repo
from larix.repo.refs import remove_empty
from larix.repo.transaction import Transaction
from larix.sysroot.deployment import deploy_path, stateroot_path
from larix.sysroot.kernel import OVERLAYS, kernel_directory
from larix.sysroot.sysroot import NAME, Sysroot

KERNEL = re.compile(r".+-[0-9a-f]{64}")
# Refs that keep the commits of deployments from being pruned: ostree/BOOTVERSION/SUBBOOTVERSION/INDEX.
REF = re.compile(r"ostree/[01]/[01]/\d+")


def cleanup(sysroot: Sysroot, *, prune: bool = True) -> int:
    """With `prune` also of the repo: what no ref and no deployment leads to. Called again, it goes on where it was cut.

    Returns the size of the objects that were deleted, in bytes.
    """
    _remove_unused(sysroot)
    _set_refs(sysroot)
    if not prune:
        return 0
    return prune_repo(sysroot.repo, PruneOptions(refs_only=True, depth=0)).size


@contextmanager
def undone_on_failure(sysroot: Sysroot) -> Iterator[None]:
    """Remove what was made for a deployment that comes to nothing: on a full disk its space is wanted at once."""
    try:
        yield
    except BaseException:
        # What boots is what is on the disk, whatever was meant to be.
        sysroot.load()
        _remove_unused(sysroot)
        raise


def _remove_unused(sysroot: Sysroot) -> None:
    with files.doing(f"Cleaning up {sysroot.path}"):
        _remove_unused_configuration(sysroot)
        _remove_unlisted(sysroot)
        _remove_unused_kernels(sysroot)


def _remove_unused_configuration(sysroot: Sysroot) -> None:
    if not sysroot.has_loader:
        return
    used = sysroot.bootversion
    current = f"boot.{used}.{sysroot.subbootversion}"
    files.remove_tree(f"boot/loader.{1 - used}", sysroot.fd)
    for name in files.names("ostree", sysroot.fd):
        if re.fullmatch(r"boot\.[01](\.[01])?", name) and name not in (f"boot.{used}", current):
            files.remove_tree(f"ostree/{name}", sysroot.fd)


def _remove_unlisted(sysroot: Sysroot) -> None:
    listed = {deployment.path for deployment in sysroot.deployments}
    for stateroot in files.names("ostree/deploy", sysroot.fd):
        directory = deploy_path(stateroot)
        for name in files.names(directory, sysroot.fd):
            path = f"{directory}/{name}"
            if NAME.fullmatch(name.removesuffix(".origin")) and path.removesuffix(".origin") not in listed:
                if not name.endswith(".origin"):
                    _remove_tree(path, sysroot.fd)
                else:
                    files.remove(path, sysroot.fd)

        # Where a newer C tool keeps what is written to a transient root.
        backing = f"{stateroot_path(stateroot)}/backing"
        for name in files.names(backing, sysroot.fd):
            if NAME.fullmatch(name) and f"{directory}/{name}" not in listed:
                files.remove_tree(f"{backing}/{name}", sysroot.fd)


def _remove_tree(path: str, dir_fd: int) -> None:
    with files.closing(files.open_directory(path, dir_fd, follow=False)) as fd:
        files.set_immutable(fd, False)
    files.remove_tree(path, dir_fd)


def _remove_unused_kernels(sysroot: Sysroot) -> None:
    used = {kernel_directory(deployment.stateroot, deployment.bootcsum) for deployment in sysroot.deployments}
    for name in files.names("boot/ostree", sysroot.fd):
        if KERNEL.fullmatch(name) and f"ostree/{name}" not in used:
            files.remove_tree(f"boot/ostree/{name}", sysroot.fd)
    booted = {value for deployment in sysroot.deployments for key, value in deployment.entry.pairs if key == "initrd"}
    for name in files.names(f"boot/{OVERLAYS}", sysroot.fd):
        if f"/{OVERLAYS}/{name}" not in booted:
            files.remove(f"boot/{OVERLAYS}/{name}", sysroot.fd)


def _set_refs(sysroot: Sysroot) -> None:
    wanted = {
        f"ostree/{sysroot.bootversion}/{sysroot.subbootversion}/{i}": deployment.checksum
        for i, deployment in enumerate(sysroot.deployments)
    }
    found = {
        ref: checksum
        for (remote, ref), checksum in sysroot.repo.refs().items()
        if remote is None and REF.fullmatch(ref)
    }
    if wanted != found:
        with Transaction(sysroot.repo) as transaction:
            for ref in found.keys() - wanted.keys():
                transaction.set_ref(None, ref, None)
            for ref, checksum in wanted.items():
                transaction.set_ref(None, ref, checksum)
            transaction.commit()
    # What a cleanup left that was killed.
    with files.doing(f"Cleaning up {sysroot.path}"):
        for bootversion, subbootversion in product("01", "01"):
            remove_empty(sysroot.repo.fd, f"refs/heads/ostree/{bootversion}/{subbootversion}")
