"""larix commit"""

import argparse
import os
import time

from larix.cli.dates import parse_date
from larix.cli.options import Parser, add_repo, open_repo
from larix.errors import Invalid
from larix.formats.checksum import Checksum, parse_checksum
from larix.formats.names import check_ref
from larix.formats.objects import Metadata
from larix.gvariant import Variant
from larix.ops.commit import CommitOptions, TreeOptions, add_directory, commit_tree
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("-b", "--branch", metavar="REF", help="The ref that will name the commit")
    parser.add_argument("--orphan", action="store_true", help="Make a commit that no ref names")
    parser.add_argument("-s", "--subject", default="", help="One line about the commit")
    parser.add_argument("-m", "--body", default="", help="More lines about the commit")
    parser.add_argument("--parent", metavar="CHECKSUM", help="The commit before, or `none`; default: that of REF")
    parser.add_argument("--tree", metavar="dir=PATH", help="The directory to commit; the same as the argument PATH")
    parser.add_argument("--timestamp", help="Date of the commit, as 2026-01-31 12:00:00 +0100 or @SECONDS")
    parser.add_argument("--owner-uid", metavar="UID", type=int, help="The user who shall own every file")
    parser.add_argument("--owner-gid", metavar="GID", type=int, help="The group that shall own every file")
    parser.add_argument("--add-metadata-string", metavar="KEY=VALUE", action="append", default=[], help="Metadata")
    parser.add_argument("path", metavar="PATH", nargs="?", help="The directory to commit (default: the current one)")


def run(args: argparse.Namespace) -> None:
    if args.branch is not None:
        check_ref(args.branch)
    elif not args.orphan:
        raise Invalid("A branch must be specified with --branch, or use --orphan")
    path = args.path or "."
    if args.tree is not None:
        kind, equals, path = args.tree.partition("=")
        if not equals or kind != "dir":
            raise Invalid(f"Invalid tree {args.tree!r}: it must be dir=PATH")
    pairs = [key_value(text) for text in args.add_metadata_string]
    timestamp = parse_date(args.timestamp) if args.timestamp else now()
    with open_repo(args) as repo, Transaction(repo) as transaction:
        options = CommitOptions(args.subject, args.body, Metadata(pairs), find_parent(repo, args))
        root = add_directory(transaction, path, TreeOptions(args.owner_uid, args.owner_gid))
        checksum = commit_tree(transaction, root, timestamp, args.branch, options)
        transaction.commit()
    print(checksum)


def find_parent(repo: Repo, args: argparse.Namespace) -> Checksum | None:
    if args.parent is None:
        # None from a remote: a branch made here begins anew.
        return repo.refs().get((None, args.branch)) if args.branch is not None else None
    return None if args.parent == "none" else parse_checksum(args.parent)


def key_value(text: str) -> tuple[str, Variant]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"Missing '=' in KEY=VALUE metadata '{text}'")
    return key, Variant("s", value)


def now() -> int:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return int(time.time())
    if not epoch.isdecimal():
        raise Invalid(f"SOURCE_DATE_EPOCH is {epoch!r}; it must be seconds since 1970")
    return int(epoch)
