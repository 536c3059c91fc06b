"""larix admin kargs edit-in-place"""

import argparse
from dataclasses import replace

from larix.cli.admin.options import add_sysroot, no_deployment, open_sysroot
from larix.cli.options import Parser
from larix.formats.kargs import name_of
from larix.sysroot.bootswap import write_deployments
from larix.sysroot.cleanup import cleanup
from larix.sysroot.deployment import Deployment


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument(
        "--append-if-missing",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="Add a kernel argument where there is none of its name",
    )
    # The C tool takes words here, and does nothing with them.
    parser.add_argument("words", nargs="*", default=[], help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        if not sysroot.deployments:
            raise no_deployment(sysroot)
        changed = [_append(deployment, args.append_if_missing) for deployment in sysroot.deployments]
        if any(new.entry != old.entry for new, old in zip(changed, sysroot.deployments, strict=True)):
            write_deployments(sysroot, changed)
            cleanup(sysroot, prune=False)


def _append(deployment: Deployment, arguments: list[str]) -> Deployment:
    options = deployment.entry.options
    for argument in arguments:
        if options.find(name_of(argument)) is None:
            options = options.append([argument])
    if options == deployment.entry.options:
        return deployment
    return replace(deployment, entry=deployment.entry.set("options", str(options)))
