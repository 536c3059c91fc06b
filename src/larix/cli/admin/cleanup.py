"""larix admin cleanup"""

import argparse

from larix.cli.admin.options import add_sysroot, clean, describe_held, open_sysroot
from larix.cli.json import print_json
from larix.cli.options import Parser, add_json
from larix.cli.output import size
from larix.errors import Invalid
from larix.sysroot.cleanup import CleanupPlan, plan_cleanup


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="Only tell what would be removed")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    if args.json and not args.dry_run:
        raise Invalid("--json is for --dry-run")
    with open_sysroot(args) as sysroot, sysroot.lock():
        if not args.dry_run:
            clean(sysroot)
            return
        plan = plan_cleanup(sysroot)
    if args.json:
        print_json(plan_json(plan))
    else:
        print_cleanup(plan)


def print_cleanup(plan: CleanupPlan) -> None:
    for held in plan.held:
        print(f"Held: {describe_held(held)}")
    for kind, path in plan.removals:
        print(f"Would remove {kind}: {path}")
    for ref, checksum in plan.refs.items():
        print(f"Would {'delete' if checksum is None else 'set'} ref: {ref}")
    if plan.prune is not None and plan.prune.unneeded:
        print(f"Would delete: {len(plan.prune.unneeded)} objects, freeing {size(plan.size)}")
    if plan.is_empty:
        print("Nothing to clean up.")


def plan_json(plan: CleanupPlan) -> dict[str, object]:
    """`size` is in bytes."""
    return {
        "removals": [{"kind": kind, "path": path} for kind, path in plan.removals],
        "held": [{"path": held.path, "reason": held.claim} for held in plan.held],
        "refs": plan.refs,
        "objects": len(plan.prune.unneeded) if plan.prune is not None else 0,
        "size": plan.size,
    }
