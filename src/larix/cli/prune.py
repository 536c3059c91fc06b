"""larix prune"""

import argparse

from larix.cli.dates import parse_date
from larix.cli.options import Parser, add_lock_timeout, add_missing, add_repo, open_repo
from larix.cli.output import size, tell_passed_over
from larix.errors import Invalid
from larix.formats.checksum import parse_checksum
from larix.ops.prune import PruneOptions, delete_commit, plan_prune, prune
from larix.repo.exclusive import Exclusive


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    parser.add_argument("--no-prune", action="store_true", help="Only say what would be deleted")
    parser.add_argument("--refs-only", action="store_true", help="Delete commits that no ref leads to")
    parser.add_argument("--depth", type=int, default=-1, help="Commits to keep before that of a ref (default: all)")
    parser.add_argument("--delete-commit", metavar="COMMIT", action="append", default=[], help="Delete this commit")
    parser.add_argument("--keep-younger-than", metavar="DATE", help="Delete commits that are older")
    add_missing(parser, "--static-deltas-only", "larix does not know static deltas yet", value=False)
    parser.add_argument(
        "--retain-branch-depth", metavar="BRANCH=DEPTH", action="append", default=[], help="Keep so many there"
    )
    parser.add_argument("--only-branch", metavar="BRANCH", action="append", default=[], help="Leave all others alone")
    parser.add_argument("--commit-only", action="store_true", help="Delete commits, and leave what they reached")


def run(args: argparse.Namespace) -> None:
    if args.delete_commit and args.no_prune:
        raise Invalid("Cannot specify both --delete-commit and --no-prune")
    if args.depth < -1:
        raise Invalid(f"Invalid depth {args.depth}: it is a number of commits, or -1 for all")
    options = PruneOptions(
        refs_only=args.refs_only,
        depth=args.depth,
        keep_younger_than=parse_date(args.keep_younger_than) if args.keep_younger_than is not None else None,
        only_branches=tuple(args.only_branch),
        retain_branch_depth=dict(map(_branch_depth, args.retain_branch_depth)),
        commit_only=args.commit_only,
    )
    doomed = [parse_checksum(text) for text in args.delete_commit]
    with open_repo(args) as repo:
        tell_passed_over(repo)
        if doomed:
            with Exclusive(repo) as exclusive:
                for commit in doomed:
                    delete_commit(exclusive, commit)
        plan = plan_prune(repo, options) if args.no_prune else prune(repo, options)
    print(f"Total {'(commit only) ' if args.commit_only else ''}objects: {plan.total}")
    if not plan.unneeded:
        print("No unreachable objects")
    elif args.no_prune:
        print(f"Would delete: {len(plan.unneeded)} objects, freeing {size(plan.size)}")
    else:
        print(f"Deleted {len(plan.unneeded)} objects, {size(plan.size)} freed")


def _branch_depth(text: str) -> tuple[str, int]:
    branch, _, depth = text.rpartition("=")
    try:
        return branch, int(depth)
    except ValueError:
        raise Invalid(f"Invalid value {text}, must specify BRANCH=DEPTH") from None
