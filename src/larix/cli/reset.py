"""larix reset"""

import argparse
from contextlib import suppress

from larix.cli.options import Parser, add_lock_timeout, add_repo, open_repo
from larix.errors import Corrupt, NotFound
from larix.formats.names import check_ref
from larix.formats.objects import ObjectName, ObjectType
from larix.repo.ref_changes import Expected
from larix.repo.refs import find_ref
from larix.repo.transaction import Transaction


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    parser.add_argument("ref", metavar="REF", help="A branch of this repo")
    parser.add_argument("commit", metavar="COMMIT", help="Where it shall point: a ref, checksum, or REF^")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if (None, check_ref(args.ref)) not in repo.refs.names():
            raise NotFound(f"Invalid ref '{args.ref}': there is no such branch in {repo.path}")
        expected: Expected = ...
        # One that is damaged is mended so.
        with suppress(Corrupt):
            expected = find_ref(repo.fd, None, args.ref)
        commit = repo.refs.resolve(args.commit)
        if not repo.has(ObjectName(commit, ObjectType.COMMIT)):
            raise NotFound(f"Commit {commit} is not in {repo.path}")
        with Transaction(repo) as transaction:
            transaction.set_ref(None, args.ref, commit, expected=expected)
            transaction.commit()
