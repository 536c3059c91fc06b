"""larix admin --print-current-dir"""

import argparse
import os

from larix.cli.admin.options import add_sysroot, no_deployment, open_sysroot
from larix.cli.options import Parser


def configure(parser: Parser) -> None:
    add_sysroot(parser)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot:
        deployment = sysroot.booted or next(iter(sysroot.deployments), None)
        if deployment is None:
            raise no_deployment(sysroot)
        print(os.path.realpath(os.path.join(sysroot.path, deployment.path)))
