"""larix fsck"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_lock_timeout, add_repo, open_repo
from larix.cli.output import tell_passed_over
from larix.cli.progress import add_progress, progress_of
from larix.errors import Corrupt, Invalid
from larix.formats.checksum import Checksum
from larix.ops.fsck import Finding, FsckOptions, Report, Stage, Uses, examine, note_damage
from larix.progress import NO_PROGRESS, Progress
from larix.remote.repair import Repaired, fsck_and_repair
from larix.repo.partial import is_damaged
from larix.repo.remotes import list_remotes, load_remote
from larix.repo.repo import Repo

# Of partial commits, so many are named.
MAX_TOLD = 20
STAGES = {
    Stage.REFS: "Validating refs...",
    Stage.COLLECTION_REFS: "Validating refs in collections...",
    Stage.COMMITS: "Enumerating commits...",
    Stage.OBJECTS: "Verifying content integrity of {} commit objects...",
}


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

    def told(stage: Stage, count: int) -> None:
        say(STAGES[stage].format(count))

    options = FsckOptions(
        bindings=args.verify_bindings,
        back_refs=args.verify_back_refs,
        go_on=args.all or args.delete or args.repair or args.json,
        delete=args.delete,
        tombstones=args.add_tombstones,
    )
    with open_repo(args) as repo:
        tell_passed_over(repo)
        repaired: Repaired | None = None
        with shown_progress(args) as progress:
            if args.repair:
                remotes = [load_remote(repo, name) for name in args.remote or list_remotes(repo)]
                found, repaired = fsck_and_repair(repo, remotes, options, told=told, progress=progress)
            else:
                found = examine(repo, options, told=told, progress=progress)
        for commit in found.tombstones:
            say(f"Adding tombstone for commit {commit}")
        if args.json:
            problems = [problem_to_json(finding, found.uses[finding.name], repaired) for finding in found.findings]
            print_json({"commits": len(found.commits), "partial_commits": found.partial, "problems": problems})
        if repaired is not None:
            say_repaired(repaired, found, say)
            if found.problem is not None:
                raise found.problem
        elif found.findings:
            say_damage(found, go_on=options.go_on)
            # What is told is known, whether it can be noted or not.
            note_damage(repo, found, options)
            for commit in found.marked:
                print(f"Marking commit as partial: {commit}", file=sys.stderr)
            many = f"{len(found.findings)} of the objects are missing or corrupt"
            raise Corrupt(f"Repository corruption encountered: {many}")
        if found.partial and not args.json:
            print(f"{len(found.partial)} partial commits not verified")
            say_which(repo, found.partial, say)
        if damaged := [commit for commit in found.partial if is_damaged(repo, commit)]:
            raise Corrupt(
                f"{len(damaged)} partial commits from fsck-detected corruption; "
                "pull them again, or use fsck --repair, to mend them"
            )
    if not args.json:
        print(f"object fsck of {len(found.commits)} commits completed successfully - no errors found.")


def say_which(repo: Repo, partial: list[Checksum], say: Callable[[str], None]) -> None:
    named: dict[Checksum, list[str]] = {}
    for ref, commit in repo.refs.named_commits(lambda error: None):
        named.setdefault(commit, []).append(ref)
    for commit in partial[:MAX_TOLD]:
        say(f"  {commit} ({', '.join(named.get(commit, ['no ref names it']))})")
    if len(partial) > MAX_TOLD:
        say(f"  and {len(partial) - MAX_TOLD} more")


def shown_progress(args: argparse.Namespace) -> AbstractContextManager[Progress]:
    return nullcontext(NO_PROGRESS) if args.quiet else progress_of(args)


def problem_to_json(finding: Finding, uses: Uses, repaired: Repaired | None) -> dict[str, object]:
    name = finding.name
    about: dict[str, object] = {"checksum": name.checksum, "type": name.type.extension}
    about |= {"missing": finding.missing, "problem": finding.problem, "commits": uses.commits, "paths": uses.paths}
    if repaired is not None:
        about["mended"] = name in repaired.mended
        about["moved_to"] = repaired.aside[name][0] if name in repaired.aside else None
    return about


def say_repaired(repaired: Repaired, report: Report, say: Callable[[str], None]) -> None:
    """Print what was mended and what was not. Raises Corrupt where anything was not."""
    for name, finding in sorted(repaired.found.items()):
        where, links = repaired.aside.get(name, ("", 0))
        if name in repaired.mended:
            say(f"Mended {name}{place(report.uses[name])}")
        else:
            print(f"Not mended: {name}{place(report.uses[name])}: {finding.problem}", file=sys.stderr)
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


def place(uses: Uses) -> str:
    return f" ({', '.join(uses.paths)})" if uses.paths else ""


def say_damage(report: Report, *, go_on: bool) -> None:
    """Raises Corrupt for a corrupt object, where the search ended at it."""
    for finding in report.findings:
        uses = report.uses[finding.name]
        users = ", ".join(uses.commits)
        if finding.missing:
            print(f"Object missing in commits {users}: {finding.name}{place(uses)}", file=sys.stderr)
            continue
        message = f"In commits {users}: fsck {finding.name}{place(uses)}: {finding.problem}"
        if not go_on:
            raise Corrupt(message)
        print(message, file=sys.stderr)
