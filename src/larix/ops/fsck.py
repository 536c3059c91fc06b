"""Looking whether a repo is whole: every object that a commit reaches is there and has its checksum."""

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Set
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice

from larix.errors import Corrupt, Error, NotFound
from larix.formats import names
from larix.formats.checksum import Checksum
from larix.formats.content import content_checksum
from larix.formats.objects import Commit, ObjectName, ObjectType
from larix.linux.workers import start_workers
from larix.ops.commit.bindings import check_back_refs, check_bindings
from larix.ops.tree.reach import list_inside, reach
from larix.progress import NO_PROGRESS, Progress
from larix.repo.config import set_option
from larix.repo.exclusive import Exclusive
from larix.repo.object_errors import differing
from larix.repo.partial import is_partial
from larix.repo.refs import PassOver
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction

# File objects that one worker is given at once.
BATCH = 64
# Of the paths of one object, so many are told, of so many that are looked at.
MAX_PATHS = 10
MAX_PLACES = 10_000


@dataclass(frozen=True, slots=True)
class FsckOptions:
    """`bindings`: refs are compared with what their commits say they were made for; `back_refs`: these refs must be
    here. Without `go_on` the search ends at the first corrupt object. `delete` removes all corrupt objects, so that a
    pull brings them anew. `tombstones` are added for parents that are not here."""

    bindings: bool = False
    back_refs: bool = False
    go_on: bool = True
    delete: bool = False
    tombstones: bool = False


class Stage(Enum):
    """What fsck has come to; with OBJECTS it tells of how many commits."""

    REFS = auto()
    COLLECTION_REFS = auto()
    COMMITS = auto()
    OBJECTS = auto()


# Is told what has begun.
Told = Callable[[Stage, int], None]


@dataclass(slots=True)
class Report:
    """`commits` were looked into, `partial` ones not. `uses`: what needs each object that was found. `marked` are
    commits that are noted to be damaged, since something of them is not here, or no longer; `tombstones` were added.
    `problem`: of refs, where they were looked at after a repair."""

    commits: list[Checksum]
    partial: list[Checksum]
    findings: list["Finding"] = field(default_factory=list)
    uses: dict[ObjectName, "Uses"] = field(default_factory=dict)
    marked: list[Checksum] = field(default_factory=list)
    tombstones: list[Checksum] = field(default_factory=list)
    problem: Error | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: an object is missing, or is there and is not what its name promises."""

    name: ObjectName
    problem: str
    missing: bool


def fsck(
    repo: Repo,
    options: FsckOptions | None = None,
    *,
    told: Told = lambda stage, count: None,
    progress: Progress = NO_PROGRESS,
) -> Report:
    """Look whether the repo is whole. Commits of which objects are missing are marked, so that no command counts on
    them; so are those of deleted objects. Where the search ended at a corrupt object, nothing is marked.

    Raises Error for refs that are not as they should be: what is damaged is told by the report. `progress` is as for
    `check`.
    """
    options = options or FsckOptions()
    report = examine(repo, options, told=told, progress=progress)
    note_damage(repo, report, options)
    return report


def examine(
    repo: Repo,
    options: FsckOptions,
    *,
    told: Told = lambda stage, count: None,
    progress: Progress = NO_PROGRESS,
) -> Report:
    """Look as `fsck` does, and change nothing yet but for tombstones; `note_damage` does the rest."""
    told(Stage.REFS, 0)
    # What is to be deleted may be the commit that a ref names.
    if not options.delete:
        check_all_refs(repo, options, told)
    told(Stage.COMMITS, 0)
    report = Report(*list_commits(repo))
    if not options.delete:
        check_commits(repo, report, options)
    told(Stage.OBJECTS, len(report.commits))
    report.findings = find_damage(repo, report.commits, options, progress=progress)
    progress.end()
    if report.findings:
        report.uses = find_uses(repo, report.commits, {finding.name for finding in report.findings})
    elif options.delete:
        check_all_refs(repo, options, told)
        check_commits(repo, report, options)
    return report


def note_damage(repo: Repo, report: Report, options: FsckOptions) -> None:
    """Mark the commits that need what was found, and delete what is corrupt, if it shall be."""
    stopped = not options.go_on and not options.delete and any(not finding.missing for finding in report.findings)
    if not report.findings or stopped:
        return
    needed = [one for one in report.findings if one.missing or options.delete]
    damaged = dict.fromkeys(commit for one in needed for commit in report.uses[one.name].commits)
    if options.delete:
        with Exclusive(repo) as exclusive:
            bad, needed_by = still_damaged(exclusive, [one.name for one in report.findings if not one.missing])
            damaged |= dict.fromkeys(sorted(needed_by))
            exclusive.mark_damaged(damaged)
            exclusive.delete(bad)
    else:
        mark_damaged(repo, damaged)
    report.marked = [*damaged]


def check_all_refs(repo: Repo, options: FsckOptions, told: Told) -> None:
    """Check refs, those of collections too. Raises Error."""
    check_refs(repo, bindings=options.bindings, go_on=options.go_on)
    told(Stage.COLLECTION_REFS, 0)
    check_collection_refs(repo, bindings=options.bindings)


def check_commits(repo: Repo, report: Report, options: FsckOptions) -> None:
    """Check what the commits say of refs and parents. Raises NotFound, Invalid."""
    if options.back_refs:
        for commit in report.commits:
            check_back_refs(repo, commit, repo.load_commit(commit).metadata)
    if options.tombstones:
        report.tombstones = list(add_tombstones(repo, report.commits))


def find_damage(
    repo: Repo, commits: Iterable[Checksum], options: FsckOptions, *, progress: Progress = NO_PROGRESS
) -> list["Finding"]:
    """Return what is wrong with the objects that these commits reach; and, if some are to be deleted, what may be
    below."""
    found: list[Finding] = []
    with closing(check(repo, commits, progress=progress)) as findings:
        for finding in findings:
            found.append(finding)
            # All that is missing must be known to mend the repo.
            if not options.go_on and not options.delete and not finding.missing:
                break
    if options.delete and any(one.name.type != ObjectType.FILE for one in found):
        # What lies below it was not looked at, and a pull would count on it.
        known = {one.name for one in found}
        found += [one for one in check_all(repo) if not one.missing and one.name not in known]
    return sorted(found, key=lambda finding: finding.name)


def check_refs(repo: Repo, *, bindings: bool = False, go_on: bool = False) -> None:
    """Raises Error for the first ref whose commit is not there, or, with `bindings`, was made for another.

    With `go_on` a commit that is corrupt is passed over: it is found with the other objects.
    """
    for (remote, ref), checksum in repo.refs.all().items():
        try:
            commit = _load(repo, names.refspec(remote, ref), checksum)
        except Corrupt:
            if not go_on:
                raise
            continue
        if bindings:
            check_bindings(checksum, commit.metadata, ref, repo.collection_id if remote is None else None)


def check_collection_refs(repo: Repo, *, bindings: bool = False) -> None:
    """Check refs that are known by a collection, as `check_refs`."""
    for (collection, ref), checksum in repo.refs.mirrors().items():
        commit = _load(repo, f"({collection}, {ref})", checksum)
        if bindings:
            check_bindings(checksum, commit.metadata, ref, collection)


def _load(repo: Repo, ref: str, checksum: Checksum) -> Commit:
    try:
        return repo.load_commit(checksum)
    except Error as error:
        raise type(error)(f"Loading commit for ref {ref}: {error}") from None


def list_commits(repo: Repo) -> tuple[list[Checksum], list[Checksum]]:
    """Return those of which all must be there, and the partial ones, also of the repo's parents."""
    whole: set[Checksum] = set()
    partial: set[Checksum] = set()
    among: Repo | None = repo
    while among is not None:
        for commit, _ in among.objects(ObjectType.COMMIT):
            (partial if is_partial(repo, commit) else whole).add(commit)
        among = among.parent
    return sorted(whole), sorted(partial)


def find_unreferenced(repo: Repo, pass_over: PassOver = None) -> list[Checksum]:
    """Commits of the repo itself that no ref leads to, by any number of parents; `pass_over` is as for `Refs.all`."""
    known: set[Checksum] = set()
    waiting = [commit for _, commit in repo.refs.named_commits(pass_over)]
    while waiting:
        commit = waiting.pop()
        if commit not in known and repo.has(ObjectName(commit, ObjectType.COMMIT)):
            known.add(commit)
            # What cannot be read leads nowhere.
            with suppress(Corrupt, NotFound):
                waiting += filter(None, [repo.load_commit(commit).parent])
    return sorted({name.checksum for name in repo.objects(ObjectType.COMMIT)} - known)


def find_missing_commits(repo: Repo) -> list[Checksum]:
    """Return those that a ref names and that are not here."""
    named = {*repo.refs.all().values(), *repo.refs.mirrors().values()}
    return sorted(commit for commit in named if not repo.has(ObjectName(commit, ObjectType.COMMIT)))


def add_tombstones(repo: Repo, commits: Iterable[Checksum]) -> Iterator[Checksum]:
    """Add one for each parent of these commits that is not here, and from now on for each commit that is deleted."""
    wanted = {repo.load_commit(commit).parent for commit in commits} - {None}
    with Exclusive(repo) as exclusive:
        for parent in sorted(filter(None, wanted)):
            gone = not repo.has(ObjectName(parent, ObjectType.COMMIT))
            if gone:
                set_option(repo, "core", "tombstone-commits", "true")
            if gone and not repo.has(ObjectName(parent, ObjectType.TOMBSTONE_COMMIT)):
                exclusive.add_tombstone(parent)
                yield parent


def mark_damaged(repo: Repo, commits: Iterable[Checksum]) -> None:
    """Note that objects of these commits are missing: then no command counts on them, and a pull brings them again."""
    with Transaction(repo) as transaction:
        for commit in commits:
            transaction.set_partial(commit, True, damaged=True)
        transaction.commit()


def still_damaged(exclusive: Exclusive, names: Iterable[ObjectName]) -> tuple[list[ObjectName], set[Checksum]]:
    """Return which of these objects, now that nobody adds any, are there and corrupt; and the commits that need one.

    Since fsck looked, an object may have come anew, and a commit that counts on what was there.
    """
    repo = exclusive.repo
    bad = []
    for name in filter(repo.has_own, names):
        try:
            check_file(repo, name.checksum) if name.type == ObjectType.FILE else list_inside(repo, name)
        except (Corrupt, NotFound):
            bad.append(name)
    commits = {commit for found in list_commits(repo) for commit in found} | {*find_missing_commits(repo)}
    uses = find_uses(repo, sorted(commits), {*bad})
    return bad, {commit for one in uses.values() for commit in one.commits}


def check(
    repo: Repo, commits: Iterable[Checksum], *, progress: Progress = NO_PROGRESS
) -> Generator[Finding, None, None]:
    """Return what is wrong with the objects that these commits reach, in the order of finding it. Close it to stop
    early.

    `progress` counts file objects, and their bytes as they lie there.
    """
    found: deque[Finding] = deque()
    names: Iterable[ObjectName] = reach(repo, commits, lambda name, error: found.append(_finding(name, error)))
    progress.start("Checking")
    if progress.wanted:
        names = [*names]
        progress.expect(*_measure(repo, [name for name in names if name.type == ObjectType.FILE]))
        progress.all_known()
    return _check_files(repo, names, found, progress)


def _measure(repo: Repo, names: Iterable[ObjectName]) -> tuple[int, int]:
    """Count objects and their bytes, of which those are 0 that are not there."""
    sizes = []
    for name in names:
        try:
            sizes.append(repo.stored_size(name))
        except Error:
            sizes.append(0)
    return len(sizes), sum(sizes)


def check_all(repo: Repo) -> Generator[Finding, None, None]:
    """Yield what is corrupt of all that lies in the repo, also of what no commit reaches, or none that can be read."""
    found: deque[Finding] = deque()

    def metadata_checked() -> Iterator[ObjectName]:
        for name in repo.objects():
            try:
                list_inside(repo, name)
            except (Corrupt, NotFound) as error:
                found.append(_finding(name, error))
            yield name

    return _check_files(repo, metadata_checked(), found, NO_PROGRESS)


def _check_files(
    repo: Repo, names: Iterable[ObjectName], found: deque[Finding], progress: Progress
) -> Generator[Finding, None, None]:
    """Check those of these objects that are files, on all cores; yield what is wrong, with what is `found`
    meanwhile."""

    def check_batch(batch: list[Checksum]) -> tuple[list[Finding], tuple[int, int]]:
        findings = []
        for checksum in batch:
            try:
                check_file(repo, checksum)
            except (Corrupt, NotFound) as error:
                findings.append(_finding(ObjectName(checksum, ObjectType.FILE), error))
        if not progress.wanted:
            return findings, (0, 0)
        return findings, _measure(repo, [ObjectName(checksum, ObjectType.FILE) for checksum in batch])

    def take(checked: tuple[list[Finding], tuple[int, int]]) -> None:
        found.extend(checked[0])
        progress.advance(*checked[1])

    batch: list[Checksum] = []
    with start_workers(check_batch, take, threads=repo.options.threads) as workers:
        for name in names:
            if name.type == ObjectType.FILE:
                batch.append(name.checksum)
            if len(batch) == BATCH:
                workers.submit(batch)
                batch = []
            while found:
                yield found.popleft()
        if batch:
            workers.submit(batch)
    yield from found


def _finding(name: ObjectName, error: Error) -> Finding:
    return Finding(name, str(error), isinstance(error, NotFound))


@dataclass(frozen=True, slots=True)
class Uses:
    """What needs an object: commits, and some of the paths it has in them, none where it is a commit itself."""

    commits: list[Checksum]
    paths: list[str]


def find_uses(repo: Repo, commits: Iterable[Checksum], names: Set[ObjectName]) -> dict[ObjectName, Uses]:
    """Return what needs each of these objects in these commits."""
    # Object -> where it is named, a directory or a commit, and its name there.
    above: dict[ObjectName, list[tuple[ObjectName, str]]] = defaultdict(list)
    for name in reach(repo, commits, lambda name, error: None):
        if name.type in (ObjectType.COMMIT, ObjectType.DIR_TREE):
            with suppress(Corrupt, NotFound):
                for inside, entry in list_inside(repo, name):
                    if inside.type == ObjectType.DIR_TREE or inside in names:
                        above[inside].append((name, entry))
    return {name: Uses(_commits_above(above, name), _paths(above, name)) for name in names}


Above = Mapping[ObjectName, list[tuple[ObjectName, str]]]


def _commits_above(above: Above, name: ObjectName) -> list[Checksum]:
    found = {name}
    stack = [name]
    while stack:
        new = {parent for parent, _ in above.get(stack.pop(), [])} - found
        found |= new
        stack += new
    return sorted(name.checksum for name in found if name.type == ObjectType.COMMIT)


def _paths(above: Above, name: ObjectName) -> list[str]:
    return sorted(set(islice(_each_path(above, name), MAX_PLACES)))[:MAX_PATHS]


def _each_path(above: Above, name: ObjectName) -> Iterator[str]:
    """Yield the paths of an object, once for each way there."""
    stack = [(name, "")]
    while stack:
        at, path = stack.pop()
        for parent, entry in above.get(at, []):
            if parent.type == ObjectType.COMMIT:
                yield path or "/"
            else:
                stack.append((parent, f"/{entry}{path}"))


def check_file(repo: Repo, checksum: Checksum) -> None:
    """Raises Corrupt, NotFound."""
    with repo.open_file(checksum, exact=True) as stored:
        actual = content_checksum(stored.header, stored.content)
    if actual != checksum:
        raise differing(ObjectName(checksum, ObjectType.FILE), actual)
