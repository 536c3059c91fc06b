"""larix pull-local"""

import argparse
import time

from larix.cli.options import Parser, add_missing, open_repo
from larix.cli.progress import progress_of
from larix.cli.pull import add_options, options, parse_refs, print_pulled
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import parse_refspec
from larix.remote.pull import pull
from larix.remote.repo_source import RepoSource
from larix.remote.source import Pulled


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
    with open_repo(args, fsync=not args.disable_fsync) as repo:
        source = RepoSource(args.source, trusted=not args.untrusted)
        try:
            began = time.monotonic()
            pulled = Pulled()
            with progress_of(args) as progress:
                for remote, wanted in by_remotes(source, args.refs).items():
                    to = args.remote if args.remote is not None else remote
                    pulled.add(pull(repo, source, wanted, to, options(args), progress=progress))
            print_pulled(pulled, source, time.monotonic() - began)
        finally:
            source.close()


def by_remotes(source: RepoSource, named: list[str]) -> dict[str | None, dict[str, Checksum | None]]:
    """What is to be pulled, for each remote of the source whose branches were named as such; all of its own if none."""
    if not named:
        return {None: {**source.refs()}}
    found: dict[str | None, dict[str, Checksum | None]] = {}
    for text, given in parse_refs(named).items():
        if is_checksum(text):
            found.setdefault(None, {})[text] = given
            continue
        remote, ref = parse_refspec(text)
        found.setdefault(remote, {})[ref] = given or source.look_up(text)
    return found
