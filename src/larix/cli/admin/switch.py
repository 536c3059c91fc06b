"""larix admin switch"""

import argparse

from larix.cli.admin.options import (
    add_restart,
    add_stateroot,
    add_sysroot,
    deploy_target,
    find_source_of,
    open_sysroot,
)
from larix.cli.options import Parser
from larix.cli.progress import add_progress, progress_of
from larix.repo.refs import find_ref
from larix.repo.transaction import Transaction
from larix.sysroot.origin import load_refspec
from larix.sysroot.upgrade import find_switch


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    add_stateroot(parser)
    add_progress(parser)
    add_restart(parser)
    parser.add_argument("refspec", metavar="REFSPEC", help="REMOTE:REF; REF or REMOTE: alone keeps the other")


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot, sysroot.lock():
        source = find_source_of(args, sysroot)
        with progress_of(args) as progress:
            target = find_switch(sysroot, source, args.refspec, progress=progress)
        deploy_target(sysroot, source, target, args)
        remote, ref = load_refspec(source)
        if remote is not None:
            print(f"Deleting ref '{source.refspec}'")
            # There is none where it followed one commit, or where somebody was faster.
            if find_ref(sysroot.repo.fd, remote, ref) is not None:
                with Transaction(sysroot.repo) as transaction:
                    transaction.set_ref(remote, ref, None)
                    transaction.commit()
