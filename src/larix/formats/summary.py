"""The summary: what refs a repo has, in one file that a client fetches first.

    (refs a(s(taya{sv})), metadata a{sv})

A ref has the size of its commit in bytes, the commit's checksum, and metadata; refs stand in byte order. Integers
inside the metadata are big-endian, the size is not. Refs of other collections than the repo's own are in the metadata:
`ostree.summary.collection-map`, a{sa(s(taya{sv}))}.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import larix.gvariant as gvariant
from larix.errors import Corrupt, Invalid
from larix.formats import checksum as checksums
from larix.formats.checksum import Checksum
from larix.formats.names import check_collection, is_ref
from larix.formats.objects import MAX_METADATA_SIZE, Metadata
from larix.gvariant import Variant

SUMMARY_TYPE = "(a(s(taya{sv}))a{sv})"
COLLECTION_ID = "ostree.summary.collection-id"
COLLECTION_MAP = "ostree.summary.collection-map"
COLLECTION_MAP_TYPE = "a{sa(s(taya{sv}))}"


@dataclass(frozen=True, slots=True)
class SummaryRef:
    """`size` is that of the commit object in bytes."""

    commit: Checksum
    size: int
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Summary:
    """`collections` is what the metadata say of others: collection -> its refs."""

    refs: dict[str, SummaryRef]
    metadata: Metadata
    collections: dict[str, dict[str, SummaryRef]] = field(default_factory=dict)

    def encode(self) -> bytes:
        return gvariant.encode(SUMMARY_TYPE, (_encode_refs(self.refs), self.metadata.pairs))


def encode_collections(collections: Mapping[str, Mapping[str, SummaryRef]]) -> Variant:
    return Variant(COLLECTION_MAP_TYPE, [(name, _encode_refs(refs)) for name, refs in sorted(collections.items())])


def _encode_refs(refs: Mapping[str, SummaryRef]) -> list[Any]:
    return [
        (name, (ref.size, checksums.to_bytes(ref.commit), ref.metadata.pairs)) for name, ref in sorted(refs.items())
    ]


def decode_summary(data: bytes) -> Summary:
    """Raises Corrupt, also for a ref with an impossible name, or repeated, or out of order."""
    if len(data) > MAX_METADATA_SIZE:
        raise Corrupt(f"a summary of {len(data)} bytes; at most {MAX_METADATA_SIZE} are allowed")
    try:
        entries, pairs = gvariant.decode(SUMMARY_TYPE, data)
    except Corrupt as error:
        raise Corrupt(f"not a summary: {error}") from None
    metadata = Metadata(pairs)
    collections: dict[str, dict[str, SummaryRef]] = {}
    found = metadata.get(COLLECTION_MAP)
    if found is not None and found.type == COLLECTION_MAP_TYPE:
        for name, refs in found.value:
            try:
                collections[check_collection(name)] = _decode_refs(refs)
            except Invalid as error:
                raise Corrupt(f"{error} in the summary") from None
    return Summary(_decode_refs(entries), metadata, collections)


def _decode_refs(entries: Iterable[Any]) -> dict[str, SummaryRef]:
    refs: dict[str, SummaryRef] = {}
    before = ""
    for name, (size, commit, about) in entries:
        if not is_ref(name):
            raise Corrupt(f"Invalid ref name {name[:100]!r} in the summary")
        if name <= before:
            raise Corrupt(f"Ref {name!r} in the summary is repeated or out of order")
        before = name
        refs[name] = SummaryRef(checksums.from_bytes(commit), size, Metadata(about))
    return refs
