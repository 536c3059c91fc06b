"""Removing what nothing needs: first a plan, then its execution.

What is kept is what the kept commits reach. Without limits every commit that is there is kept, and only what an aborted
write or a deleted commit left behind goes; otherwise refs decide, and how far back from each the history shall go.

The plan takes long, for every tree is read, and meanwhile others may add to the repo. Only for the execution, where
there is something to delete, they must wait: it looks at what has come since, and deletes what nobody needs even so.
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace

from larix.errors import Error, Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.tree.reach import history, reach
from larix.repo.config import set_option
from larix.repo.exclusive import Exclusive
from larix.repo.locking import lock_repo
from larix.repo.partial import is_partial
from larix.repo.refs import unknown
from larix.repo.repo import Repo

# What `prune` deals with; detached metadata goes with its commit, and tombstones stay.
PRUNED = (ObjectType.FILE, ObjectType.DIR_TREE, ObjectType.DIR_META, ObjectType.COMMIT)


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """`depth`: how many commits before that of a ref are kept, all where it is negative.

    `refs_only`: keep no commit that no ref leads to. `keep_younger_than`, in seconds since 1970: takes the place of
    `depth`, and keeps what is not older, and the commit of each ref. `only_branches`: all others keep their history.
    `retain_branch_depth`: branch -> depth that is kept in any case. Each of the last three implies `refs_only`.
    `commit_only`: look at commits alone; what they reached is left for another time. `without`: refs that are passed
    over, as if they were gone already; `also`: commits that are kept as those of refs are.
    """

    refs_only: bool = False
    depth: int = -1
    keep_younger_than: int | None = None
    only_branches: tuple[str, ...] = ()
    retain_branch_depth: dict[str, int] = field(default_factory=dict)
    commit_only: bool = False
    without: frozenset[str] = frozenset()
    also: frozenset[Checksum] = frozenset()

    @property
    def by_refs(self) -> bool:
        limited = self.keep_younger_than is not None or self.only_branches or self.retain_branch_depth
        return self.refs_only or bool(limited)


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """`total` objects were looked at; `unneeded` ones take so many bytes each. `commits` were there, and `needed` is
    all that those which are kept and not partial reach."""

    options: PruneOptions
    total: int
    unneeded: dict[ObjectName, int]
    commits: Set[Checksum]
    needed: Set[ObjectName]

    @property
    def size(self) -> int:
        """Bytes of all that is unneeded."""
        return sum(self.unneeded.values())


def prune(repo: Repo, options: PruneOptions) -> PrunePlan:
    """Delete a commit and what it alone needs; return what was deleted. Raises NotFound, Corrupt as `plan_prune`; Busy
    where others do not let go of the repo."""
    repo.check_writable()
    with lock_repo(repo, exclusive=False):
        plan = plan_prune(repo, options)
    if not plan.unneeded:
        return plan
    with Exclusive(repo) as exclusive:
        return execute_prune(exclusive, plan)


def plan_prune(repo: Repo, options: PruneOptions) -> PrunePlan:
    """Raises NotFound, Corrupt where a tree that is kept cannot be read, since nothing is known of what it needs."""
    stored = list(repo.objects(ObjectType.COMMIT) if options.commit_only else repo.objects(*PRUNED))
    there = {name.checksum for name in stored if name.type == ObjectType.COMMIT}
    needed, of_partial = _needed(repo, options, _kept_commits(repo, options) if options.by_refs else there, set())
    unneeded = {name: repo.stored_size(name) for name in stored if name not in needed and name not in of_partial}
    return PrunePlan(options, len(stored), unneeded, there, needed)


def execute_prune(exclusive: Exclusive, plan: PrunePlan) -> PrunePlan:
    """Delete what the plan says, but for what is needed by now, or gone. The plan as it was carried out."""
    repo = exclusive.repo
    there = {commit for commit, _ in repo.objects(ObjectType.COMMIT)}
    # What has come since may have no ref: whoever brought it counts on all that was there then.
    kept = _kept_commits(repo, plan.options) | (there - plan.commits) if plan.options.by_refs else there
    needed, of_partial = _needed(repo, plan.options, kept, plan.needed)
    unneeded = {
        name: size
        for name, size in plan.unneeded.items()
        if name not in needed and name not in of_partial and repo.has_own(name)
    }
    exclusive.delete(unneeded)
    return replace(plan, unneeded=unneeded)


def delete_commit(exclusive: Exclusive, commit: Checksum) -> None:
    """Delete one commit, and have a tombstone tell clients of it, now and from now on.

    Raises Invalid where a ref names it, NotFound where it is not there.
    """
    repo = exclusive.repo
    for refspec, checksum in repo.refs.named_commits():
        if checksum == commit:
            raise Invalid(f"Commit '{commit}' is referenced by '{refspec}'; delete that ref first")
    name = ObjectName(commit, ObjectType.COMMIT)
    if not repo.has_own(name):
        raise NotFound(f"No such commit {commit} in {repo.path}; nothing was deleted")
    set_option(repo, "core", "tombstone-commits", "true")
    exclusive.delete([name])


def _kept_commits(repo: Repo, options: PruneOptions) -> set[Checksum]:
    named = [(name, head) for name, head in repo.refs.named_commits() if name not in options.without]
    known = {name for name, _ in named}
    for branch in options.only_branches:
        if branch not in known:
            raise unknown(branch, repo.path)
    kept: set[Checksum] = set(options.also)
    for name, head in named:
        if options.only_branches and name not in options.only_branches:
            kept.update(history(repo, head))
        elif options.keep_younger_than is not None:
            kept.update(_younger(repo, head, options.keep_younger_than))
        else:
            kept.update(history(repo, head, options.depth))
        if name in options.retain_branch_depth:
            kept.update(history(repo, head, options.retain_branch_depth[name]))
    return kept


def _younger(repo: Repo, head: Checksum, oldest: int) -> set[Checksum]:
    kept = set()
    for commit in history(repo, head):
        if commit != head and repo.load_commit(commit).timestamp < oldest:
            break
        kept.add(commit)
    return kept


def _needed(
    repo: Repo, options: PruneOptions, commits: set[Checksum], known: Set[ObjectName]
) -> tuple[set[ObjectName], set[ObjectName]]:
    """Return what the whole ones of these commits reach, and the partial ones, without what is `known` to be needed.

    Trees of a partial commit may have holes; each other one must be read as a whole.
    """
    if options.commit_only:
        return {ObjectName(commit, ObjectType.COMMIT) for commit in commits}, set()

    def stop(name: ObjectName, error: Error) -> None:
        raise error

    def pass_over_hole(name: ObjectName, error: Error) -> None:
        if not isinstance(error, NotFound):
            raise error

    partial = {commit for commit in commits if is_partial(repo, commit)}
    needed = set(reach(repo, commits - partial, stop, known))
    return needed, set(reach(repo, partial, pass_over_hole, known | needed))
