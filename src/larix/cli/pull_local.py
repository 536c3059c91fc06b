"""larix pull-local"""

import argparse
import time

from larix.cli.options import Parser, add_missing, open_repo
from larix.cli.progress import progress_of
from larix.cli.pull import add_options, options, parse_refs, print_pulled
from larix.remote.pull import pull
from larix.remote.repo_source import RepoSource


def configure(parser: Parser) -> None:
    add_options(parser)
    parser.add_argument("--remote", metavar="NAME", help="Make the refs branches of this remote")
    for option in "--gpg-verify", "--gpg-verify-summary":
        add_missing(parser, option, "larix cannot check signatures yet; nothing was pulled", value=False)
    parser.add_argument("source", metavar="SRC_REPO", help="A repo of any mode")
    parser.add_argument(
        "refs", metavar="REF", nargs="*", default=[], help="Branches or checksums; all branches if none is named"
    )


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.disable_fsync:
            repo.fsync = False
        source = RepoSource(args.source, trusted=not args.untrusted)
        try:
            began = time.monotonic()
            wanted = parse_refs(args.refs) if args.refs else {**source.refs()}
            with progress_of(args) as progress:
                pulled = pull(repo, source, wanted, args.remote, options(args), progress=progress)
            print_pulled(pulled, source, time.monotonic() - began)
        finally:
            source.close()
