"""What the admin commands share; apart from the others, which start without it."""

import argparse
import os
from collections.abc import Sequence

from larix.cli.options import Parser
from larix.errors import Invalid
from larix.sysroot.bootswap import write_deployments
from larix.sysroot.cleanup import cleanup
from larix.sysroot.deployment import Deployment
from larix.sysroot.etcmerge import EtcChanges
from larix.sysroot.sysroot import Sysroot


def add_sysroot(parser: Parser) -> None:
    parser.add_argument("--sysroot", metavar="PATH", help="The sysroot (default: $OSTREE_SYSROOT, else /)")


def open_sysroot(args: argparse.Namespace) -> Sysroot:
    return Sysroot(args.sysroot or os.environ.get("OSTREE_SYSROOT") or "/")


def add_stateroot(parser: Parser) -> None:
    parser.add_argument("--os", "--stateroot", dest="os", metavar="STATEROOT", help="Default: that of the booted one")


def stateroot_of(args: argparse.Namespace, sysroot: Sysroot) -> str:
    if args.os is not None:
        return str(args.os)
    if sysroot.booted is None:
        raise Invalid(f"No deployment of {sysroot.path} is booted here; name a stateroot with --os=STATEROOT")
    return sysroot.booted.stateroot


def find_index(sysroot: Sysroot, text: str) -> int:
    count = len(sysroot.deployments)
    if not text.isascii() or not text.isdigit() or int(text) >= count:
        raise Invalid(f"Out of range deployment index {text}, expected < {count}; `admin status` counts them from 0")
    return int(text)


def print_changes(changes: EtcChanges) -> None:
    counts = len(changes.modified), len(changes.removed), len(changes.added)
    print("Copying /etc changes: {} modified, {} removed, {} added".format(*counts))


def put_in_place(sysroot: Sysroot, deployments: Sequence[Deployment]) -> None:
    """Make this the list, say so, and clean up after it."""
    before = len(sysroot.deployments)
    write_deployments(sysroot, deployments)
    print(
        f"Bootloader updated; bootconfig swap: yes; bootversion: boot.{sysroot.bootversion}.1, "
        f"deployment count change: {len(deployments) - before}"
    )
    cleanup(sysroot)


def is_mutable() -> bool:
    return "mutable-deployments" in os.environ.get("OSTREE_SYSROOT_DEBUG", "").split(",")
