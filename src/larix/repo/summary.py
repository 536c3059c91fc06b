"""The summary of a repo, in the file `summary`, which clients fetch first."""

import time
from collections.abc import Iterable
from contextlib import suppress

from larix.formats import objects
from larix.formats.checksum import Checksum
from larix.formats.objects import Metadata, ObjectName, ObjectType, to_wire_time
from larix.formats.summary import COLLECTION_ID, COLLECTION_MAP, Summary, SummaryRef, encode_collections
from larix.gvariant import Variant
from larix.linux import writing
from larix.linux.failures import doing
from larix.repo.locking import lock_changes
from larix.repo.refs import PassOver
from larix.repo.repo import Repo
from larix.repo.staging import temporary_path

PATH = "summary"
SIGNATURES = "summary.sig"


def build_summary(
    repo: Repo, now: int, more: Iterable[tuple[str, Variant]] = (), pass_over: PassOver = None
) -> Summary:
    """Build the summary of the branches made here, and of others by their collections. `now` is in seconds since
    1970."""
    refs: dict[str, SummaryRef] = {}
    for (remote, ref), commit in repo.refs.all(pass_over).items():
        if remote is None:
            refs[ref] = _ref_in_summary(repo, commit)
    collections: dict[str, dict[str, SummaryRef]] = {}
    for (collection, name), commit in repo.refs.of_collections(pass_over).items():
        if collection != repo.collection_id:
            collections.setdefault(collection, {})[name] = _ref_in_summary(repo, commit)
    pairs = [
        ("ostree.summary.mode", Variant("s", repo.layout.mode)),
        ("ostree.summary.last-modified", Variant("t", to_wire_time(now))),
        ("ostree.summary.tombstone-commits", Variant("b", repo.config.find_bool("core", "tombstone-commits", False))),
        ("ostree.summary.indexed-deltas", Variant("b", True)),
    ]
    if repo.collection_id is not None:
        pairs.append((COLLECTION_ID, Variant("s", repo.collection_id)))
    if collections:
        pairs.append((COLLECTION_MAP, encode_collections(collections)))
    return Summary(refs, Metadata([*pairs, *more]), collections)


def _ref_in_summary(repo: Repo, checksum: Checksum) -> SummaryRef:
    data = repo.load(ObjectName(checksum, ObjectType.COMMIT))
    commit = objects.decode_commit(data)
    metadata = {}
    if (version := commit.metadata.find_string("version")) is not None:
        metadata["ostree.commit.version"] = Variant("s", version)
    metadata["ostree.commit.timestamp"] = Variant("t", to_wire_time(commit.timestamp))
    return SummaryRef(checksum, len(data), Metadata(metadata))


def write_summary(repo: Repo, more: Iterable[tuple[str, Variant]] = (), pass_over: PassOver = None) -> None:
    """Write the summary anew; `pass_over` is as for `Refs.all`.

    A signature of the old one is removed, since it can no longer be right.
    """
    with lock_changes(repo):
        # The refs as they are now: whoever changes them later writes it again.
        _store(repo, build_summary(repo, int(time.time()), more, pass_over).encode())


def store_summary(repo: Repo, data: bytes) -> None:
    """Put a whole summary, that of the server for a mirror, in place of the old one and its signature."""
    with lock_changes(repo):
        _store(repo, data)


def _store(repo: Repo, data: bytes) -> None:
    with doing(f"Writing {repo.path}/{PATH}"):
        # First the one that is wrong with the new summary: without any, the old one is merely not signed.
        with suppress(FileNotFoundError):
            writing.remove(SIGNATURES, repo.fd)
        writing.replace(PATH, data, repo.fd, durable=repo.fsync, temporary=temporary_path())
