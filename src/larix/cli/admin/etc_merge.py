"""larix admin etc-merge"""

import argparse

from larix.cli.admin.options import (
    add_stateroot,
    add_sysroot,
    conflict_to_json,
    describe_conflict,
    find_source_of,
    open_sysroot,
    paths_left_out,
)
from larix.cli.diff import print_changes
from larix.cli.json import print_json
from larix.cli.options import Parser, add_json
from larix.errors import Invalid
from larix.ops.diff import Changes
from larix.sysroot.etcmerge import plan_commit
from larix.sysroot.origin import load_refspec
from larix.sysroot.upgrade import resolve_ref


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    add_json(parser)
    parser.add_argument("--plan", action="store_true", help="Show what a deployment would do; nothing is changed")
    parser.add_argument("rev", metavar="REV", nargs="?", help="What to deploy (default: the newest that is here)")


def run(args: argparse.Namespace) -> None:
    if not args.plan:
        raise Invalid("Give --plan; the merge itself is a part of `admin deploy`, `upgrade` and `switch`")
    with open_sysroot(args) as sysroot:
        source = find_source_of(args, sysroot)
        commit = sysroot.repo.refs.resolve(args.rev) if args.rev else resolve_ref(sysroot.repo, *load_refspec(source))
        plan = plan_commit(sysroot, source, commit)
    if args.json:
        incoming, kept = plan.incoming, plan.kept
        print_json(
            {
                "from": source.checksum,
                "to": commit,
                "added": incoming.added,
                "changed": incoming.modified,
                "removed": incoming.removed,
                "kept": {"added": kept.added, "changed": kept.modified, "removed": kept.removed},
                "left_out": paths_left_out(plan),
                "conflicts": [conflict_to_json(one) for one in plan.conflicts],
            }
        )
        return
    print(f"/etc of {source.name} in a deployment of {commit}")
    _print("From the new defaults:", plan.incoming)
    _print("Kept of yours:", plan.kept)
    if left_out := paths_left_out(plan):
        print("Not carried over, as FIFOs, sockets or devices:")
    for path in left_out:
        print(f"     {path}")
    if plan.conflicts:
        print("Conflicts:")
    for conflict in plan.conflicts:
        print(f"C    {describe_conflict(conflict)}")


def _print(title: str, changes: Changes) -> None:
    if changes != Changes():
        print(title)
        print_changes(changes)
