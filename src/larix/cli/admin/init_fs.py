"""larix admin init-fs"""

import argparse

from larix.cli.options import Parser, add_missing
from larix.sysroot.stateroot import init_sysroot


def configure(parser: Parser) -> None:
    parser.add_argument("--modern", action="store_true", help="Make only boot and ostree, no mount points and homes")
    add_missing(parser, "-E --epoch", "larix knows --modern alone yet")
    # The path is what counts; the C tool takes both.
    parser.add_argument("--sysroot", help=argparse.SUPPRESS)
    parser.add_argument("path", metavar="PATH", help="The root of a disk, or a directory that shall be one")


def run(args: argparse.Namespace) -> None:
    init_sysroot(args.path, modern=args.modern)
