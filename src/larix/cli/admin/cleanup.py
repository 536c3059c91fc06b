"""larix admin cleanup"""

import argparse

from larix.cli.admin.options import add_sysroot, clean, open_sysroot
from larix.cli.options import Parser


def configure(parser: Parser) -> None:
    add_sysroot(parser)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        clean(sysroot)
