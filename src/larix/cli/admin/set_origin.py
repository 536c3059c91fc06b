"""larix admin set-origin"""

import argparse

from larix.cli.admin.options import add_sysroot, find_index, open_sysroot
from larix.cli.options import Parser
from larix.cli.remote.add import parse_settings
from larix.errors import Invalid
from larix.formats.names import check_ref, refspec
from larix.repo.remotes import Remote, add_remote, find_remote
from larix.sysroot.origin import load_refspec, origin_of, write_origin


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("-s", "--set", metavar="KEY=VALUE", action="append", default=[], help="Set this of the remote")
    parser.add_argument("--index", metavar="INDEX", help="Its place in `admin status` (default: the booted one)")
    parser.add_argument("remote", metavar="REMOTENAME", help="The remote to follow; it is added where there is none")
    parser.add_argument("url", metavar="URL", help="Where it is")
    parser.add_argument("branch", metavar="BRANCH", nargs="?", help="The branch to follow (default: the same as now)")


def run(args: argparse.Namespace) -> None:
    options = {"url": args.url} | parse_settings(args.set)
    with open_sysroot(args) as sysroot, sysroot.lock():
        if args.index is not None:
            deployment = sysroot.deployments[find_index(sysroot, args.index)]
        elif sysroot.booted is not None:
            deployment = sysroot.booted
        else:
            raise Invalid("Not currently booted into an OSTree system; --index=INDEX names a deployment")
        branch = check_ref(args.branch) if args.branch is not None else load_refspec(deployment)[1]
        if find_remote(sysroot.repo, args.remote) is None:
            add_remote(sysroot.repo, Remote(args.remote, options))
        write_origin(sysroot, deployment, origin_of(refspec(args.remote, branch)))
