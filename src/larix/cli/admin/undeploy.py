"""larix admin undeploy"""

import argparse

from larix.cli.admin.options import add_sysroot, find_index, open_sysroot, put_in_place
from larix.cli.options import Parser
from larix.errors import Invalid


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("index", metavar="INDEX", help="Its place in `admin status`, from 0")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        found = sysroot.deployments[find_index(sysroot, args.index)]
        if found == sysroot.booted:
            raise Invalid(f"Deployment {found.name} is booted; boot another before it is removed")
        if found.is_pinned:
            raise Invalid(f"Deployment {found.name} is pinned; unpin it before it is removed")
        put_in_place(sysroot, [one for one in sysroot.deployments if one != found])
        print(f"Deleted deployment {found.name}")
