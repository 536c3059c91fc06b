"""larix admin pin"""

import argparse

from larix.cli.admin.options import add_sysroot, find_index, open_sysroot
from larix.cli.options import Parser
from larix.sysroot.origin import set_pinned


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("-u", "--unpin", action="store_true", help="Let it be removed again")
    parser.add_argument("indexes", metavar="INDEX", nargs="+", help="Its place in `admin status`, from 0")


def run(args: argparse.Namespace) -> None:
    state = "unpinned" if args.unpin else "pinned"
    with open_sysroot(args) as sysroot, sysroot.lock():
        for index in [find_index(sysroot, text) for text in args.indexes]:
            changed = set_pinned(sysroot, sysroot.deployments[index], not args.unpin)
            print(f"Deployment {index} is {'now' if changed else 'already'} {state}")
