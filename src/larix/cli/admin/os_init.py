"""larix admin os-init, stateroot-init"""

import argparse

from larix.cli.admin.options import add_sysroot, open_sysroot
from larix.cli.options import Parser
from larix.sysroot.deployment import stateroot_path
from larix.sysroot.stateroot import init_stateroot


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("name", metavar="STATEROOT", help="Name of the operating system, like `debian`")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot:
        init_stateroot(sysroot, args.name)
    print(f"{stateroot_path(args.name)} initialized as OSTree stateroot")
