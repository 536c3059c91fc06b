"""larix remote show-url"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.repo.remotes import load_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("name", metavar="NAME", help="The remote")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        print(load_remote(repo, args.name).url)
