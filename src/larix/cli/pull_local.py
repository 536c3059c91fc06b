"""larix pull-local"""

import argparse
import time
from contextlib import closing

from larix.cli.options import Parser, add_missing, open_repo
from larix.cli.progress import progress_of
from larix.cli.pull import add_options, options, parse_refs, print_pulled
from larix.remote.pull import pull_local
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
    with (
        open_repo(args, fsync=not args.disable_fsync) as repo,
        closing(RepoSource(args.source, trusted=not args.untrusted)) as source,
    ):
        began = time.monotonic()
        refs = parse_refs(args.refs) if args.refs else None
        with progress_of(args) as progress:
            pulled = pull_local(repo, source, refs, args.remote, options(args), progress=progress)
        print_pulled(pulled, time.monotonic() - began)
