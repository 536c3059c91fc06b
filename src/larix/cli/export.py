"""larix export"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.cli.output import write_bytes
from larix.cli.streams import check_output
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.ops.export import ExportOptions, export

# Pipes and tapes get whole records.
RECORD_SIZE = 10240


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--no-xattrs", action="store_true", help="Leave extended attributes out")
    parser.add_argument("--subpath", metavar="PATH", default="/", help="Export this directory of the tree")
    parser.add_argument("--prefix", metavar="PATH", default="", help="Put PATH before every name, as it is")
    parser.add_argument("-o", "--output", metavar="PATH", help="Write to this file (default: to stdout)")
    parser.add_argument("commit", metavar="COMMIT", help="A ref, REMOTE:REF, or checksum")


def run(args: argparse.Namespace) -> None:
    options = ExportOptions(args.subpath, args.prefix, xattrs=not args.no_xattrs)
    with open_repo(args) as repo:
        pieces = export(repo, repo.refs.resolve(args.commit), options)
        if args.output is None:
            size = 0
            for piece in pieces:
                write_bytes(piece)
                check_output(wanted=True)
                size += len(piece)
            write_bytes(bytes(-size % RECORD_SIZE))
            check_output(wanted=True)
            return
        # Nothing that is there goes before the tree has been found.
        first = next(pieces)
        with doing(f"Writing {args.output}"), reading.closing(writing.open_output(args.output)) as fd:
            writing.write_all(fd, first)
            for piece in pieces:
                writing.write_all(fd, piece)
