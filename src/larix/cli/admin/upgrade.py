"""larix admin upgrade"""

import argparse

from larix.cli.admin.options import (
    add_stateroot,
    add_sysroot,
    is_mutable,
    open_sysroot,
    print_changes,
    put_in_place,
    stateroot_of,
)
from larix.cli.options import Parser, add_missing
from larix.errors import Invalid, NotFound
from larix.formats.checksum import parse_checksum
from larix.sysroot.deploy import DeployOptions, KeepOptions, deploy, find_source, plan_order
from larix.sysroot.upgrade import fetch, find_target, load_refspec


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    parser.add_argument("--allow-downgrade", action="store_true", help="Take a commit that is older too")
    parser.add_argument("--override-commit", metavar="CHECKSUM", help="Take this commit, not the newest of the ref")
    parser.add_argument("--pull-only", action="store_true", help="Bring the new commit, deploy nothing")
    parser.add_argument("--deploy-only", action="store_true", help="Deploy what was brought before")
    add_missing(parser, "--stage", "larix puts deployments in place at once, and cannot stage them yet", value=False)
    for names in "-r --reboot", "-k --kexec":
        add_missing(parser, names, "larix cannot restart the machine yet", value=False)


def run(args: argparse.Namespace) -> None:
    if args.pull_only and args.deploy_only:
        raise Invalid("Give one of --pull-only and --deploy-only; without them both is done")
    override = parse_checksum(args.override_commit) if args.override_commit else None
    with open_sysroot(args) as sysroot, sysroot.lock():
        stateroot = stateroot_of(args, sysroot)
        source = find_source(sysroot, stateroot)
        if source is None:
            raise NotFound(f"Nothing of stateroot {stateroot} is deployed; `larix admin deploy` makes the first")
        load_refspec(source)
        if not args.deploy_only:
            fetch(sysroot, source, override)
        target = find_target(sysroot, source, allow_downgrade=args.allow_downgrade)
        if target is None:
            print("No update available.")
            return
        if args.pull_only:
            return
        how = DeployOptions(source, is_mutable())
        new, changes = deploy(sysroot, stateroot, target, source.origin, source.entry.options, how)
        print_changes(changes)
        put_in_place(sysroot, plan_order(sysroot.deployments, new, sysroot.booted, source, KeepOptions()))
