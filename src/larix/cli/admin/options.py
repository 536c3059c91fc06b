"""What the admin commands share; apart from the others, which start without it."""

import argparse
import os

from larix.cli.options import Parser
from larix.sysroot.sysroot import Sysroot


def add_sysroot(parser: Parser) -> None:
    parser.add_argument("--sysroot", metavar="PATH", help="The sysroot (default: $OSTREE_SYSROOT, else /)")


def open_sysroot(args: argparse.Namespace) -> Sysroot:
    return Sysroot(args.sysroot or os.environ.get("OSTREE_SYSROOT") or "/")
