"""larix admin init-fs"""

import argparse

from larix.cli.options import Parser
from larix.sysroot.stateroot import init_sysroot


def configure(parser: Parser) -> None:
    parser.add_argument("--modern", action="store_true", help="The same as --epoch=1")
    parser.add_argument(
        "-E",
        "--epoch",
        type=int,
        default=0,
        metavar="N",
        help="1: only boot and ostree, no mount points and homes; 2: and nobody but root may enter ostree (default: 0)",
    )
    # The path is what counts; the C tool takes both.
    parser.add_argument("--sysroot", help=argparse.SUPPRESS)
    parser.add_argument("path", metavar="PATH", help="The root of a disk, or a directory that shall be one")


def run(args: argparse.Namespace) -> None:
    init_sysroot(args.path, epoch=args.epoch or int(args.modern))
