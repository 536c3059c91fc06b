"""Mending a repo: what fsck found to be missing or corrupt is moved aside and brought anew from remotes.

A commit that lost an object is marked first, so nothing counts on it until a pull has brought all of it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from larix.errors import Corrupt, Error, FetchFailed, Invalid, NotFound, Unsupported
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops.fsck import (
    Finding,
    FsckOptions,
    Report,
    Stage,
    Told,
    check,
    check_all,
    check_all_refs,
    check_commits,
    find_damage,
    find_missing_commits,
    find_uses,
    list_commits,
    still_damaged,
)
from larix.progress import NO_PROGRESS, Progress
from larix.remote.open import Access
from larix.remote.pull import pull_remote
from larix.repo.exclusive import Exclusive
from larix.repo.partial import is_damaged, is_partial
from larix.repo.remotes import Remote
from larix.repo.repo import Repo


@dataclass(slots=True)
class Repaired:
    """`found` is all that was damaged, `mended` what is whole again, `left` what is not.

    `aside`: where each corrupt object lies now, below the repo, and how many hard links elsewhere, in checkouts and
    deployments, share its content. `failures`: what went wrong last with a remote.
    """

    found: dict[ObjectName, Finding]
    mended: set[ObjectName] = field(default_factory=set)
    aside: dict[ObjectName, tuple[str, int]] = field(default_factory=dict)
    left: list[Finding] = field(default_factory=list)
    failures: dict[str, Error] = field(default_factory=dict)


def fsck_and_repair(
    repo: Repo,
    remotes: Sequence[Remote],
    options: FsckOptions | None = None,
    *,
    told: Told = lambda stage, count: None,
    progress: Progress = NO_PROGRESS,
) -> tuple[Report, Repaired]:
    """Look whether the repo is whole, and mend what is not; commits that were damaged before are mended too.

    Refs are looked at last, where nothing is left: what is to be mended may be the commit that one names. What is wrong
    with them then is the `problem` of the report. Raises as `check` and `repair`.
    """
    options = replace(options or FsckOptions(), go_on=True, delete=False)
    told(Stage.COMMITS, 0)
    whole, partial = list_commits(repo)
    damaged = [commit for commit in partial if is_damaged(repo, commit)]
    report = Report(sorted({*whole, *damaged, *find_missing_commits(repo)}), partial)
    told(Stage.OBJECTS, len(report.commits))
    report.findings = find_damage(repo, report.commits, options, progress=progress)
    progress.end()
    repaired = Repaired({})
    if report.findings or damaged:
        repaired = repair(repo, report.findings, report.commits, remotes)
        report.findings = [*repaired.found.values()]
        report.partial = [commit for commit in partial if is_partial(repo, commit)]
        report.uses = find_uses(repo, report.commits, {*repaired.found})
    if not repaired.left:
        told(Stage.REFS, 0)
        try:
            check_all_refs(repo, options, told)
            check_commits(repo, report, options)
        except Error as error:
            report.problem = error
    return report, repaired


def repair(repo: Repo, found: Sequence[Finding], commits: Iterable[Checksum], remotes: Sequence[Remote]) -> Repaired:
    """Mend what was `found` in these commits, and what comes to light below it.

    Commits that are marked as damaged are completed. Raises Busy, NoSpace; Unsupported for a repo larix only reads.
    """
    commits = sorted(set(commits))
    result = Repaired({finding.name: finding for finding in found}, left=list(found))
    if any(finding.name.type != ObjectType.FILE for finding in found):
        # What lies below it was not looked at, and may be corrupt too.
        result.found |= {finding.name: finding for finding in check_all(repo) if not finding.missing}
        result.left = [*result.found.values()]
    tried: set[ObjectName] = set()
    new = {*result.found}
    while True:
        tried |= new
        users = find_uses(repo, commits, tried).values()
        damaged = {commit for commit in commits if is_damaged(repo, commit)}
        damaged.update(*(uses.commits for uses in users))
        with Exclusive(repo) as exclusive:
            bad, needed_by = still_damaged(exclusive, [one.name for one in result.left if not one.missing])
            damaged |= needed_by
            exclusive.mark_damaged(damaged)
            result.aside |= exclusive.move_aside(bad)
        for remote in remotes:
            damaged -= _complete(repo, remote, damaged, result.failures)
        result.left = list(check(repo, commits))
        # Below a directory that was missing others may be.
        result.found |= {finding.name: finding for finding in result.left if finding.name not in tried}
        new = {*result.found} - tried
        if not new:
            break
    result.mended = tried - {finding.name for finding in result.left}
    return result


def _complete(repo: Repo, remote: Remote, commits: Iterable[Checksum], failures: dict[str, Error]) -> set[Checksum]:
    """Bring what is missing of these commits. Returns those that are whole now."""
    whole: set[Checksum] = set()
    for commit in sorted(commits):
        try:
            # What the remote must sign is not asked: an object is what its name says, or is refused.
            pull_remote(repo, remote, [commit], access=Access(trusted=False, unsigned=True))
        except (NotFound, Corrupt, Invalid) as error:
            failures[remote.name] = error
        except (FetchFailed, Unsupported) as error:
            failures[remote.name] = error
            break
        else:
            whole.add(commit)
    return whole
