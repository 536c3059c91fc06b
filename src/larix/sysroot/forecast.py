"""What an upgrade would bring and need, before it is done."""

import os
from contextlib import closing
from dataclasses import dataclass

from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import Ref, RemoteName, Stateroot, check_ref
from larix.formats.objects import Commit
from larix.linux import reading
from larix.ops.tree.directory import Stored
from larix.ops.tree.kernel import Kernel, find_kernel
from larix.ops.tree.tree import ObjectTree
from larix.progress import NO_PROGRESS, Progress
from larix.remote.measure import Cost, measuring
from larix.remote.open import open_source
from larix.remote.puller import PullOptions, check_age
from larix.repo.remotes import load_remote
from larix.sysroot.deployment import Deployment
from larix.sysroot.kernel import free_bytes
from larix.sysroot.origin import check_configured, load_refspec
from larix.sysroot.sysroot import Sysroot
from larix.sysroot.upgrade import REBASE, UpgradeOptions, guarding_age, resolve_ref


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of an upgrade to the newest commit of `ref`: the cost of its pull, how many bytes its kernel needs in /boot, none
    where it is there or linked to, and how many are free in the sysroot and in /boot."""

    ref: str
    checksum: Checksum
    commit: Commit
    cost: Cost
    free: int
    boot: int
    boot_free: int


def forecast_upgrade(
    sysroot: Sysroot, source: Deployment, options: UpgradeOptions, *, progress: Progress = NO_PROGRESS
) -> Forecast | None:
    """Return what `find_upgrade` would bring, and what deploying that needs; None where the deployment is the newest.

    Nothing is changed. Raises what `find_upgrade` raises.
    """
    check_configured(source)
    remote, ref = load_refspec(source)
    with guarding_age():
        if remote is None or not options.fetching:
            return _forecast_here(sysroot, source, remote, ref, options)
        settings = load_remote(sysroot.repo, remote)
        with closing(open_source(sysroot.repo, settings)) as origin:
            oldest = None if options.allow_downgrade else source.checksum
            how = PullOptions(newer_than=oldest, collection=settings.collection)
            follows = options.override is None
            while True:
                commit = options.override or (Checksum(ref) if is_checksum(ref) else origin.find_ref(ref))
                with measuring(sysroot.repo, origin, remote, ref, commit, how, progress=progress) as measured:
                    said = measured.load_commit()
                    rebase = said.metadata.find_string(REBASE) if follows else None
                    if rebase is None:
                        contents = ObjectTree(measured, Stored(said.dirtree, said.dirmeta))
                        return _forecast(sysroot, source, ref, commit, said, measured.cost, contents)
                # One step, as an upgrade goes.
                ref, follows = check_ref(rebase), False


def _forecast_here(
    sysroot: Sysroot, source: Deployment, remote: RemoteName | None, ref: Ref, options: UpgradeOptions
) -> Forecast | None:
    """Forecast of what was brought already."""
    repo = sysroot.repo
    commit = options.override or resolve_ref(repo, remote, ref)
    said = repo.load_commit(commit)
    if options.override is None and (rebase := said.metadata.find_string(REBASE)) is not None:
        ref = check_ref(rebase)
        commit = resolve_ref(repo, remote, ref)
        said = repo.load_commit(commit)
    if not options.allow_downgrade:
        check_age(repo, commit, source.checksum)
    return _forecast(sysroot, source, ref, commit, said, Cost(), _contents_here(sysroot, said))


def _forecast(
    sysroot: Sysroot, source: Deployment, ref: str, checksum: Checksum, commit: Commit, cost: Cost, contents: ObjectTree
) -> Forecast | None:
    if checksum == source.checksum:
        return None
    with reading.closing(reading.open_directory("boot", sysroot.fd)) as fd:
        free, boot_free = free_bytes(sysroot.fd), free_bytes(fd)
        boot = 0
        if os.fstat(fd).st_dev != os.fstat(sysroot.fd).st_dev:
            boot = _kernel_size(sysroot, source.stateroot, checksum, contents, os.fstatvfs(fd).f_frsize)
    return Forecast(ref, checksum, commit, cost, free, boot, boot_free)


def _contents_here(sysroot: Sysroot, commit: Commit) -> ObjectTree:
    repo = sysroot.repo
    return ObjectTree(repo, Stored(commit.dirtree, commit.dirmeta))


def _kernel_size(sysroot: Sysroot, stateroot: Stateroot, checksum: Checksum, contents: ObjectTree, unit: int) -> int:
    """Return how many bytes the kernel takes in /boot, in whole blocks; none where a deployment of the stateroot has
    the same."""
    kernel, wanted = _kernel_of(sysroot, checksum, contents)
    for deployment in sysroot.deployments:
        if deployment.stateroot == stateroot:
            commit = sysroot.repo.load_commit(deployment.checksum)
            if _kernel_of(sysroot, deployment.checksum, _contents_here(sysroot, commit))[1] == wanted:
                return 0
    return sum(-(-contents.size(path) // unit) * unit for path in kernel.files.values())


def _kernel_of(sysroot: Sysroot, checksum: Checksum, contents: ObjectTree) -> tuple[Kernel, dict[str, Checksum]]:
    """Return the kernel, and name in /boot -> file object."""
    kernel = find_kernel(contents, str(checksum), with_dtb=sysroot.options.with_dtb)
    return kernel, {name: file for name, path in kernel.files.items() if (file := contents.find_file(path)) is not None}
