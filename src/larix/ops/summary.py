"""Writing a repo's summary. What is said of the whole repo is also in a commit, for clients that know a collection."""

import time
from collections.abc import Sequence
from contextlib import suppress

from larix.errors import Moved
from larix.formats.objects import DirMeta, DirTree, Metadata, ObjectType
from larix.gvariant import Variant
from larix.ops.commit.bindings import COLLECTION_BINDING, REF_BINDING
from larix.ops.commit.verb import CommitOptions, commit_tree
from larix.ops.tree.directory import Stored
from larix.repo.refs import PassOver, find_ref
from larix.repo.repo import Repo
from larix.repo.summary import write_summary
from larix.repo.transaction import Transaction

METADATA_REF = "ostree-metadata"
DIRECTORY_MODE = 0o40755


def update_summary(
    repo: Repo,
    more: Sequence[tuple[str, Variant]] = (),
    pass_over: PassOver = None,
    *,
    timestamp: int | None = None,
) -> None:
    """Write the summary anew, with more keys of metadata; `pass_over` is as for `Refs.all`.

    A repo with a collection gets a commit with these keys and without files, too, on the branch `ostree-metadata`, of
    `timestamp`, in seconds since 1970 (default: now).
    """
    while repo.collection_id is not None:
        # Whoever was faster has said the same of other refs; the next commit comes after theirs.
        with suppress(Moved):
            _commit_metadata(repo, repo.collection_id, more, int(time.time()) if timestamp is None else timestamp)
            break
    write_summary(repo, more, pass_over)


def _commit_metadata(repo: Repo, collection: str, more: Sequence[tuple[str, Variant]], timestamp: int) -> None:
    with Transaction(repo) as transaction:
        tree = transaction.add_metadata(ObjectType.DIR_TREE, DirTree({}, {}).encode())
        meta = transaction.add_metadata(ObjectType.DIR_META, DirMeta(0, 0, DIRECTORY_MODE).encode())
        before = find_ref(repo.fd, None, METADATA_REF)
        # In the order that the C tool has with one more key at most: then, with one time, the commit is the same.
        pairs = [
            (COLLECTION_BINDING, Variant("s", collection)),
            *sorted(more, key=lambda pair: pair[0]),
            (REF_BINDING, Variant("as", [METADATA_REF])),
        ]
        said = Metadata(pairs)
        options = CommitOptions(metadata=said, parent=before, expected=before, timestamp=timestamp, bindings=False)
        commit_tree(transaction, Stored(tree, meta), METADATA_REF, options)
        transaction.commit()
