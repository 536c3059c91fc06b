"""larix remote summary"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.cli.summary import add_view_options, view
from larix.errors import NotFound
from larix.remote.open import load_summary
from larix.repo.remotes import load_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_view_options(parser)
    parser.add_argument("--cache-dir", metavar="DIR", help="Accepted; summaries are always fetched anew")
    parser.add_argument("name", metavar="NAME", help="The remote")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        data = load_summary(repo, load_remote(repo, args.name))
    if data is None:
        raise NotFound("Remote server has no summary file")
    view(data, args)
