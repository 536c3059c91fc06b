"""larix init"""

import argparse

from larix.cli.options import Parser, add_repo, repo_path
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument(
        "--mode",
        default="bare",
        help="archive (to serve; anyone), bare (to deploy from; root), bare-user (to build in; anyone). Default: bare",
    )


def run(args: argparse.Namespace) -> None:
    Repo.init(repo_path(args), args.mode).close()
