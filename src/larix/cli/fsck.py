"""larix fsck"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_lock_timeout, add_repo, open_repo
from larix.errors import Corrupt
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName
from larix.ops import fsck
from larix.ops.bindings import check_back_refs
from larix.repo.exclusive import Exclusive
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    add_json(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="Print only what is wrong, and the result")
    parser.add_argument("-a", "--all", action="store_true", help="Go on after the first corrupt object")
    parser.add_argument("--delete", action="store_true", help="Delete corrupt objects, so that a pull brings them anew")
    parser.add_argument("--add-tombstones", action="store_true", help="Add tombstones for parents that are not here")
    parser.add_argument("--verify-bindings", action="store_true", help="Compare refs with what commits were made for")
    parser.add_argument(
        "--verify-back-refs", action="store_true", help="Demand that the refs that commits were made for are here"
    )


def run(args: argparse.Namespace) -> None:
    def say(text: str) -> None:
        if not args.quiet and not args.json:
            print(text, flush=True)

    with open_repo(args) as repo:
        say("Validating refs...")
        fsck.check_refs(repo, bindings=args.verify_bindings)
        say("Validating refs in collections...")
        fsck.check_collection_refs(repo, bindings=args.verify_bindings)
        say("Enumerating commits...")
        commits, partial = fsck.list_commits(repo)
        if args.verify_back_refs:
            for commit in commits:
                check_back_refs(repo, commit, repo.load_commit(commit).metadata)
        say(f"Verifying content integrity of {len(commits)} commit objects...")
        if args.add_tombstones:
            for commit in fsck.add_tombstones(repo, commits):
                say(f"Adding tombstone for commit {commit}")
        with closing(fsck.check(repo, commits)) as findings:
            go_on = args.all or args.delete or args.json
            found = list(findings) if go_on else until_corrupt(findings)
        needed = fsck.commits_with(repo, commits, {finding.name for finding in found}) if found else {}
        if args.json:
            problems = [describe(finding, needed[finding.name]) for finding in found]
            print_json({"commits": len(commits), "partial_commits": partial, "problems": problems})
        if found:
            deal_with(repo, args, needed, found)
        if partial and not args.json:
            print(f"{len(partial)} partial commits not verified")
        if damaged := [commit for commit in partial if repo.is_damaged(commit)]:
            raise Corrupt(f"{len(damaged)} partial commits from fsck-detected corruption; pull them again to mend them")
    if not args.json:
        print(f"object fsck of {len(commits)} commits completed successfully - no errors found.")


def describe(finding: fsck.Finding, commits: list[Checksum]) -> dict[str, object]:
    about: dict[str, object] = {"checksum": finding.name.checksum, "type": finding.name.type.extension}
    return about | {"missing": finding.missing, "problem": finding.problem, "commits": commits}


def until_corrupt(findings: Iterator[fsck.Finding]) -> list[fsck.Finding]:
    """Missing objects, of which one must know them all to mend the repo, and at most one that is corrupt."""
    found = []
    for finding in findings:
        found.append(finding)
        if not finding.missing:
            break
    return found


def deal_with(
    repo: Repo,
    args: argparse.Namespace,
    needed: dict[ObjectName, list[Checksum]],
    found: list[fsck.Finding],
) -> None:
    """Say what is wrong, and delete and note what shall be; always raises Corrupt. `needed`: commits with an object."""
    damaged: dict[Checksum, None] = {}
    for finding in sorted(found, key=lambda finding: finding.name):
        users = needed[finding.name]
        if finding.missing:
            print(f"Object missing in commits {', '.join(users)}: {finding.name}", file=sys.stderr)
            damaged.update(dict.fromkeys(users))
            continue
        message = f"In commits {', '.join(users)}: fsck {finding.name}: {finding.problem}"
        if not args.all and not args.delete and not args.json:
            raise Corrupt(message)
        print(message, file=sys.stderr)
        if args.delete:
            damaged.update(dict.fromkeys(users))
    if args.delete:
        with Exclusive(repo) as exclusive:
            exclusive.delete([finding.name for finding in found if not finding.missing])
    for commit in damaged:
        print(f"Marking commit as partial: {commit}", file=sys.stderr)
    fsck.mark_damaged(repo, damaged)
    raise Corrupt(f"Repository corruption encountered: {len(found)} of the objects are missing or corrupt")
