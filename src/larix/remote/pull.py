"""Pulling: bring commits, and all that they reach, into a repo; nothing of it where something fails.

From a remote by its name, as its settings say; from a repo of this machine; or from any other source.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from larix.errors import Corrupt, Error, Invalid, NotFound
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import parse_refspec
from larix.progress import NO_PROGRESS, Progress
from larix.remote.open import Access, open_source
from larix.remote.puller import Asked, Puller, PullOptions
from larix.remote.repo_source import RepoSource
from larix.remote.source import Pulled, Source
from larix.repo import refs as refs_here
from larix.repo.ref_changes import Expected
from larix.repo.remotes import Remote, load_remote
from larix.repo.repo import Repo
from larix.repo.summary import store_summary
from larix.repo.transaction import Transaction

# Each with the commit to bring; None is the newest.
Refs = Mapping[str, Checksum | None]


def pull_remote(
    repo: Repo,
    remote: str | Remote,
    refs: Iterable[str] | Refs | None = None,
    options: PullOptions | None = None,
    access: Access | None = None,
    *,
    mirror: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Pulled:
    """Bring branches of the remote, each at its newest commit or at the one given; they become NAME:REF here.

    With `mirror` they become branches of the repo itself, or are kept under the collection that they are of.
    Without `refs` the remote's configured branches come; where there are none, a mirror gets all, and the summary.

    Raises NotFound, Corrupt, Invalid, FetchFailed, and Untrusted where the remote demands signatures; then the repo is
    as it was.
    """
    remote = load_remote(repo, remote) if isinstance(remote, str) else remote
    options = options or PullOptions()
    options = replace(options, collection=remote.collection or options.collection)
    refs = remote.branches or None if refs is None else refs
    if refs is None and not mirror:
        raise NotFound(f"No configured branches for remote {remote.name}; name those to pull")
    with closing(open_source(repo, remote, access)) as source:
        wanted = _each(source.refs() if refs is None else refs)
        kept_by, target = (source.collection, None) if mirror else (None, remote.name)
        branches = [_Branch(ref, commit, options.collection, target, kept_by) for ref, commit in wanted.items()]
        if refs is None:
            branches += [_Branch(ref, commit, of, None, of) for (of, ref), commit in source.mirrors().items()]
        pulled = _pull(repo, source, branches, options, progress)
        if refs is None and (summary := source.summary()) is not None:
            store_summary(repo, summary)
    return pulled


def pull_local(
    repo: Repo,
    source: RepoSource,
    refs: Iterable[str] | Refs | None = None,
    remote: str | None = None,
    options: PullOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Pulled:
    """Bring branches of a repo of this machine, all of its own if none is named. REF becomes a branch of the repo, and
    REMOTE:REF of that remote, or all of the `remote` that is given. Raises as `pull`."""
    options = options or PullOptions()
    branches = []
    for text, given in _each(source.refs() if refs is None else refs).items():
        of, ref, commit = None, text, given
        if refs is not None and not is_checksum(text):
            of, ref = parse_refspec(text)
            commit = given or source.look_up(text)
        branches.append(_Branch(ref, commit, options.collection, of if remote is None else remote, None))
    return _pull(repo, source, branches, options, progress)


def pull(
    repo: Repo,
    source: Source,
    refs: Iterable[str] | Refs,
    remote: str | None,
    options: PullOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Pulled:
    """Bring `refs` from the source, each at its newest commit or at the one given, and point them there.

    They become branches of `remote`, or of the repo itself where it is None. A name that is a checksum brings that
    commit and sets no ref. `progress` counts objects and the bytes of files.
    Raises NotFound, Corrupt, Invalid, FetchFailed; then the repo is as it was.
    """
    options = options or PullOptions()
    branches = [_Branch(ref, commit, options.collection, remote, None) for ref, commit in _each(refs).items()]
    return _pull(repo, source, branches, options, progress)


def _each(refs: Iterable[str] | Refs) -> Refs:
    """Raises Invalid for one text, whose letters are not what is meant."""
    if isinstance(refs, str):
        raise Invalid(f"Refs to pull are several; write [{refs!r}]")
    return refs if isinstance(refs, Mapping) else dict.fromkeys(refs)


@dataclass(frozen=True, slots=True)
class _Branch:
    """To be brought at `commit`, or at its newest. That must be made for `collection`, if one is given; here it becomes
    a branch of `remote`, of the repo itself where that is None, or of the collection `kept_by` as a mirror."""

    ref: str
    commit: Checksum | None
    collection: str | None
    remote: str | None
    kept_by: str | None


def _pull(
    repo: Repo,
    source: Source,
    branches: Iterable[_Branch],
    options: PullOptions,
    progress: Progress,
) -> Pulled:
    # Of each branch: what it has now and must have at the end, and what it gets.
    targets: dict[_Branch, tuple[Expected, Checksum]] = {}
    commits: dict[Checksum, list[Asked]] = {}
    for one in branches:
        if is_checksum(one.ref):
            commits.setdefault(one.commit or Checksum(one.ref), [])
            continue
        # Before the other end is asked, so that what another process pulls meanwhile is not set back.
        expected = expected_here(repo, one.remote, one.kept_by, one.ref)
        commit = one.commit or source.find_ref(one.ref)
        targets[one] = expected, commit
        asked = Asked(one.ref, one.collection, age_here(repo, one.remote, one.kept_by, one.ref))
        commits.setdefault(commit, []).append(asked)
    with Transaction(repo, resumable=True, plain_files=options.plain_files) as transaction:
        pulled = Puller(source, transaction, options, progress).run(commits)
        for one, (expected, commit) in targets.items():
            if one.kept_by is None:
                transaction.set_ref(one.remote, one.ref, commit, expected=expected)
            else:
                transaction.set_collection_ref(one.kept_by, one.ref, commit, expected=expected)
        progress.start("Writing")
        transaction.commit()
    return pulled


def expected_here(repo: Repo, remote: str | None, collection: str | None, ref: str) -> Expected:
    """Return what a branch has in this repo itself, for `set_ref`; a damaged one may be replaced."""
    try:
        return find_here(repo, remote, collection, ref)
    except Corrupt:
        return ...


def find_here(repo: Repo, remote: str | None, collection: str | None, ref: str) -> Checksum | None:
    """Return what a branch has here: of a mirrored collection, or of a remote, or its own. Raises Corrupt."""
    if collection is not None and collection != repo.collection_id:
        return refs_here.find_at(repo.fd, refs_here.mirror_path(collection, ref), ref)
    return refs_here.find_ref(repo.fd, remote if collection is None else None, ref)


def age_here(repo: Repo, remote: str | None, collection: str | None, ref: str) -> int:
    """Return the time of what a branch has in this repo or its parents, in seconds since 1970; 0 where nothing could be
    read."""
    try:
        found = find_here(repo, remote, collection, ref)
        if found is None and repo.parent is not None:
            return age_here(repo.parent, remote, collection, ref)
        return repo.load_commit(found).timestamp if found is not None else 0
    except Error:
        return 0
