"""larix ls"""

import argparse
import stat
import sys
from collections.abc import Iterator

from larix.cli.json import print_json, xattrs_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.errors import NotFound
from larix.formats import xattrs as xattr_format
from larix.formats.content import FileHeader
from larix.formats.objects import DirMeta
from larix.gvariant.text import to_text
from larix.ops.tree.walk import Entry, children, find_path, find_root, walk
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("-d", "--dironly", action="store_true", help="Print a directory itself, not what is in it")
    parser.add_argument("-R", "--recursive", action="store_true", help="Print everything below a directory")
    parser.add_argument("-C", "--checksum", action="store_true", help="Print checksums of objects")
    parser.add_argument("-X", "--xattrs", action="store_true", help="Print extended attributes")
    parser.add_argument("--nul-filenames-only", action="store_true", help="Print only names, each with a NUL after it")
    parser.add_argument("commit", metavar="COMMIT", help="A ref, REMOTE:REF, or checksum")
    parser.add_argument("paths", metavar="PATH", nargs="*", default=["/"], help="Paths in the tree (default: /)")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        root = find_root(repo, repo.refs.resolve(args.commit))
        if args.json:
            print_json([entry_to_json(repo, entry) for path in args.paths for entry in entries(repo, root, path, args)])
            return
        for path in args.paths:
            found = entries(repo, root, path, args)
            if args.nul_filenames_only:
                sys.stdout.writelines(f"{entry.path}\0" for entry in found)
            else:
                sys.stdout.writelines(f"{line(repo, entry, args)}\n" for entry in found)


def entries(repo: Repo, root: Entry, path: str, args: argparse.Namespace) -> Iterator[Entry]:
    """Return what to list for one path."""
    try:
        top = find_path(repo, root, path)
    except NotFound as error:
        raise NotFound(f"Inspecting path '{path}': {error}") from None
    if args.recursive:
        return walk(repo, top)
    if args.dironly or top.dirmeta is None:
        return iter([top])
    return iter([top, *children(repo, top)])


def entry_to_json(repo: Repo, entry: Entry) -> dict[str, object]:
    meta: DirMeta | FileHeader
    if entry.dirmeta is not None:
        meta = repo.load_dirmeta(entry.dirmeta)
        about: dict[str, object] = {"type": "directory", "dirtree": entry.checksum, "dirmeta": entry.dirmeta}
    else:
        with repo.open_file(entry.checksum) as stored:
            meta = stored.header
        if stored.header.is_symlink:
            about = {"type": "symlink", "checksum": entry.checksum, "target": stored.header.target}
        else:
            about = {"type": "file", "checksum": entry.checksum, "size": stored.size}
    owner = {"uid": meta.uid, "gid": meta.gid, "mode": stat.S_IMODE(meta.mode), "xattrs": xattrs_json(meta.xattrs)}
    return {"path": entry.path, **about, **owner}


def line(repo: Repo, entry: Entry, args: argparse.Namespace) -> str:
    """type, mode, uid, gid, size, [checksums], [xattrs], path, [-> target]"""
    checksums = str(entry.checksum)
    end = entry.path
    if entry.dirmeta is not None:
        meta = repo.load_dirmeta(entry.dirmeta)
        letter, uid, gid, mode, size, xattrs = "d", meta.uid, meta.gid, meta.mode, 0, meta.xattrs
        checksums = f"{checksums} {entry.dirmeta}"
    else:
        header, size = repo.look_at_file(entry.checksum)
        if args.xattrs:
            with repo.open_file(entry.checksum) as stored:
                header = stored.header
        uid, gid, mode, xattrs = header.uid, header.gid, header.mode, header.xattrs
        letter = "l" if header.is_symlink else "-"
        if header.is_symlink:
            end += f" -> {header.target}"
    parts = [f"{letter}{stat.S_IMODE(mode):05o} {uid} {gid} {size:6}"]
    if args.checksum:
        parts.append(checksums)
    if args.xattrs:
        parts.append(f"{{ {to_text(xattr_format.TYPE, xattr_format.to_variant(xattrs))} }}")
    return " ".join([*parts, end])
