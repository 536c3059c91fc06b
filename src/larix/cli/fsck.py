"""larix fsck"""

import argparse
from contextlib import closing
from itertools import islice

from larix.cli.options import Parser, add_repo, open_repo
from larix.errors import Corrupt
from larix.ops import fsck


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="Print only what is wrong, and the result")
    parser.add_argument("-a", "--all", action="store_true", help="Go on after the first problem")


def run(args: argparse.Namespace) -> None:
    def say(text: str) -> None:
        if not args.quiet:
            print(text, flush=True)

    with open_repo(args) as repo:
        say("Validating refs...")
        fsck.check_refs(repo)
        say("Enumerating commits...")
        commits = fsck.list_commits(repo)
        say(f"Verifying content integrity of {len(commits)} commit objects...")
        with closing(fsck.check(repo, commits)) as findings:
            found = sorted(findings if args.all else islice(findings, 1), key=lambda finding: finding.name)
        needed = fsck.commits_with(repo, commits, {finding.name for finding in found}) if found else {}
        for finding in found:
            message = f"In commits {', '.join(needed[finding.name])}: fsck {finding.name}: {finding.problem}"
            if not args.all:
                raise Corrupt(message)
            print(message)
        if found:
            raise Corrupt(f"{len(found)} of the objects are missing or corrupt")
    print(f"object fsck of {len(commits)} commits completed successfully - no errors found.")
