"""larix admin set-default"""

import argparse

from larix.cli.admin.options import add_sysroot, find_index, open_sysroot, put_in_place
from larix.cli.options import Parser


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("index", metavar="INDEX", help="Its place in `admin status`, from 0")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        found = sysroot.deployments[find_index(sysroot, args.index)]
        if found != sysroot.deployments[0]:
            put_in_place(sysroot, [found, *(one for one in sysroot.deployments if one != found)])
