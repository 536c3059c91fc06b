"""larix show"""

import argparse
from collections.abc import Callable

from larix.cli.json import commit_json, metadata_json, print_json, variant_json, xattrs_json
from larix.cli.options import Parser, add_json, add_missing, add_repo, open_repo
from larix.cli.output import print_commit, print_variant, size
from larix.errors import NotFound
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.objects import (
    DIRMETA_TYPE,
    DIRTREE_TYPE,
    Commit,
    Metadata,
    ObjectName,
    ObjectType,
    decode_commit,
    decode_dirtree,
)
from larix.gvariant.text import byteswapped, to_text
from larix.linux import reading
from larix.linux.failures import doing
from larix.ops.commit.sizes import read_sizes
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("--raw", action="store_true", help="Print the object's GVariant")
    parser.add_argument("-B", "--no-byteswap", action="store_true", help="Print numbers without turning them around")
    parser.add_argument("--print-metadata-key", metavar="KEY", help="Print this value of a commit's metadata")
    parser.add_argument("--list-metadata-keys", action="store_true", help="Print the keys of a commit's metadata")
    parser.add_argument("--print-detached-metadata-key", metavar="KEY", help="The same of the metadata beside it")
    parser.add_argument("--list-detached-metadata-keys", action="store_true", help="The same of the metadata beside it")
    parser.add_argument("--print-hex", action="store_true", help="Print a value that is bytes in hexadecimal")
    parser.add_argument("--print-sizes", action="store_true", help="Print how much of a commit is not here yet")
    parser.add_argument("--print-related", action="store_true", help="Print the commits that a commit says are related")
    parser.add_argument("--print-variant-type", metavar="TYPE", help="Print the file OBJECT, a GVariant of this type")
    for option in "--gpg-homedir", "--gpg-verify-remote":
        add_missing(parser, option, "larix cannot check signatures yet")
    parser.add_argument("object", metavar="OBJECT", help="A commit (ref or checksum), or the checksum of any object")


def run(args: argparse.Namespace) -> None:
    if args.print_variant_type is not None:
        with doing(f"Reading {args.object}"):
            data = reading.read_whole(args.object)
        print_variant(args.print_variant_type, data, swap=False)
        return
    with open_repo(args) as repo:
        if args.print_metadata_key is not None or args.list_metadata_keys:
            metadata = repo.load_commit(repo.refs.resolve(args.object)).metadata
            show_metadata(args, metadata, args.print_metadata_key)
        elif args.print_detached_metadata_key is not None or args.list_detached_metadata_keys:
            commit = repo.refs.resolve(args.object)
            show_metadata(args, repo.load_detached_metadata(commit), args.print_detached_metadata_key)
        elif args.print_sizes:
            show_sizes(args, repo, repo.refs.resolve(args.object))
        elif args.print_related:
            show_related(args, repo.load_commit(repo.refs.resolve(args.object)))
        else:
            show(repo, args)


def show_metadata(args: argparse.Namespace, metadata: Metadata, key: str | None) -> None:
    """Print the value of one key, or all keys."""
    if key is None:
        if args.json:
            print_json(metadata_json(metadata, swap=not args.no_byteswap))
        else:
            print("".join(f"{key}\n" for key in sorted(metadata)), end="")
        return
    value = metadata.get(key)
    if value is None:
        raise NotFound(f"No such metadata key '{key}'")
    if args.json:
        print_json(variant_json(value, swap=not args.no_byteswap))
    elif args.print_hex and value.type == "ay":
        print(bytes(value.value).hex())
    else:
        print(to_text(value.type, value.value if args.no_byteswap else byteswapped(value.type, value.value)))


def show_sizes(args: argparse.Namespace, repo: Repo, commit: Checksum) -> None:
    needed, total = read_sizes(repo, commit)
    if args.json:
        print_json({"needed": needed._asdict(), "total": total._asdict()})
        return
    print(f"Compressed size (needed/total): {spaced(size(needed.packed))}/{spaced(size(total.packed))}")
    print(f"Unpacked size (needed/total): {spaced(size(needed.unpacked))}/{spaced(size(total.unpacked))}")
    print(f"Number of objects (needed/total): {needed.objects}/{total.objects}")


def spaced(text: str) -> str:
    """Return the text with spaces at which no line is broken, as the C tool prints sizes here."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def show_related(args: argparse.Namespace, commit: Commit) -> None:
    if args.json:
        print_json([{"name": name, "checksum": checksum.hex()} for name, checksum in commit.related])
        return
    for name, checksum in commit.related:
        print(f"{name} {checksum.hex()}")


def show(repo: Repo, args: argparse.Namespace) -> None:
    checksum = Checksum(args.object) if is_checksum(args.object) else repo.refs.resolve(args.object)
    shows: dict[ObjectType, Callable[[Repo, argparse.Namespace, ObjectName], None]] = {
        ObjectType.COMMIT: show_commit,
        ObjectType.DIR_TREE: show_directory,
        ObjectType.DIR_META: show_directory,
        ObjectType.FILE: show_file,
    }
    for kind, show_one in shows.items():
        if repo.has(name := ObjectName(checksum, kind)):
            show_one(repo, args, name)
            return
    raise NotFound(f"No such object {checksum}")


def show_commit(repo: Repo, args: argparse.Namespace, name: ObjectName) -> None:
    data = repo.load(name)
    if args.json:
        print_json(commit_json(name.checksum, decode_commit(data)))
    else:
        print_commit(name.checksum, data, raw=args.raw, swap=not args.no_byteswap)


def show_directory(repo: Repo, args: argparse.Namespace, name: ObjectName) -> None:
    """Print a dirtree or a dirmeta."""
    kind = name.type.extension
    if not args.json:
        print(f"{kind} {name.checksum}")
        if args.raw:
            type_string = DIRTREE_TYPE if name.type == ObjectType.DIR_TREE else DIRMETA_TYPE
            print_variant(type_string, repo.load(name), swap=not args.no_byteswap)
    elif name.type == ObjectType.DIR_TREE:
        tree = decode_dirtree(repo.load(name))
        dirs = {below: {"dirtree": dirtree, "dirmeta": dirmeta} for below, (dirtree, dirmeta) in tree.dirs.items()}
        print_json({"checksum": name.checksum, "type": kind, "files": dict(tree.files), "dirs": dirs})
    else:
        meta = repo.load_dirmeta(name.checksum)
        owner = {"uid": meta.uid, "gid": meta.gid, "mode": meta.mode, "xattrs": xattrs_json(meta.xattrs)}
        print_json({"checksum": name.checksum, "type": kind, **owner})


def show_file(repo: Repo, args: argparse.Namespace, name: ObjectName) -> None:
    with repo.open_file(name.checksum) as stored:
        header = stored.header
    if args.json:
        about: dict[str, object] = {"checksum": name.checksum, "type": "symlink" if header.is_symlink else "file"}
        about |= {"target": header.target} if header.is_symlink else {"size": stored.size}
        about |= {"uid": header.uid, "gid": header.gid, "mode": header.mode, "xattrs": xattrs_json(header.xattrs)}
        print_json(about)
        return
    print(f"Object: {name.checksum}\nType: file\nFile Type: {'symlink' if header.is_symlink else 'regular'}")
    print(f"Target: {header.target}" if header.is_symlink else f"Size: {stored.size}")
    print(f"Mode: 0{header.mode:o}\nUid: {header.uid}\nGid: {header.gid}")
    print(f"Extended Attributes: {{ {to_text(xattr_format.TYPE, xattr_format.to_variant(header.xattrs))} }}")
