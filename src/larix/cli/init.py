"""larix init"""

import argparse

from larix.cli.options import Parser, add_repo, repo_path
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument(
        "--mode",
        default="bare",
        help="archive (to serve; anyone), bare (to deploy from; root), bare-user (to build in; anyone), "
        "bare-user-only (only plain files of root; anyone). Default: bare",
    )
    # As the C tool, which scripts call so.
    parser.add_argument("ignored", nargs="*", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--collection-id", metavar="ID", help="The name by which others know this repo: org.example.Os")


def run(args: argparse.Namespace) -> None:
    Repo.init(repo_path(args), args.mode, args.collection_id).close()
