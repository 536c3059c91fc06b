"""Removing what no deployment needs: first a plan, then its execution.

What goes: trees that are in no list, with what lies beside them, kernels, the boot configuration that is not in use,
and the objects that no ref and no deployment leads to. What stays though it is in no list, held.py says.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from larix.errors import Error, Moved
from larix.formats.checksum import Checksum
from larix.formats.names import Stateroot
from larix.linux import reading, trees, writing
from larix.linux.failures import doing
from larix.ops.prune import PruneOptions, PrunePlan, execute_prune, plan_prune
from larix.repo.exclusive import Exclusive
from larix.repo.locking import lock_changes, lock_repo
from larix.repo.ref_changes import remove_empty
from larix.repo.transaction import Transaction
from larix.sysroot.deployment import NAME, Deployment, deploy_path, stateroot_path
from larix.sysroot.held import Claim, Held, begin_list, check_list, directories_in, find_held, forget_list
from larix.sysroot.kernel import OVERLAYS, kernel_directory
from larix.sysroot.sysroot import Sysroot

KERNEL = re.compile(r".+-[0-9a-f]{64}")
CONFIGURATION = re.compile(r"boot\.[01](\.[01])?")
# Refs that keep the commits of deployments from being pruned: ostree/BOOTVERSION/SUBBOOTVERSION/INDEX.
REF = re.compile(r"ostree/[01]/[01]/\d+")


class RemovalKind(StrEnum):
    """Of what is removed."""

    CONFIGURATION = "boot configuration"
    TREE = "deployment"
    ORIGIN = "origin"
    # What is written to a transient root.
    BACKING = "backing"
    KERNEL = "kernel"
    OVERLAY = "initramfs overlay"


class Removal(NamedTuple):
    """`path` is relative to the sysroot."""

    kind: RemovalKind
    path: str


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What a cleanup does. `removals` are in order. `held` are trees that stay though they are in no list.

    `refs`: what becomes of the refs that keep deployed commits, None where one goes. `prune` is what is deleted from
    the repo, None where nothing shall be.
    """

    removals: Sequence[Removal] = ()
    held: Sequence[Held] = ()
    refs: dict[str, Checksum | None] = field(default_factory=dict)
    prune: PrunePlan | None = None
    # `Sysroot.locked_since`, in which alone it is true.
    made_within: object = field(default=None, repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        return not (self.removals or self.refs or (self.prune is not None and self.prune.unneeded))

    @property
    def size(self) -> int:
        """Bytes of the objects that are deleted."""
        return self.prune.size if self.prune is not None else 0


def plan_cleanup(sysroot: Sysroot, *, prune: bool = True) -> CleanupPlan:
    """Nothing is changed. Raises NotFound where the list of deployments is missing, Corrupt where it cannot be told
    which are in use."""
    with doing(f"Planning the cleanup of {sysroot.path}"):
        check_list(sysroot)
        held = find_held(sysroot)
        refs = _plan_refs(sysroot, held)
        plan = CleanupPlan(tuple(_plan_removals(sysroot, held)), tuple(held), refs, None, sysroot.locked_since)
        return replace(plan, prune=_plan_prune(sysroot, refs)) if prune else plan


def execute_cleanup(sysroot: Sysroot, plan: CleanupPlan) -> CleanupPlan:
    """Carry out a plan; return it as it was carried out. The sysroot must have been locked since before it was made.

    Called with a new plan, it goes on where it was cut.
    """
    sysroot.check_locked()
    if plan.made_within is not sysroot.locked_since:
        raise Moved("The plan of a cleanup is older than the lock of the sysroot; make a new one within it")
    _remove(sysroot, plan.removals)
    _set_refs(sysroot, plan.refs)
    if plan.prune is None or not plan.prune.unneeded:
        return plan
    with Exclusive(sysroot.repo) as exclusive:
        return replace(plan, prune=execute_prune(exclusive, plan.prune))


def cleanup(sysroot: Sysroot, *, prune: bool = True) -> CleanupPlan:
    """Plan it and do it; with `prune` also in the repo. What was done. Raises what `plan_cleanup` raises."""
    sysroot.check_locked()
    return execute_cleanup(sysroot, plan_cleanup(sysroot, prune=prune))


@contextmanager
def undone_on_failure(sysroot: Sysroot) -> Iterator[None]:
    """Remove what was made for a deployment that comes to nothing: on a full disk its space is wanted at once.

    Raises what `plan_cleanup` raises before anything is made, since what cannot be cleaned up shall not grow.
    """
    plan_cleanup(sysroot, prune=False)
    is_first = begin_list(sysroot)
    try:
        yield
    except BaseException as error:
        try:
            # What boots is what is on the disk, whatever was meant to be.
            sysroot.load()
            _remove(sysroot, plan_cleanup(sysroot, prune=False).removals)
            if is_first and not sysroot.deployments:
                # /boot may be a file system of its own: no list without its trees is to outlive a power cut.
                sysroot.sync()
                forget_list(sysroot)
        except (Error, OSError) as second:
            # That which was first is to be told; a cleanup, later, does the rest.
            error.add_note(f"Then: {second}")
        raise


def _plan_removals(sysroot: Sysroot, held: Sequence[Held]) -> Iterator[Removal]:
    yield from _plan_configuration(sysroot)
    kept = {deployment.path for deployment in sysroot.deployments} | {one.path for one in held}
    # By another way to it, a tree is still the same.
    inodes = {sysroot.inode(path) for path in kept} - {None}
    for stateroot in sysroot.stateroots():
        for removal, tree in _plan_trees(sysroot, stateroot):
            if tree not in kept and sysroot.inode(tree) not in inodes:
                yield removal
    yield from _plan_kernels(sysroot, held)


def _plan_configuration(sysroot: Sysroot) -> Iterator[Removal]:
    if not sysroot.has_list:
        return
    used = sysroot.bootversion
    other = f"boot/loader.{1 - used}"
    if sysroot.inode(other) is not None:
        yield Removal(RemovalKind.CONFIGURATION, other)
    for name in reading.names("ostree", sysroot.fd):
        if CONFIGURATION.fullmatch(name) and name not in (f"boot.{used}", f"boot.{used}.{sysroot.subbootversion}"):
            yield Removal(RemovalKind.CONFIGURATION, f"ostree/{name}")


def _plan_trees(sysroot: Sysroot, stateroot: Stateroot) -> Iterator[tuple[Removal, str]]:
    """Trees, and what lies beside them, each with the path of its tree."""
    directory = deploy_path(stateroot)
    trees = directories_in(sysroot, directory)
    for name in reading.names(directory, sysroot.fd):
        tree = name.removesuffix(".origin")
        # What else has such a name is nobody's tree.
        if NAME.fullmatch(tree) and (name != tree or tree in trees):
            yield (
                Removal(RemovalKind.TREE if name == tree else RemovalKind.ORIGIN, f"{directory}/{name}"),
                f"{directory}/{tree}",
            )
    backing = f"{stateroot_path(stateroot)}/backing"
    for name in reading.names(backing, sysroot.fd):
        if NAME.fullmatch(name):
            yield Removal(RemovalKind.BACKING, f"{backing}/{name}"), f"{directory}/{name}"


def _plan_kernels(sysroot: Sysroot, held: Sequence[Held]) -> Iterator[Removal]:
    kept: list[Deployment | Held] = [*sysroot.deployments, *held]
    used = {kernel_directory(one.stateroot, one.bootcsum) for one in kept}
    for name in reading.names("boot/ostree", sysroot.fd):
        if KERNEL.fullmatch(name) and f"ostree/{name}" not in used:
            yield Removal(RemovalKind.KERNEL, f"boot/ostree/{name}")
    booted = {value for deployment in sysroot.deployments for key, value in deployment.entry.pairs if key == "initrd"}
    for name in reading.names(f"boot/{OVERLAYS}", sysroot.fd):
        if f"/{OVERLAYS}/{name}" not in booted:
            yield Removal(RemovalKind.OVERLAY, f"boot/{OVERLAYS}/{name}")


def _plan_refs(sysroot: Sysroot, held: Sequence[Held]) -> dict[str, Checksum | None]:
    prefix = f"ostree/{sysroot.bootversion}/{sysroot.subbootversion}"
    # In the C tool's list what is staged comes first.
    staged = [one for one in held if one.claim is Claim.STAGED]
    kept: list[Deployment | Held] = [*staged, *sysroot.deployments, *(one for one in held if one not in staged)]
    wanted = {f"{prefix}/{i}": one.checksum for i, one in enumerate(kept)}
    found = {
        ref: checksum
        for (remote, ref), checksum in sysroot.repo.refs.all().items()
        if remote is None and REF.fullmatch(ref)
    }
    if wanted == found:
        return {}
    return {**dict.fromkeys(found.keys() - wanted.keys()), **wanted}


def _plan_prune(sysroot: Sysroot, refs: dict[str, Checksum | None]) -> PrunePlan:
    """Plan the prune, with the refs as they will be."""
    gone = frozenset(ref for ref in refs if refs[ref] is None)
    kept = frozenset(checksum for checksum in refs.values() if checksum is not None)
    with lock_repo(sysroot.repo, exclusive=False):
        return plan_prune(sysroot.repo, PruneOptions(refs_only=True, depth=0, without=gone, also=kept))


def _remove(sysroot: Sysroot, removals: Sequence[Removal]) -> None:
    with doing(f"Cleaning up {sysroot.path}"):
        if removals:
            # The list that says what boots may be so in memory alone: someone was killed, or the disk failed.
            sysroot.sync()
    for kind, path in removals:
        # The new list is in place by now; what is left here, the next cleanup removes.
        with doing(f"Removing {path}, which nothing needs any more, from {sysroot.path}"):
            if kind is RemovalKind.TREE:
                with reading.closing(reading.open_directory(path, sysroot.fd, follow=False)) as fd:
                    writing.set_immutable(fd, False)
            trees.remove_tree(path, sysroot.fd)


def _set_refs(sysroot: Sysroot, refs: dict[str, Checksum | None]) -> None:
    if refs:
        with Transaction(sysroot.repo) as transaction:
            # Somebody may have given one of them another name.
            for alias, target in sysroot.repo.refs.aliases().items():
                if target in refs and refs[target] is None:
                    transaction.set_ref(None, alias, None)
            for ref, checksum in refs.items():
                transaction.set_ref(None, ref, checksum)
            transaction.commit()
    # What a cleanup left that was killed.
    # Others make these directories for refs of their own.
    with doing(f"Cleaning up {sysroot.path}"), lock_changes(sysroot.repo):
        for bootversion, subbootversion in product("01", "01"):
            remove_empty(sysroot.repo.fd, f"refs/heads/ostree/{bootversion}/{subbootversion}")
