"""larix fsck"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_lock_timeout, add_repo, open_repo
from larix.cli.output import tell_passed_over
from larix.cli.progress import add_progress, progress_of
from larix.errors import Corrupt, Invalid
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.ops import fsck
from larix.ops.bindings import check_back_refs
from larix.progress import NO_PROGRESS, Progress
from larix.remote.repair import Repaired, repair
from larix.repo.exclusive import Exclusive
from larix.repo.remotes import list_remotes, load_remote
from larix.repo.repo import Repo

# Of partial commits, so many are named.
MAX_TOLD = 20


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    add_json(parser)
    add_progress(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="Print only what is wrong, and the result")
    parser.add_argument("-a", "--all", action="store_true", help="Go on after the first corrupt object")
    parser.add_argument("--delete", action="store_true", help="Delete corrupt objects, so that a pull brings them anew")
    parser.add_argument("--repair", action="store_true", help="Move corrupt objects aside and bring them anew")
    parser.add_argument(
        "--remote", metavar="NAME", action="append", help="Repair from this remote (default: from all, one by one)"
    )
    parser.add_argument("--add-tombstones", action="store_true", help="Add tombstones for parents that are not here")
    parser.add_argument("--verify-bindings", action="store_true", help="Compare refs with what commits were made for")
    parser.add_argument(
        "--verify-back-refs", action="store_true", help="Demand that the refs that commits were made for are here"
    )


def run(args: argparse.Namespace) -> None:
    if args.remote and not args.repair:
        raise Invalid("--remote says where --repair takes objects from; give both")

    def say(text: str) -> None:
        if not args.quiet and not args.json:
            print(text, flush=True)

    # What is to be mended or deleted may be the commit that a ref names.
    refs_first = not args.repair and not args.delete
    with open_repo(args) as repo:
        tell_passed_over(repo)
        say("Validating refs...")
        if refs_first:
            check_refs(repo, args, say)
        say("Enumerating commits...")
        commits, partial = fsck.list_commits(repo)
        if refs_first:
            check_commits(repo, args, commits, say)
        if args.repair:
            remotes = [load_remote(repo, name) for name in args.remote or list_remotes(repo)]
            damaged = [commit for commit in partial if repo.is_damaged(commit)]
            commits = sorted({*commits, *damaged, *fsck.find_missing_commits(repo)})
        say(f"Verifying content integrity of {len(commits)} commit objects...")
        with shown_progress(args) as progress, closing(fsck.check(repo, commits, progress=progress)) as findings:
            go_on = args.all or args.delete or args.repair or args.json
            found = list(findings) if go_on else until_corrupt(findings)
        if args.delete and any(one.name.type != ObjectType.FILE for one in found):
            # What lies below it was not looked at, and a pull would count on it.
            known = {one.name for one in found}
            found += [one for one in fsck.check_all(repo) if not one.missing and one.name not in known]
        repaired: Repaired | None = None
        if args.repair and (found or damaged):
            repaired = repair(repo, found, commits, remotes)
            found = [*repaired.found.values()]
            partial = [commit for commit in partial if repo.is_partial(commit)]
        needed = fsck.find_uses(repo, commits, {finding.name for finding in found}) if found else {}
        if args.json:
            problems = [describe(finding, needed[finding.name], repaired) for finding in found]
            print_json({"commits": len(commits), "partial_commits": partial, "problems": problems})
        if repaired is not None:
            report(repaired, needed, say)
        elif found:
            deal_with(repo, args, needed, found)
        if not refs_first:
            check_refs(repo, args, say)
            check_commits(repo, args, commits, say)
        if partial and not args.json:
            print(f"{len(partial)} partial commits not verified")
            say_which(repo, partial, say)
        if damaged := [commit for commit in partial if repo.is_damaged(commit)]:
            raise Corrupt(
                f"{len(damaged)} partial commits from fsck-detected corruption; "
                "pull them again, or use fsck --repair, to mend them"
            )
    if not args.json:
        print(f"object fsck of {len(commits)} commits completed successfully - no errors found.")


def say_which(repo: Repo, partial: list[Checksum], say: Callable[[str], None]) -> None:
    named: dict[Checksum, list[str]] = {}
    for ref, commit in repo.named_commits(lambda error: None):
        named.setdefault(commit, []).append(ref)
    for commit in partial[:MAX_TOLD]:
        say(f"  {commit} ({', '.join(named.get(commit, ['no ref names it']))})")
    if len(partial) > MAX_TOLD:
        say(f"  and {len(partial) - MAX_TOLD} more")


def shown_progress(args: argparse.Namespace) -> AbstractContextManager[Progress]:
    return nullcontext(NO_PROGRESS) if args.quiet else progress_of(args)


def check_refs(repo: Repo, args: argparse.Namespace, say: Callable[[str], None]) -> None:
    fsck.check_refs(repo, bindings=args.verify_bindings)
    say("Validating refs in collections...")
    fsck.check_collection_refs(repo, bindings=args.verify_bindings)


def check_commits(repo: Repo, args: argparse.Namespace, commits: list[Checksum], say: Callable[[str], None]) -> None:
    if args.verify_back_refs:
        for commit in commits:
            check_back_refs(repo, commit, repo.load_commit(commit).metadata)
    if args.add_tombstones:
        for commit in fsck.add_tombstones(repo, commits):
            say(f"Adding tombstone for commit {commit}")


def describe(finding: fsck.Finding, uses: fsck.Uses, repaired: Repaired | None) -> dict[str, object]:
    name = finding.name
    about: dict[str, object] = {"checksum": name.checksum, "type": name.type.extension}
    about |= {"missing": finding.missing, "problem": finding.problem, "commits": uses.commits, "paths": uses.paths}
    if repaired is not None:
        about["mended"] = name in repaired.mended
        about["moved_to"] = repaired.aside[name][0] if name in repaired.aside else None
    return about


def report(repaired: Repaired, needed: dict[ObjectName, fsck.Uses], say: Callable[[str], None]) -> None:
    """What was mended and what was not; raises Corrupt where anything was not."""
    for name, finding in sorted(repaired.found.items()):
        where, links = repaired.aside.get(name, ("", 0))
        if name in repaired.mended:
            say(f"Mended {name}{place(needed[name])}")
        else:
            print(f"Not mended: {name}{place(needed[name])}: {finding.problem}", file=sys.stderr)
        if where:
            say(f"  The damaged one is kept as {where}")
        if links:
            say(f"  {links} files of checkouts or deployments share its content; make them anew")
    for remote, error in repaired.failures.items():
        if repaired.left:
            print(f"Remote {remote}: {error}", file=sys.stderr)
    if repaired.left:
        also = "" if repaired.failures else "; no remote is known to bring them from"
        raise Corrupt(f"{len(repaired.left)} of {len(repaired.found)} damaged objects could not be mended{also}")


def place(uses: fsck.Uses) -> str:
    return f" ({', '.join(uses.paths)})" if uses.paths else ""


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
    needed: dict[ObjectName, fsck.Uses],
    found: list[fsck.Finding],
) -> None:
    """Say what is wrong, and delete and note what shall be; always raises Corrupt. `needed`: commits with an object."""
    damaged: dict[Checksum, None] = {}
    for finding in sorted(found, key=lambda finding: finding.name):
        uses = needed[finding.name]
        users = uses.commits
        if finding.missing:
            print(f"Object missing in commits {', '.join(users)}: {finding.name}{place(uses)}", file=sys.stderr)
            damaged.update(dict.fromkeys(users))
            continue
        message = f"In commits {', '.join(users)}: fsck {finding.name}{place(uses)}: {finding.problem}"
        if not args.all and not args.delete and not args.json:
            raise Corrupt(message)
        print(message, file=sys.stderr)
        if args.delete:
            damaged.update(dict.fromkeys(users))
    if args.delete:
        with Exclusive(repo) as exclusive:
            bad, needed_by = fsck.still_damaged(exclusive, [one.name for one in found if not one.missing])
            damaged |= dict.fromkeys(sorted(needed_by))
            exclusive.mark_damaged(damaged)
            exclusive.delete(bad)
    else:
        fsck.mark_damaged(repo, damaged)
    for commit in damaged:
        print(f"Marking commit as partial: {commit}", file=sys.stderr)
    raise Corrupt(f"Repository corruption encountered: {len(found)} of the objects are missing or corrupt")
