"""larix admin deploy"""

import argparse
from pathlib import Path

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
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.linux import files
from larix.sysroot.deploy import DeployOptions, KeepOptions, deploy, find_source, origin_of, plan_order
from larix.sysroot.deployment import Deployment


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    parser.add_argument("--origin-file", metavar="FILE", help="Take the origin from this file, not from REFSPEC")
    parser.add_argument("--no-merge", action="store_true", help="Carry over neither /etc nor kernel arguments")
    parser.add_argument("--retain", action="store_true", help="Keep all older deployments")
    parser.add_argument("--not-as-default", action="store_true", help="Keep the default as it is")
    for option, about in (
        ("--karg", "Set a kernel argument, in place of those of its name"),
        ("--karg-append", "Add a kernel argument"),
        ("--karg-delete", "Remove a kernel argument"),
    ):
        parser.add_argument(option, metavar="NAME=VALUE", action="append", default=[], help=about)
    parser.add_argument("--karg-none", action="store_true", help="Take no kernel arguments over")
    parser.add_argument("--karg-proc-cmdline", action="store_true", help="Take those of the running kernel over")
    for option in "--stage", "--lock-finalization":
        add_missing(parser, option, "larix puts deployments in place at once, and cannot stage them yet", value=False)
    for option in "--retain-pending", "--retain-rollback", "--no-prune":
        add_missing(parser, option, "larix cannot do that yet; --retain keeps all deployments", value=False)
    add_missing(parser, "--overlay-initrd", "larix cannot add to what the initramfs holds yet")
    parser.add_argument("refspec", metavar="REFSPEC", help="REF, REMOTE:REF or checksum")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        stateroot = stateroot_of(args, sysroot)
        commit = sysroot.repo.resolve(args.refspec)
        source = None if args.no_merge else find_source(sysroot, stateroot)
        origin = _read_origin(args.origin_file) if args.origin_file else origin_of(args.refspec)
        how = DeployOptions(source, is_mutable())
        new, changes = deploy(sysroot, stateroot, commit, origin, _kernel_args(args, source), how)
        if source is not None:
            print_changes(changes)
        keep = KeepOptions(args.retain, args.not_as_default)
        booted = sysroot.booted
        put_in_place(sysroot, plan_order(sysroot.deployments, new, booted, source, keep))


def _read_origin(path: str) -> KeyFile:
    with files.doing(f"Reading {path}"):
        return KeyFile(Path(path).read_text(), path)


def _kernel_args(args: argparse.Namespace, source: Deployment | None) -> KernelArgs:
    found = KernelArgs()
    if args.karg_proc_cmdline:
        found = KernelArgs.parse(Path("/proc/cmdline").read_text())
        # What the boot loader added for that boot alone.
        found = found.without("BOOT_IMAGE").without("initrd")
    elif source is not None and not args.karg_none:
        found = source.entry.options
    for argument in args.karg_delete:
        found = found.delete(argument)
    for argument in args.karg:
        found = found.replace(argument)
    return found.append(args.karg_append)
