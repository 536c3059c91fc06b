"""What takes the space of a repo: by each ref, shared by several, or needed by none.

A ref needs the commits of its history that are here, and all that their trees reach, as far as it lies in the repo
itself. What only one ref needs is what `prune` would free if it were dropped.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from larix.errors import NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.tree.reach import list_inside
from larix.progress import NO_PROGRESS, Progress
from larix.repo.refs import PassOver
from larix.repo.repo import Repo

# All else is metadata that names others, or belongs to a commit.
LEAVES = (ObjectType.FILE, ObjectType.DIR_META)
COUNTED = (ObjectType.FILE, ObjectType.DIR_TREE, ObjectType.DIR_META, ObjectType.COMMIT, ObjectType.COMMIT_META)


class Amount(NamedTuple):
    """A number of objects, and their bytes as they lie there."""

    objects: int
    size: int


@dataclass(frozen=True, slots=True)
class RefUsage:
    """`used` is all that the ref needs, `exclusive` what no other needs. `ref` is written as in `named_commits`."""

    ref: str
    commit: Checksum
    used: Amount
    exclusive: Amount

    @property
    def shared(self) -> Amount:
        return Amount(self.used.objects - self.exclusive.objects, self.used.size - self.exclusive.size)


@dataclass(frozen=True, slots=True)
class Usage:
    """`dangling` is what no ref needs."""

    total: Amount
    dangling: Amount
    refs: list[RefUsage]


def measure_usage(repo: Repo, *, pass_over: PassOver = None, progress: Progress = NO_PROGRESS) -> Usage:
    """Look at all refs; `pass_over` is as for `Refs.all`. What is missing counts nothing. Raises Corrupt. `progress`
    counts refs."""
    sizes = {name: repo.stored_size(name) for name in repo.objects(*COUNTED)}
    inside: dict[ObjectName, list[ObjectName]] = {}
    named = repo.refs.named_commits(pass_over)
    progress.start("Measuring")
    progress.expect(len(named))
    progress.all_known()
    # Refs of one commit need the same.
    needs: dict[Checksum, set[ObjectName]] = {}
    for _, commit in named:
        if commit not in needs:
            needs[commit] = {name for name in _reach(repo, commit, inside) if name in sizes}
        progress.advance(1)
    refs_of = Counter(commit for _, commit in named)
    users: Counter[ObjectName] = Counter()
    for commit, need in needs.items():
        for name in need:
            users[name] += refs_of[commit]
    refs = []
    for ref, commit in named:
        need = needs[commit]
        exclusive = _amount((name for name in need if users[name] == 1), sizes)
        refs.append(RefUsage(ref, commit, _amount(need, sizes), exclusive))
    return Usage(_amount(sizes, sizes), _amount((name for name in sizes if name not in users), sizes), refs)


def _amount(names: Iterable[ObjectName], sizes: dict[ObjectName, int]) -> Amount:
    found = [sizes[name] for name in names]
    return Amount(len(found), sum(found))


def _reach(repo: Repo, commit: Checksum, inside: dict[ObjectName, list[ObjectName]]) -> set[ObjectName]:
    """Return all below the commit and its history; `inside` remembers what was read."""
    top = ObjectName(commit, ObjectType.COMMIT)
    seen, stack = {top}, [top]
    while stack:
        name = stack.pop()
        if name not in inside:
            inside[name] = _list(repo, name)
        for below in inside[name]:
            if below not in seen:
                seen.add(below)
                if below.type not in LEAVES:
                    stack.append(below)
    return seen


def _list(repo: Repo, name: ObjectName) -> list[ObjectName]:
    if name.type == ObjectType.COMMIT_META:
        return []
    found: list[ObjectName] = []
    # Commits may be partial, and history end anywhere.
    with suppress(NotFound):
        found = [below for below, _ in list_inside(repo, name)]
        if name.type == ObjectType.COMMIT:
            found.append(name._replace(type=ObjectType.COMMIT_META))
            if (parent := repo.load_commit(name.checksum).parent) is not None:
                found.append(ObjectName(parent, ObjectType.COMMIT))
    return found
