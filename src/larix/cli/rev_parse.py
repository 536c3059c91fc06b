"""larix rev-parse"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.errors import Invalid, NotFound
from larix.formats.objects import ObjectType


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("-S", "--single", action="store_true", help="Print the commit of a repo that has only one")
    parser.add_argument(
        "revs", metavar="REV", nargs="*", default=[], help="A ref or checksum; ^ at its end: the parent"
    )


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.single:
            if args.revs:
                raise Invalid("Cannot specify arguments with --single")
            commits = {name.checksum for name in repo.objects(ObjectType.COMMIT)}
            if not commits:
                raise NotFound("No commit objects found")
            if len(commits) > 1:
                raise Invalid("Multiple commit objects found")
            print(*commits)
            return
        if not args.revs:
            raise Invalid("REV must be specified")
        for rev in args.revs:
            print(repo.refs.resolve(rev))
