"""larix show"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.cli.output import print_commit, print_variant
from larix.errors import NotFound
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.objects import DIRMETA_TYPE, DIRTREE_TYPE, ObjectName, ObjectType
from larix.gvariant.text import byteswapped, to_text
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--raw", action="store_true", help="Print the object's GVariant")
    parser.add_argument("-B", "--no-byteswap", action="store_true", help="Print numbers without turning them around")
    parser.add_argument("--print-metadata-key", metavar="KEY", help="Print this value of a commit's metadata")
    parser.add_argument("--list-metadata-keys", action="store_true", help="Print the keys of a commit's metadata")
    parser.add_argument("object", metavar="OBJECT", help="A commit (ref or checksum), or the checksum of any object")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.print_metadata_key is not None or args.list_metadata_keys:
            metadata = repo.load_commit(repo.resolve(args.object)).metadata
            if args.list_metadata_keys:
                print("".join(f"{key}\n" for key in sorted(metadata)), end="")
                return
            value = metadata.get(args.print_metadata_key)
            if value is None:
                raise NotFound(f"No such metadata key '{args.print_metadata_key}'")
            shown = value.value if args.no_byteswap else byteswapped(value.type, value.value)
            print(to_text(value.type, shown))
        else:
            show(repo, args)


def show(repo: Repo, args: argparse.Namespace) -> None:
    checksum = Checksum(args.object) if is_checksum(args.object) else repo.resolve(args.object)
    swap = not args.no_byteswap
    if repo.has(name := ObjectName(checksum, ObjectType.COMMIT)):
        print_commit(checksum, repo.load(name), raw=args.raw, swap=swap)
        return
    for kind, type_string in (ObjectType.DIR_TREE, DIRTREE_TYPE), (ObjectType.DIR_META, DIRMETA_TYPE):
        if repo.has(name := ObjectName(checksum, kind)):
            print(f"{kind.extension} {checksum}")
            if args.raw:
                print_variant(type_string, repo.load(name), swap=swap)
            return
    if not repo.has(ObjectName(checksum, ObjectType.FILE)):
        raise NotFound(f"No such object {checksum}")
    with repo.open_file(checksum) as stored:
        header = stored.header
    print(f"Object: {checksum}\nType: file\nFile Type: {'symlink' if header.is_symlink else 'regular'}")
    print(f"Target: {header.target}" if header.is_symlink else f"Size: {stored.size}")
    print(f"Mode: 0{header.mode:o}\nUid: {header.uid}\nGid: {header.gid}")
    print(f"Extended Attributes: {{ {to_text(xattr_format.TYPE, xattr_format.to_variant(header.xattrs))} }}")
