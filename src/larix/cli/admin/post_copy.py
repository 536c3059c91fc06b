"""larix admin post-copy"""

import argparse

from larix.cli.admin.options import add_sysroot, open_sysroot
from larix.cli.options import Parser
from larix.sysroot.make import guard


def configure(parser: Parser) -> None:
    add_sysroot(parser)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        for deployment in sysroot.deployments:
            guard(sysroot, deployment)
