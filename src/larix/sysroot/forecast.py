"""What an upgrade would bring and need, before it is done."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from larix.formats.checksum import Checksum
from larix.formats.names import check_ref
from larix.formats.objects import Commit, DirTree
from larix.linux import files
from larix.progress import NO_PROGRESS, Progress
from larix.remote.measure import Cost, measuring
from larix.remote.open import open_source
from larix.remote.puller import PullOptions, check_age
from larix.repo.remotes import load_remote
from larix.sysroot.deployment import Deployment
from larix.sysroot.kernel import find_kernel, free_bytes
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


@dataclass(frozen=True, slots=True)
class Contents:
    """Of a commit, here or not: its directories, and how large its files are."""

    root: Checksum
    load_dirtree: Callable[[Checksum], DirTree]
    find_size: Callable[[Checksum], int]

    def list(self, path: str) -> list[str]:
        tree = self._directory(path)
        return sorted([*tree.files, *tree.dirs]) if tree is not None else []

    def is_file(self, path: str) -> bool:
        """Or a symlink, which only the file itself would tell."""
        return self.find(path) is not None

    def is_directory(self, path: str) -> bool:
        return self._directory(path) is not None

    def find(self, path: str) -> Checksum | None:
        directory, _, name = path.rpartition("/")
        tree = self._directory(directory)
        return tree.files.get(name) if tree is not None else None

    def _directory(self, path: str) -> DirTree | None:
        tree = self.load_dirtree(self.root)
        for part in path.split("/"):
            if part not in tree.dirs:
                return None
            tree = self.load_dirtree(tree.dirs[part][0])
        return tree


def forecast_upgrade(
    sysroot: Sysroot, source: Deployment, options: UpgradeOptions, *, progress: Progress = NO_PROGRESS
) -> Forecast | None:
    """What `find_upgrade` would bring, and what deploying that needs; None where the deployment is the newest.

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
                commit = options.override or origin.find_ref(ref)
                with measuring(sysroot.repo, origin, remote, ref, commit, how, progress=progress) as measured:
                    said = measured.load_commit()
                    rebase = said.metadata.find_string(REBASE) if follows else None
                    if rebase is None:
                        contents = Contents(said.dirtree, measured.load_dirtree, measured.unpacked_size)
                        return _forecast(sysroot, source, ref, commit, said, measured.cost, contents)
                # One step, as an upgrade goes.
                ref, follows = check_ref(rebase), False


def _forecast_here(
    sysroot: Sysroot, source: Deployment, remote: str | None, ref: str, options: UpgradeOptions
) -> Forecast | None:
    """Of what was brought already."""
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
    sysroot: Sysroot, source: Deployment, ref: str, checksum: Checksum, commit: Commit, cost: Cost, contents: Contents
) -> Forecast | None:
    if checksum == source.checksum:
        return None
    with files.closing(files.open_directory("boot", sysroot.fd)) as fd:
        free, boot_free = free_bytes(sysroot.fd), free_bytes(fd)
        boot = 0
        if os.fstat(fd).st_dev != os.fstat(sysroot.fd).st_dev:
            boot = _kernel_size(sysroot, source.stateroot, checksum, contents, os.fstatvfs(fd).f_frsize)
    return Forecast(ref, checksum, commit, cost, free, boot, boot_free)


def _contents_here(sysroot: Sysroot, commit: Commit) -> Contents:
    repo = sysroot.repo
    return Contents(commit.dirtree, repo.load_dirtree, lambda file: repo.look_at_file(file)[1])


def _kernel_size(sysroot: Sysroot, stateroot: str, checksum: Checksum, contents: Contents, unit: int) -> int:
    """Bytes that the kernel takes in /boot, in whole blocks; none where a deployment of the stateroot has the same."""
    wanted = _kernel_of(sysroot, checksum, contents)
    for deployment in sysroot.deployments:
        if deployment.stateroot == stateroot:
            commit = sysroot.repo.load_commit(deployment.checksum)
            if _kernel_of(sysroot, deployment.checksum, _contents_here(sysroot, commit)) == wanted:
                return 0
    return sum(-(-contents.find_size(file) // unit) * unit for file in wanted.values())


def _kernel_of(sysroot: Sysroot, checksum: Checksum, contents: Contents) -> dict[str, Checksum]:
    """Name in /boot -> file object."""
    kernel = find_kernel(contents, str(checksum), with_dtb=sysroot.options.with_dtb)
    return {name: file for name, path in kernel.files.items() if (file := contents.find(path)) is not None}
