"""larix remote delete"""

import argparse

from larix.cli.options import Parser, add_repo, add_sysroot_of_repo, open_repo
from larix.repo.remotes import delete_remote, unknown_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_sysroot_of_repo(parser)
    parser.add_argument("--if-exists", action="store_true", help="It is no error where the remote is not there")
    parser.add_argument("name", metavar="NAME", help="The remote to forget; its refs stay")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if not delete_remote(repo, args.name) and not args.if_exists:
            raise unknown_remote(args.name)
