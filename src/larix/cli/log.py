"""larix log"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.cli.output import print_commit
from larix.errors import NotFound
from larix.formats.objects import ObjectName, ObjectType


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--raw", action="store_true", help="Print the GVariant of each commit")
    parser.add_argument("rev", metavar="REV", help="The commit to begin with; its parents follow")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        checksum = repo.resolve(args.rev)
        data = repo.load(ObjectName(checksum, ObjectType.COMMIT))
        while True:
            parent = print_commit(checksum, data, raw=args.raw).parent
            if parent is None:
                return
            checksum = parent
            try:
                data = repo.load(ObjectName(checksum, ObjectType.COMMIT))
            except NotFound:
                # A pull takes only as much history as was asked for.
                print("<< History beyond this commit not fetched >>")
                return
