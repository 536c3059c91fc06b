"""larix checkout"""

import argparse
from pathlib import Path

from larix.cli.options import Parser, add_repo, open_repo
from larix.ops.checkout import CheckoutOptions, checkout


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("-U", "--user-mode", action="store_true", help="Change no owners, set no extended attributes")
    parser.add_argument("-H", "--require-hardlinks", action="store_true", help="Fail rather than copy a file")
    parser.add_argument("-C", "--force-copy", action="store_true", help="Copy every file, never link it")
    parser.add_argument("--subpath", metavar="PATH", default="/", help="Check out only this part of the tree")
    parser.add_argument("commit", metavar="COMMIT", help="A ref, REMOTE:REF, or checksum")
    parser.add_argument("destination", metavar="DESTINATION", nargs="?", help="The directory to make (default: COMMIT)")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        options = CheckoutOptions(args.user_mode, args.force_copy, args.require_hardlinks, args.subpath)
        checkout(repo, repo.resolve(args.commit), Path(args.destination or args.commit), options)
