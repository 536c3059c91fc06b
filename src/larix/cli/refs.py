"""larix refs"""

import argparse

from larix.cli.options import Parser, add_repo, open_repo
from larix.errors import Invalid
from larix.formats import names
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--list", action="store_true", help="Print whole names, also with a PREFIX")
    parser.add_argument("-r", "--revision", action="store_true", help="Print the commit of each ref too")
    parser.add_argument("--create", metavar="NEWREF", help="Make NEWREF, of the commit that the argument means")
    parser.add_argument("--delete", action="store_true", help="Delete the refs that begin with PREFIX")
    parser.add_argument("--force", action="store_true", help="With --create: replace a ref that is there")
    parser.add_argument("prefixes", metavar="PREFIX", nargs="*", help="Only refs at or below PREFIX")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.create is not None:
            if len(args.prefixes) != 1:
                raise Invalid("You must specify only 1 existing ref when creating a new ref")
            create(repo, args.create, args.prefixes[0], force=args.force)
        elif args.delete:
            if not args.prefixes:
                raise Invalid("At least one PREFIX is required when deleting refs")
            delete(repo, args.prefixes)
        else:
            show(repo, args.prefixes, whole=args.list, revision=args.revision)


def create(repo: Repo, refspec: str, rev: str, *, force: bool) -> None:
    remote, ref = names.parse_refspec(refspec)
    with Transaction(repo) as transaction:
        if not force and (remote, ref) in repo.refs():
            raise Invalid(f"--create specified but ref {refspec} already exists")
        transaction.set_ref(remote, ref, repo.resolve(rev))
        transaction.commit()


def delete(repo: Repo, prefixes: list[str]) -> None:
    with Transaction(repo) as transaction:
        for remote, ref in repo.refs():
            if any(is_below(names.refspec(remote, ref), prefix) for prefix in prefixes):
                transaction.set_ref(remote, ref, None)
        transaction.commit()


def show(repo: Repo, prefixes: list[str], *, whole: bool, revision: bool) -> None:
    for (remote, ref), checksum in repo.refs().items():
        name = names.refspec(remote, ref)
        for prefix in prefixes or [""]:
            if prefix and not is_below(name, prefix):
                continue
            shown = name if whole or not prefix or name == prefix else name[len(prefix) :].lstrip("/:")
            print(f"{shown}\t{checksum}" if revision else shown)


def is_below(name: str, prefix: str) -> bool:
    prefix = prefix.rstrip("/")
    return name == prefix or name.startswith((f"{prefix}/", f"{prefix}:"))
