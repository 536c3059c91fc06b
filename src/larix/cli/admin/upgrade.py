"""larix admin upgrade"""

import argparse
import os

from larix.cli.admin.options import (
    add_restart,
    add_stateroot,
    add_sysroot,
    deploy_target,
    find_source_of,
    open_sysroot,
    refuse_to_stage,
)
from larix.cli.json import commit_json, print_json
from larix.cli.options import Parser, add_json, add_missing
from larix.cli.output import date, size
from larix.cli.progress import add_progress, progress_of
from larix.errors import Invalid
from larix.formats.checksum import parse_checksum
from larix.sysroot.forecast import Forecast, forecast_upgrade
from larix.sysroot.upgrade import UpgradeOptions, find_upgrade


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    add_progress(parser)
    parser.add_argument("--allow-downgrade", action="store_true", help="Take a commit that is older too")
    parser.add_argument("--override-commit", metavar="CHECKSUM", help="Take this commit, not the newest of the ref")
    parser.add_argument("--check", action="store_true", help="Only tell what is new, and what it would cost")
    add_json(parser)
    parser.add_argument("--pull-only", action="store_true", help="Bring the new commit, deploy nothing")
    parser.add_argument("--deploy-only", action="store_true", help="Deploy what was brought before")
    add_missing(parser, "--stage", "larix puts deployments in place at once, and cannot stage them yet", value=False)
    add_restart(parser)


def run(args: argparse.Namespace) -> None:
    if args.pull_only and args.deploy_only:
        raise Invalid("Give one of --pull-only and --deploy-only; without them both is done")
    if args.check and args.pull_only:
        raise Invalid("--check brings nothing; leave out --pull-only")
    if args.json and not args.check:
        raise Invalid("--json is for --check")
    override = parse_checksum(args.override_commit) if args.override_commit else None
    with open_sysroot(args) as sysroot, sysroot.lock():
        source = find_source_of(args, sysroot)
        if os.environ.get("OSTREE_EX_STAGE_DEPLOYMENTS"):
            refuse_to_stage(sysroot)
        how = UpgradeOptions(override, args.allow_downgrade, not args.deploy_only)
        if args.check:
            with progress_of(args) as progress:
                found = forecast_upgrade(sysroot, source, how, progress=progress)
            print_forecast(found, args)
            return
        with progress_of(args) as progress:
            target = find_upgrade(sysroot, source, how, progress=progress)
        if target is None:
            print("No update available.")
        elif not args.pull_only:
            deploy_target(sysroot, source, target, args)


def print_forecast(found: Forecast | None, args: argparse.Namespace) -> None:
    if args.json:
        print_json({"update": None if found is None else forecast_json(found)})
    elif found is None:
        print("No update available.")
    else:
        version = found.commit.metadata.find_string("version")
        print(f"Update available: {found.ref}{f' {version}' if version else ''}, of {date(found.commit.timestamp)}")
        print(f"  commit   {found.checksum}")
        print(f"  fetch    {size(found.cost.fetched)} in {found.cost.objects} objects")
        print(f"  disk     {size(found.cost.stored)}; {size(found.free)} are free")
        print(f"  /boot    {size(found.boot)}; {size(found.boot_free)} are free")


def forecast_json(found: Forecast) -> dict[str, object]:
    """Return all amounts in bytes, but for the number of objects."""
    return {
        "ref": found.ref,
        "commit": commit_json(found.checksum, found.commit),
        "objects": found.cost.objects,
        "fetch": found.cost.fetched,
        "disk": found.cost.stored,
        "disk_free": found.free,
        "boot": found.boot,
        "boot_free": found.boot_free,
    }
