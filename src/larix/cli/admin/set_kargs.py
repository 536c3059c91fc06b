"""larix admin instutil set-kargs"""

import argparse
from dataclasses import replace

from larix.cli.admin.options import add_sysroot, no_deployment, open_sysroot, put_in_place, running_kernel_args
from larix.cli.options import Parser
from larix.formats.kargs import KernelArgs


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("--import-proc-cmdline", action="store_true", help="Begin with those of the running kernel")
    parser.add_argument("--merge", action="store_true", help="Begin with those of the deployment")
    for option, about in (
        ("--replace", "Set a kernel argument, in place of those of its name"),
        ("--append", "Add a kernel argument"),
    ):
        parser.add_argument(option, metavar="NAME=VALUE", action="append", default=[], help=about)
    parser.add_argument("arguments", metavar="ARG", nargs="*", default=[], help="Kernel arguments to add")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        if not sysroot.deployments:
            raise no_deployment(sysroot)
        first, *others = sysroot.deployments
        options = KernelArgs()
        if args.import_proc_cmdline:
            options = running_kernel_args()
        elif args.merge:
            options = first.entry.options
        for argument in args.replace:
            options = options.replace(argument)
        options = options.append([*args.append, *args.arguments])
        put_in_place(sysroot, [replace(first, entry=first.entry.set("options", str(options))), *others])
