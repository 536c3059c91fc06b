"""The commit object: what a tree is said to be, and the branch that it is made for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import larix.gvariant as gvariant
from larix.formats import sizes
from larix.formats.checksum import Checksum
from larix.formats.names import parse_refspec
from larix.formats.objects import DETACHED_TYPE, Commit, Metadata, ObjectType
from larix.gvariant import Variant
from larix.ops.bindings import COLLECTION_BINDING, REF_BINDING
from larix.ops.modify import Modifier
from larix.ops.scan import lay_directory
from larix.ops.sizes import find_sizes
from larix.ops.tree import Directory, Stored, add_tree
from larix.progress import NO_PROGRESS, Progress
from larix.repo.ref_changes import Expected
from larix.repo.refs import find_ref
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """`bindings`: the commit names the branch, `bind_refs` and the repo's collection as those it was made for, so
    that it cannot be passed off as another's. `sizes`: those of all objects are noted, in an archive."""

    subject: str = ""
    body: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    detached: Metadata | None = None
    parent: Checksum | None = None
    bindings: bool = True
    bind_refs: Sequence[str] = ()
    sizes: bool = False


def commit_directory(
    repo: Repo,
    path: str,
    branch: str,
    timestamp: int,
    options: CommitOptions | None = None,
    modifier: Modifier | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Checksum:
    """Commit the directory of this machine at `path` as the next commit of a branch. `timestamp`: seconds since 1970.

    Its parent is what the branch has now, unless the options name one. Raises Error; then the repo is as it was.
    """
    options = options or CommitOptions()
    expected: Expected = ...
    if options.parent is None:
        expected = find_ref(repo.fd, *parse_refspec(branch))
        options = replace(options, parent=expected)
    with Transaction(repo) as transaction:
        top = Directory()
        lay_directory(transaction, top, path, modifier, progress=progress)
        transaction.start_writing()
        checksum = commit_tree(transaction, add_tree(transaction, top), timestamp, branch, options, expected=expected)
        progress.start("Writing")
        transaction.commit()
    return checksum


def commit_tree(
    transaction: Transaction,
    root: Stored,
    timestamp: int,
    branch: str | None,
    options: CommitOptions | None = None,
    *,
    expected: Expected = ...,
) -> Checksum:
    """Add a commit of the tree `root`, and point `branch` (or REMOTE:REF) there. `timestamp`: seconds since 1970.

    `expected` is what the branch must have until then: what the parent was taken from.
    """
    options = options or CommitOptions()
    pairs = list(options.metadata.pairs)
    if options.bindings:
        bound = sorted([*options.bind_refs, *([branch] if branch is not None else [])])
        pairs.append((REF_BINDING, Variant("as", bound)))
        if (collection := transaction.repo.collection_id) is not None:
            pairs.append((COLLECTION_BINDING, Variant("s", collection)))
    if options.sizes and transaction.repo.layout.keeps_packed:
        pairs.append((sizes.KEY, find_sizes(transaction, root)))
    commit = Commit(Metadata(pairs), options.parent, options.subject, options.body, timestamp, *root)
    checksum = transaction.add_metadata(ObjectType.COMMIT, commit.encode())
    if options.detached is not None:
        transaction.set_detached_metadata(checksum, gvariant.encode(DETACHED_TYPE, options.detached.pairs))
    if branch is not None:
        transaction.set_ref(*parse_refspec(branch), checksum, expected=expected)
    return checksum
