"""larix remote refs"""

import argparse

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.errors import NotFound
from larix.formats.summary import decode_summary
from larix.remote.open import load_summary
from larix.repo.remotes import load_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("-r", "--revision", action="store_true", help="Print the commit of each ref too")
    parser.add_argument("--cache-dir", metavar="DIR", help="Accepted; summaries are always fetched anew")
    parser.add_argument("name", metavar="NAME", help="The remote")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        data = load_summary(repo, load_remote(repo, args.name))
    if data is None:
        raise NotFound("Remote refs not available; server has no summary file")
    if args.json:
        found = decode_summary(data).refs.items()
        print_json([{"remote": args.name, "ref": ref, "checksum": about.commit} for ref, about in found])
        return
    for ref, about in decode_summary(data).refs.items():
        print(f"{args.name}:{ref}\t{about.commit}" if args.revision else f"{args.name}:{ref}")
