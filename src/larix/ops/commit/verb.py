"""Making commits: layers become a tree, which becomes a commit of a branch.

A layer is a directory of this machine, an archive or another commit; each lies over those before it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import EllipsisType
from typing import BinaryIO

import larix.gvariant as gvariant
from larix.errors import Invalid, NotFound
from larix.formats import sizes
from larix.formats.checksum import Checksum
from larix.formats.names import parse_refspec
from larix.formats.objects import DETACHED_TYPE, Commit, Metadata, ObjectType
from larix.gvariant import Variant
from larix.linux.failures import doing
from larix.ops.commit.bindings import COLLECTION_BINDING, REF_BINDING
from larix.ops.commit.consume import Given
from larix.ops.commit.rework import lay_changed
from larix.ops.commit.scan import ReadOptions, find_links, lay_directory
from larix.ops.commit.sizes import find_sizes
from larix.ops.commit.untar import ArchiveOptions, lay_archive
from larix.ops.tree.directory import Directory, Stored, add_tree, lay_over, open_stored, tree_of
from larix.ops.tree.kernel import describe_kernel
from larix.ops.tree.modify import Modification, Modifier
from larix.ops.tree.tree import ObjectTree
from larix.progress import NO_PROGRESS, Progress
from larix.repo.incoming import Counts
from larix.repo.ref_changes import Expected
from larix.repo.refs import find_ref
from larix.repo.repo import Repo
from larix.repo.summary import write_summary
from larix.repo.transaction import Transaction


@dataclass(frozen=True, slots=True)
class FromDirectory:
    """A directory of this machine. One that is `given` away is removed when the commit is there, but for what came or
    was changed since it was read; its files need not be copied."""

    path: str
    given: bool = False


@dataclass(frozen=True, slots=True)
class FromArchive:
    """A tar or cpio archive: the path of a file, or one that is open, which whoever opened it closes."""

    archive: str | BinaryIO
    options: ArchiveOptions = field(default_factory=ArchiveOptions)


@dataclass(frozen=True, slots=True)
class FromCommit:
    """The tree of a commit that is here."""

    commit: Checksum


Layer = FromDirectory | FromArchive | FromCommit


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How layers become a tree: `base` lies below all and is not changed by the `modifier`, as they are.

    With `trust_links` a file that is a hard link to an object is that object, as which the modifier changes it; with
    `canonical_links` it stays as it is, whatever the modifier changes. `counting` takes a look at
    each new file, to tell how much it is.
    """

    base: Checksum | None = None
    modifier: Modifier = field(default_factory=Modifier)
    trust_links: bool = False
    canonical_links: bool = False
    counting: bool = False


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """What a commit says. `parent`: ... is what the branch has, None is none. `expected` is what the branch must have
    until the commit is there: ... is what the parent was taken from, if it was. `keep` are keys of metadata that are
    taken over from the parent. `timestamp` is in seconds since 1970 (default: now).

    `bindings`: the commit names the branch, `bind_refs` and the repo's collection as those it was made for, so that it
    cannot be passed off as another's. `bootable`: it names its kernel. `sizes`: those of all objects are noted, in an
    archive. With `skip_unchanged` none is made where the tree is that of the parent.
    """

    subject: str = ""
    body: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    keep: Sequence[str] = ()
    detached: Metadata | None = None
    parent: Checksum | EllipsisType | None = ...
    expected: Expected = ...
    timestamp: int | None = None
    bindings: bool = True
    bind_refs: Sequence[str] = ()
    bootable: bool = False
    sizes: bool = False
    skip_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """`known` is the number of files that were links to objects, and were neither read nor changed. `left` are
    directories to whose mode the modifier would add bits, which is not done."""

    checksum: Checksum
    counts: Counts | None
    known: int
    left: Sequence[str]


def commit(
    repo: Repo,
    layers: Iterable[Layer],
    branch: str | None,
    options: CommitOptions | None = None,
    how: TreeOptions | None = None,
    *,
    told: Callable[[Committed], None] = lambda committed: None,
    progress: Progress = NO_PROGRESS,
) -> Committed:
    """Commit what these layers make, and point the branch (REF or REMOTE:REF) there, if one is given.

    `told` is called when the commit is durable, before what was given away is removed, and before the summary is
    written where core.commit-update-summary says so: whatever becomes of these, the commit is there. Until then an
    Error leaves the repo as it was. Raises Moved where the branch was moved meanwhile; Busy where something of what was
    given away stays.
    """
    layers, options, how = list(layers), options or CommitOptions(), how or TreeOptions()
    parent, expected = _find_parent(repo, branch, options)
    metadata = [*options.metadata.pairs, *find_kept(repo, options.keep, parent)]
    # Where nobody has extended attributes there is no place for labels either.
    modifier = replace(how.modifier, labels=None) if repo.layout.user_only else how.modifier
    # Where the mode is all that an object keeps, a checkout may have another by now.
    trusts = how.canonical_links or (how.trust_links and not repo.layout.user_only)
    links = find_links(repo) if trusts else {}
    changing_links = not how.canonical_links and not modifier.changes_nothing
    modification = Modification(replace(modifier, canonical=modifier.canonical or repo.layout.user_only))
    with ExitStack() as opened:
        with Transaction(repo) as transaction:
            given = {
                path: opened.enter_context(Given(path, repo, transaction.adopt_file))
                for path in dict.fromkeys(one.path for one in layers if isinstance(one, FromDirectory) and one.given)
            }
            top = open_stored(repo, tree_of(repo, how.base)) if how.base is not None else Directory()
            read = ReadOptions(modification, links, changing_links)
            known = sum(_lay(transaction, top, layer, read, given, progress) for layer in layers)
            modification.check_matched()
            # While the dirtrees are added, the disk takes the files.
            transaction.start_writing()
            root = add_tree(transaction, top)
            progress.start("Writing")
            if options.bootable:
                kernel = describe_kernel(ObjectTree(transaction, root))
                metadata = [pair for pair in metadata if pair[0] not in dict(kernel)] + kernel
            if parent is not None and options.skip_unchanged and root == tree_of(repo, parent):
                checksum = parent
            else:
                said = replace(options, metadata=Metadata(metadata), parent=parent, expected=expected)
                checksum = commit_tree(transaction, root, branch, said)
            counts = transaction.counts() if how.counting else None
            committed = Committed(checksum, counts, known, sorted(modification.left))
            transaction.commit()
            # What has a later change of its inode was written to when it was an object already.
            committed_at = time.time_ns()
        progress.end()
        told(committed)
        try:
            for one in given.values():
                with doing(f"The commit is made, but {one.path} cannot be removed"):
                    one.remove(committed_at)
        finally:
            if repo.config.find_bool("core", "commit-update-summary", False):
                # What cannot be read is told by who looks at refs.
                write_summary(repo, pass_over=lambda error: None)
    return committed


def _find_parent(repo: Repo, branch: str | None, options: CommitOptions) -> tuple[Checksum | None, Expected]:
    """Return the parent, and what the branch must have until the commit is there, so that nobody's is lost."""
    if not isinstance(options.parent, EllipsisType):
        return options.parent, options.expected
    found = find_ref(repo.fd, *parse_refspec(branch)) if branch is not None else None
    return found, found if options.expected is ... else options.expected


def find_kept(repo: Repo, keys: Sequence[str], parent: Checksum | None) -> list[tuple[str, Variant]]:
    """Metadata of the parent that is to be taken over. Raises Invalid without a parent, NotFound."""
    if not keys:
        return []
    if parent is None:
        raise Invalid(f"There is no parent to take the metadata {', '.join(keys)} from")
    before = repo.load_commit(parent).metadata
    if missing := [key for key in keys if key not in before]:
        raise NotFound(f"Missing metadata key '{missing[0]}' from commit '{parent}'")
    return [(key, before[key]) for key in keys]


def _lay(
    transaction: Transaction,
    top: Directory,
    layer: Layer,
    how: ReadOptions,
    given: Mapping[str, Given],
    progress: Progress,
) -> int:
    """Lay one layer; return how many files were known without reading them."""
    repo, modification = transaction.repo, how.modification
    match layer:
        case FromDirectory(path):
            return lay_directory(transaction, top, path, replace(how, given=given.get(path)), progress=progress)
        case FromArchive(archive, options):
            with _opened(archive) as reader:
                lay_archive(transaction, top, reader, modification, options, progress=progress)
        case FromCommit(commit) if modification.modifier.changes_nothing:
            lay_over(repo, top, tree_of(repo, commit))
        case FromCommit(commit):
            lay_changed(transaction, top, tree_of(repo, commit), modification)
    return 0


def _opened(archive: str | BinaryIO) -> AbstractContextManager[BinaryIO]:
    if not isinstance(archive, str):
        return nullcontext(archive)
    with doing(f"Reading {archive}"):
        return Path(archive).open("rb")


def commit_directory(
    repo: Repo,
    path: str,
    branch: str,
    options: CommitOptions | None = None,
    modifier: Modifier | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Checksum:
    """Commit the directory of this machine at `path` as the next commit of a branch. Raises as `commit`."""
    how = TreeOptions(modifier=modifier or Modifier())
    return commit(repo, [FromDirectory(path)], branch, options, how, progress=progress).checksum


def commit_tree(
    transaction: Transaction,
    root: Stored,
    branch: str | None,
    options: CommitOptions | None = None,
) -> Checksum:
    """Add a commit of the tree `root`, and point `branch` (or REMOTE:REF) there; both are there when the transaction is
    committed. Of the options, `keep`, `bootable` and `skip_unchanged` are for `commit`.
    """
    options = options or CommitOptions()
    parent, expected = _find_parent(transaction.repo, branch, options)
    pairs = list(options.metadata.pairs)
    if options.bindings:
        bound = sorted([*options.bind_refs, *([branch] if branch is not None else [])])
        pairs.append((REF_BINDING, Variant("as", bound)))
        if (collection := transaction.repo.collection_id) is not None:
            pairs.append((COLLECTION_BINDING, Variant("s", collection)))
    if options.sizes and transaction.repo.layout.keeps_packed:
        pairs.append((sizes.KEY, find_sizes(transaction, root)))
    timestamp = int(time.time()) if options.timestamp is None else options.timestamp
    made = Commit(Metadata(pairs), parent, options.subject, options.body, timestamp, *root)
    checksum = transaction.add_metadata(ObjectType.COMMIT, made.encode())
    if options.detached is not None:
        transaction.set_detached_metadata(checksum, gvariant.encode(DETACHED_TYPE, options.detached.pairs))
    if branch is not None:
        transaction.set_ref(*parse_refspec(branch), checksum, expected=expected)
    return checksum
