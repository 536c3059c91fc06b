"""larix admin deploy"""

import argparse

from larix.cli.admin.options import (
    add_stateroot,
    add_sysroot,
    deploy_and_tell,
    open_sysroot,
    refuse_to_stage,
    running_kernel_args,
    stateroot_of,
)
from larix.cli.options import Parser, add_missing, read_text
from larix.cli.progress import add_progress
from larix.errors import Invalid
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.sysroot.deploy import find_source
from larix.sysroot.deployment import Deployment, Target
from larix.sysroot.make import DeployOptions
from larix.sysroot.origin import origin_of
from larix.sysroot.plan import KeepOptions


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    add_progress(parser)
    parser.add_argument("--origin-file", metavar="FILE", help="Take the origin from this file, not from REFSPEC")
    parser.add_argument("--no-merge", action="store_true", help="Carry over neither /etc nor kernel arguments")
    parser.add_argument("--retain", action="store_true", help="Keep all older deployments")
    parser.add_argument("--retain-pending", action="store_true", help="Keep those before the booted one")
    parser.add_argument("--retain-rollback", action="store_true", help="Keep those after the booted one")
    parser.add_argument("--no-prune", action="store_true", help="Delete nothing from the repo afterwards")
    parser.add_argument("--not-as-default", action="store_true", help="Keep the default as it is")
    for option, about in (
        ("--karg", "Set a kernel argument, in place of those of its name"),
        ("--karg-append", "Add a kernel argument"),
        ("--karg-delete", "Remove a kernel argument"),
    ):
        parser.add_argument(option, metavar="NAME=VALUE", action="append", default=[], help=about)
    parser.add_argument("--karg-none", action="store_true", help="Take no kernel arguments over")
    parser.add_argument("--karg-proc-cmdline", action="store_true", help="Take those of the running kernel over")
    parser.add_argument(
        "--overlay-initrd", metavar="FILE", action="append", default=[], help="Unpack this over the initramfs"
    )
    parser.add_argument("--stage", action="store_true", help=argparse.SUPPRESS)
    add_missing(parser, "--lock-finalization", "larix cannot stage deployments yet", value=False)
    parser.add_argument("refspec", metavar="REFSPEC", help="REF, REMOTE:REF or checksum")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        stateroot = stateroot_of(args, sysroot)
        commit = sysroot.repo.refs.resolve(args.refspec)
        source = None if args.no_merge else find_source(sysroot, stateroot)
        origin = _read_origin(args.origin_file) if args.origin_file else origin_of(args.refspec)
        if args.stage:
            refuse_to_stage(sysroot)
        keep = KeepOptions(args.retain, args.retain_pending, args.retain_rollback, args.not_as_default)
        how = DeployOptions(source, args.overlay_initrd, keep)
        deploy_and_tell(sysroot, stateroot, Target(commit, origin), _kernel_args(args, source), how, args)


def _read_origin(path: str) -> KeyFile:
    return KeyFile(read_text(path), path)


def _kernel_args(args: argparse.Namespace, source: Deployment | None) -> KernelArgs:
    if args.karg_none and args.karg_delete:
        raise Invalid("Can't specify both --karg-none and --karg-delete")
    found = KernelArgs()
    if args.karg_proc_cmdline:
        found = running_kernel_args()
    elif source is not None and not args.karg_none:
        found = source.entry.options
    for argument in args.karg:
        found = found.replace(argument)
    found = found.append(args.karg_append)
    for argument in args.karg_delete:
        found = found.delete(argument)
    return found
