"""larix remote list"""

import argparse

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.repo.remotes import list_remotes, load_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("-u", "--show-urls", action="store_true", help="Print where each remote is too")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        names = list_remotes(repo)
        if args.json:
            print_json([{"name": name, **load_remote(repo, name).options} for name in names])
            return
        width = max(map(len, names), default=0) + 2
        for name in names:
            print(f"{name:<{width}}{load_remote(repo, name).url}" if args.show_urls else name)
