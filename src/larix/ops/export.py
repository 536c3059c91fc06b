"""A commit's tree as a tar archive.

The format is that of GNU tar. A file that stands in the tree more than once is a hard link to its first place. A member
with extended attributes has a pax header before it, with `SCHILY.xattr.NAME` for each, as GNU tar and libarchive read
and write them.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from larix.errors import Corrupt, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import Piece
from larix.formats.xattrs import Xattrs
from larix.ops.tree.walk import find_path, find_root, walk
from larix.repo.repo import Repo

XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The directory `subpath` of the tree is exported; `prefix` is put before every name as it is."""

    subpath: str = "/"
    prefix: str = ""
    xattrs: bool = True


def export(repo: Repo, commit: Checksum, options: ExportOptions | None = None) -> Iterator[Piece]:
    """Yield the archive in pieces, its end included but no padding to whole records."""
    options = options or ExportOptions()
    top = find_path(repo, find_root(repo, commit), options.subpath)
    if top.dirmeta is None:
        raise Invalid(f"{top.path} is not a directory; only a directory can be exported")
    mtime = repo.load_commit(commit).timestamp
    start = len(top.path.rstrip("/")) + 1
    first: dict[Checksum, str] = {}
    for entry in walk(repo, top):
        member = tarfile.TarInfo(options.prefix + entry.path[start:])
        member.mtime = mtime
        if entry.dirmeta is not None:
            member.type = tarfile.DIRTYPE
            member.name = member.name or "."
            meta = repo.load_dirmeta(entry.dirmeta)
            member.uid, member.gid, member.mode = meta.uid, meta.gid, meta.mode & 0o7777
            yield _header(member, meta.xattrs if options.xattrs else ())
            continue
        with repo.open_file(entry.checksum) as stored:
            header = stored.header
            member.uid, member.gid, member.mode = header.uid, header.gid, header.mode & 0o7777
            if header.is_symlink:
                member.type, member.linkname = tarfile.SYMTYPE, header.target
            elif (place := first.setdefault(entry.checksum, member.name)) != member.name:
                member.type, member.linkname = tarfile.LNKTYPE, place
                yield _header(member, ())
                continue
            else:
                member.size = stored.size
            yield _header(member, header.xattrs if options.xattrs else ())
            yield from _exactly(member, stored.content)
            yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _exactly(member: tarfile.TarInfo, content: Iterator[Piece]) -> Iterator[Piece]:
    left = member.size
    for piece in content:
        left -= len(piece)
        yield piece
    if left:
        raise Corrupt(f"{member.name[:100]}: {member.size - left} bytes of content, where {member.size} were promised")


def _header(member: tarfile.TarInfo, xattrs: Xattrs) -> bytes:
    header = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    if not xattrs:
        return header
    records = b"".join(_record(XATTR.encode() + key + b"=" + value) for key, value in xattrs)
    extension = tarfile.TarInfo("././@PaxHeader")
    extension.type, extension.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % tarfile.BLOCKSIZE)
    return extension.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") + records + padding + header


def _record(pair: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts itself."""
    rest = len(pair) + 2
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b\n" % (length, pair)
