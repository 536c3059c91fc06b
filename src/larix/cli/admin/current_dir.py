"""larix admin --print-current-dir"""

import argparse
import os

from larix.cli.admin.options import add_sysroot, open_sysroot
from larix.cli.options import Parser
from larix.errors import NotFound


def configure(parser: Parser) -> None:
    add_sysroot(parser)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot:
        deployment = sysroot.booted or next(iter(sysroot.deployments), None)
        if deployment is None:
            raise NotFound(f"Unable to find a deployment in sysroot {sysroot.path}")
        print(os.path.realpath(os.path.join(sysroot.path, deployment.path)))
