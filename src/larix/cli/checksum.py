"""larix checksum"""

import argparse

from larix.cli.options import Parser
from larix.ops.checksum import checksum_path


def configure(parser: Parser) -> None:
    parser.add_argument("--ignore-xattrs", action="store_true", help="As if it had no extended attributes")
    parser.add_argument("path", metavar="PATH", help="A file, symlink or directory")


def run(args: argparse.Namespace) -> None:
    print(checksum_path(args.path, xattrs=not args.ignore_xattrs))
