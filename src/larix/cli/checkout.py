"""larix checkout"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from larix.cli.options import Parser, add_missing, add_repo, boolean, open_repo, read_text
from larix.cli.progress import add_progress, progress_of
from larix.errors import Error, Invalid
from larix.ops.checkout.labels import labels_of
from larix.ops.checkout.placing import CheckoutOptions, Overwrite
from larix.ops.checkout.verb import checkout
from larix.ops.tree.modify import parse_skip_list
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_progress(parser)
    parser.add_argument("-U", "--user-mode", action="store_true", help="Change no owners, set no extended attributes")
    parser.add_argument("-H", "--require-hardlinks", action="store_true", help="Fail rather than copy a file")
    parser.add_argument("-C", "--force-copy", action="store_true", help="Copy every file, never link it")
    parser.add_argument("-z", "--force-copy-zerosized", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--subpath", metavar="PATH", default="/", help="Check out only this part of the tree")
    parser.add_argument("--union", action="store_true", help="Go into directories that are there, replace files")
    parser.add_argument("--union-add", action="store_true", help="Go into directories that are there, keep files")
    parser.add_argument(
        "--union-identical", action="store_true", help="Go into directories that are there, fail where a file differs"
    )
    parser.add_argument("--whiteouts", action="store_true", help="Let files .wh.NAME remove NAME, as in a container")
    parser.add_argument(
        "--process-passthrough-whiteouts",
        action="store_true",
        help="Make of files .ostree-wh.NAME the device by which overlayfs hides NAME",
    )
    parser.add_argument("--allow-noent", action="store_true", help="Do nothing where the subpath is not in the tree")
    parser.add_argument("-M", "--bareuseronly-dirs", action="store_true", help="Only mode bits of 0775 on directories")
    parser.add_argument("--skip-list", metavar="FILE", help="Leave out these paths; a directory's ends with a slash")
    parser.add_argument("--disable-cache", action="store_true", help="Copy files of an archive, link none to its cache")
    parser.add_argument("--from-file", metavar="FILE", help="Check out what FILE lists: COMMIT, NUL, SUBPATH, NUL, …")
    parser.add_argument("--from-stdin", action="store_true", help="The same from standard input")
    parser.add_argument("--fsync", metavar="BOOL", type=boolean, default=False, help="Wait until all is on the disk")
    parser.add_argument("--selinux-policy", metavar="DIR", help="Label by the SELinux policy of this tree; copies all")
    parser.add_argument("--selinux-prefix", metavar="PATH", help="Label as if DESTINATION were here in the tree")
    add_missing(parser, "--composefs", "composefs images are not there yet", value=False)
    add_missing(parser, "--composefs-noverity", "composefs images are not there yet", value=False)
    parser.add_argument("commit", metavar="COMMIT", nargs="?", help="A ref, REMOTE:REF, or checksum")
    parser.add_argument("destination", metavar="DESTINATION", nargs="?", help="The directory to make (default: COMMIT)")


def run(args: argparse.Namespace) -> None:
    if args.commit is None:
        raise Invalid("COMMIT must be specified")
    options = find_options(args)
    with open_repo(args) as repo:
        if args.from_file or args.from_stdin:
            # There the first word is the destination.
            check_out_many(repo, read_list(args), args.commit, options)
        else:
            commit = repo.refs.resolve(args.commit)
            with progress_of(args) as progress:
                checkout(repo, commit, args.destination or args.commit, options, progress=progress)


def find_options(args: argparse.Namespace) -> CheckoutOptions:
    unions = [name for name in ("union", "union_add", "union_identical") if getattr(args, name)]
    if len(unions) > 1:
        raise Invalid(f"Cannot specify both {' and '.join('--' + name.replace('_', '-') for name in unions[:2])}")
    if args.require_hardlinks and args.force_copy:
        raise Invalid("Cannot specify both --require-hardlinks and --force-copy")
    if args.require_hardlinks and args.selinux_policy:
        raise Invalid("Cannot specify both --require-hardlinks and --selinux-policy, which copies all")
    if args.selinux_prefix and not args.selinux_policy:
        raise Invalid("Cannot specify --selinux-prefix without --selinux-policy")
    if args.union_identical and not args.require_hardlinks:
        raise Invalid("--union-identical requires --require-hardlinks")
    overwrite = Overwrite.REFUSE
    if unions:
        by_name = {"union": Overwrite.REPLACE, "union_add": Overwrite.KEEP, "union_identical": Overwrite.IDENTICAL}
        overwrite = by_name[unions[0]]
    return CheckoutOptions(
        user_mode=args.user_mode,
        copy=args.force_copy,
        require_links=args.require_hardlinks,
        subpath=args.subpath,
        overwrite=overwrite,
        whiteouts=args.whiteouts,
        passed_whiteouts=args.process_passthrough_whiteouts,
        allow_missing=args.allow_noent,
        plain_directories=args.bareuseronly_dirs,
        skipped=parse_skip_list(read_text(args.skip_list)) if args.skip_list else frozenset(),
        cache=may_cache(args),
        fsync=args.fsync,
        labels=labels_of(args.selinux_policy) if args.selinux_policy else None,
        label_prefix=args.selinux_prefix,
    )


def may_cache(args: argparse.Namespace) -> bool:
    """Return whether the cache may be used: as in the C tool, only a plain checkout links to the cache."""
    others = args.union_add, args.union_identical, args.whiteouts, args.process_passthrough_whiteouts
    more = args.bareuseronly_dirs, args.skip_list, args.force_copy_zerosized, args.disable_cache
    return not any((*others, *more))


def read_list(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """(COMMIT, SUBPATH) of each pair; the last subpath may be missing."""
    text = sys.stdin.read() if args.from_stdin else read_text(args.from_file)
    words = text.removesuffix("\n").removesuffix("\0").split("\0") if text else []
    for i in range(0, len(words), 2):
        yield words[i], words[i + 1] if i + 1 < len(words) else "/"


def check_out_many(repo: Repo, pairs: Iterator[tuple[str, str]], destination: str, options: CheckoutOptions) -> None:
    for commit, subpath in pairs:
        checksum = repo.refs.resolve(commit)
        try:
            checkout(repo, checksum, destination, replace(options, subpath=subpath or "/"))
        except Error as error:
            raise type(error)(f"Processing tree {checksum}: {error}") from None
