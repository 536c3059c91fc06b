"""The summary: what refs a repo has, in one file that a client fetches first.

    (refs a(s(taya{sv})), metadata a{sv})

A ref has the size of its commit in bytes, the commit's checksum, and metadata; refs stand in byte order. Integers
inside the metadata are big-endian, the size is not.
"""

from dataclasses import dataclass

from larix import gvariant
from larix.errors import Corrupt
from larix.formats import checksum as checksums
from larix.formats.checksum import Checksum
from larix.formats.names import is_ref
from larix.formats.objects import MAX_METADATA_SIZE, Metadata

SUMMARY_TYPE = "(a(s(taya{sv}))a{sv})"


@dataclass(frozen=True, slots=True)
class SummaryRef:
    """`size` is that of the commit object in bytes."""

    commit: Checksum
    size: int
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Summary:
    refs: dict[str, SummaryRef]
    metadata: Metadata

    def encode(self) -> bytes:
        refs = [
            (name, (ref.size, checksums.to_bytes(ref.commit), ref.metadata.pairs))
            for name, ref in sorted(self.refs.items())
        ]
        return gvariant.encode(SUMMARY_TYPE, (refs, self.metadata.pairs))


def decode_summary(data: bytes) -> Summary:
    """Raises Corrupt, also for a ref with an impossible name, or repeated, or out of order."""
    if len(data) > MAX_METADATA_SIZE:
        raise Corrupt(f"a summary of {len(data)} bytes; at most {MAX_METADATA_SIZE} are allowed")
    try:
        entries, metadata = gvariant.decode(SUMMARY_TYPE, data)
    except Corrupt as error:
        raise Corrupt(f"not a summary: {error}") from None
    refs: dict[str, SummaryRef] = {}
    before = ""
    for name, (size, commit, about) in entries:
        if not is_ref(name):
            raise Corrupt(f"Invalid ref name {name[:100]!r} in the summary")
        if name <= before:
            raise Corrupt(f"Ref {name!r} in the summary is repeated or out of order")
        before = name
        refs[name] = SummaryRef(checksums.from_bytes(commit), size, Metadata(about))
    return Summary(refs, Metadata(metadata))
