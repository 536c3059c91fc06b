"""larix admin config-diff"""

import argparse

from larix.cli.admin.options import add_stateroot, add_sysroot, find_source_of, open_sysroot
from larix.cli.diff import print_changes
from larix.cli.json import print_json
from larix.cli.options import Parser, add_json
from larix.sysroot.etcmerge import find_changes


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot:
        changes = find_changes(sysroot, find_source_of(args, sysroot))
    if args.json:
        print_json({"modified": changes.modified, "removed": changes.removed, "added": changes.added})
    else:
        print_changes(changes)
