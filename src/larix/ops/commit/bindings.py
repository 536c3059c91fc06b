"""Bindings: the refs and the collection that a commit says it was made for, so that it cannot pass as another's."""

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.objects import Metadata
from larix.repo.repo import Repo

REF_BINDING = "ostree.ref-binding"
COLLECTION_BINDING = "ostree.collection-binding"


def bound_refs(metadata: Metadata) -> list[str] | None:
    """Return the refs that a commit was made for; None where it says nothing, as older ones do."""
    found = metadata.get(REF_BINDING)
    if found is None:
        return None
    return list(found.value) if found.type == "as" else []


def check_bindings(checksum: Checksum, metadata: Metadata, ref: str, collection: str | None = None) -> None:
    """Raises Invalid where the commit was made for other refs than this, or for another collection, where one is given.

    A commit without bindings is good for any ref that has no collection.
    """
    bound = bound_refs(metadata)
    if bound is not None and ref not in bound:
        names = ", ".join(f"‘{name}’" for name in bound) or "no refs"
        raise Invalid(f"Commit {checksum}: Commit has no requested ref ‘{ref}’ in ref binding metadata ({names})")
    if collection is None:
        return
    found = metadata.find_string(COLLECTION_BINDING)
    if found is None:
        raise Invalid(f"Commit {checksum}: expected a collection binding ({COLLECTION_BINDING}), found none")
    if found != collection:
        raise Invalid(
            f"Commit {checksum}: Commit has collection ID ‘{found}’ in collection binding metadata, while the remote "
            f"it came from has collection ID ‘{collection}’"
        )


def check_back_refs(repo: Repo, checksum: Checksum, metadata: Metadata) -> None:
    """Raises NotFound, Invalid where a ref that the commit was made for is not there, or is another commit."""
    collection = metadata.find_string(COLLECTION_BINDING)
    for ref in bound_refs(metadata) or []:
        if collection is None:
            found, what = repo.refs.find(ref), f"Ref ‘{ref}’"
        else:
            found, what = repo.refs.of_collections().get((collection, ref)), f"Collection–ref ({collection}, {ref})"
        if found is None:
            raise NotFound(f"{what} in bindings for commit {checksum} does not exist")
        if found != checksum:
            raise Invalid(f"{what} in bindings for commit {checksum} does not resolve to that commit")
