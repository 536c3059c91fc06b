"""larix refs"""

import argparse
import sys

from larix.cli.json import commit_json, print_json
from larix.cli.options import Parser, add_json, add_lock_timeout, add_repo, open_repo
from larix.cli.output import date, tell_passed_over
from larix.errors import Corrupt, Invalid, printable
from larix.formats import names
from larix.formats.checksum import Checksum
from larix.ops.fsck import find_unreferenced
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    add_json(parser)
    parser.add_argument("--list", action="store_true", help="Print whole names, also with a PREFIX")
    parser.add_argument("-r", "--revision", action="store_true", help="Print the commit of each ref too")
    parser.add_argument("-A", "--alias", action="store_true", help="Print aliases; with --create, make one")
    parser.add_argument(
        "-c", "--collections", action="store_true", help="Refs are (COLLECTION, REF), and PREFIX is a collection"
    )
    parser.add_argument(
        "--unreferenced", action="store_true", help="List commits that no ref leads to, which the next prune may delete"
    )
    parser.add_argument("--create", metavar="NEWREF", help="Make NEWREF, of the commit that the argument means")
    parser.add_argument("--delete", action="store_true", help="Delete the refs that begin with PREFIX")
    parser.add_argument("--force", action="store_true", help="With --create: replace a ref that is there")
    parser.add_argument("prefixes", metavar="PREFIX", nargs="*", default=[], help="Only refs at or below PREFIX")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.create is not None:
            if len(args.prefixes) != 1:
                raise Invalid("You must specify only 1 existing ref when creating a new ref")
            create(repo, args, args.prefixes[0])
        elif args.delete:
            if not args.prefixes:
                raise Invalid("At least one PREFIX is required when deleting refs")
            (delete_collections if args.collections else delete)(repo, args.prefixes)
        elif args.unreferenced:
            show_unreferenced(repo, as_json=args.json)
        elif args.json:
            print_json(refs_to_json(repo, args))
        elif args.collections:
            show_collections(repo, args.prefixes, revision=args.revision)
        elif args.alias:
            show_aliases(repo, args.prefixes)
        else:
            show(repo, args.prefixes, whole=args.list, revision=args.revision)


def refs_to_json(repo: Repo, args: argparse.Namespace) -> list[dict[str, object]]:
    """Return the refs that the options ask for, with whole names and commits."""
    if args.collections:
        return [
            {"collection": collection, "ref": ref, "checksum": checksum}
            for (collection, ref), checksum in collections_below(repo, args.prefixes).items()
        ]
    aliases = repo.refs.aliases()
    tell = tell_passed_over(repo)
    return [
        {"remote": remote, "ref": ref, "checksum": checksum, "alias_of": aliases.get(ref) if remote is None else None}
        for (remote, ref), checksum in repo.refs.all(tell).items()
        if not args.prefixes or any(is_below(names.refspec(remote, ref), prefix) for prefix in args.prefixes)
        if not args.alias or (remote is None and ref in aliases)
    ]


def create(repo: Repo, args: argparse.Namespace, rev: str) -> None:
    new = args.create
    with Transaction(repo) as transaction:
        if args.collections:
            collection, _, ref = new.partition(":")
            transaction.set_collection_ref(names.check_collection(collection), ref, repo.refs.resolve(rev))
        else:
            remote, ref = names.parse_refspec(new)
            is_there = (remote, ref) in repo.refs.names() and not (args.alias and ref in repo.refs.aliases())
            if is_there and not args.force:
                raise Invalid(f"--create specified but ref {new} already exists")
            if not args.alias:
                transaction.set_ref(remote, ref, repo.refs.resolve(rev), expected=... if args.force else None)
            elif remote is not None:
                raise Invalid(f"Cannot create alias to remote ref: {new}; an alias is a branch of this repo")
            elif (None, rev) not in repo.refs.names():
                raise Invalid(f"Cannot create alias to non-existent ref: {rev}; it must be a branch of this repo")
            else:
                transaction.set_alias(ref, rev)
        transaction.commit()


def delete(repo: Repo, prefixes: list[str]) -> None:
    aliases = repo.refs.aliases()
    # What is no ref is named by its path, and that then means no ref.
    strays = [path for path in repo.refs.strays() if path in prefixes]
    prefixes = [prefix for prefix in prefixes if prefix not in strays]
    # Also damaged ones: to delete them is what is left to do.
    doomed = [key for key in repo.refs.names() if any(is_below(names.refspec(*key), prefix) for prefix in prefixes)]
    with Transaction(repo) as transaction:
        # No moment shows an alias of nothing.
        for remote, ref in sorted(doomed, key=lambda key: key[1] not in aliases):
            transaction.set_ref(remote, ref, None)
        for path in strays:
            transaction.remove_stray(path)
        transaction.commit()


def delete_collections(repo: Repo, collections: list[str]) -> None:
    for collection in collections:
        names.check_collection(collection)
    with Transaction(repo) as transaction:
        own = [(repo.collection_id or "", ref) for remote, ref in repo.refs.names() if remote is None]
        for collection, ref in [*own, *repo.refs.mirror_names()]:
            if collection in collections:
                transaction.set_collection_ref(collection, ref, None)
        transaction.commit()


def show(repo: Repo, prefixes: list[str], *, whole: bool, revision: bool) -> None:
    tell = tell_passed_over(repo)
    commits = repo.refs.all(tell) if revision else {}
    listed = [*commits] if revision else repo.refs.names()
    if not listed and (mirrors := repo.refs.mirror_names()):
        # On stderr, as the C tool lists none of them without -c either.
        of = ", ".join(sorted({collection for collection, _ in mirrors}))
        print(f"Note: no branches but {len(mirrors)} of {of}; `larix refs -c` lists them", file=sys.stderr)
    for remote, ref in listed:
        name = names.refspec(remote, ref)
        for prefix in prefixes or [""]:
            if prefix and not is_below(name, prefix):
                continue
            above = normal(prefix).rpartition(":")[2]
            keep = whole or not above or ref == above
            shown = name if keep else names.refspec(remote, names.Ref(ref[len(above) :].lstrip("/")))
            print(f"{shown}\t{commits[remote, ref]}" if revision else shown)


def show_unreferenced(repo: Repo, *, as_json: bool) -> None:
    """Print commits that no ref leads to, the newest first."""
    tell = tell_passed_over(repo)
    found = []
    for checksum in find_unreferenced(repo, tell):
        try:
            found.append((checksum, repo.load_commit(checksum)))
        except Corrupt as error:
            tell(error)
    found.sort(key=lambda one: one[1].timestamp, reverse=True)
    if as_json:
        print_json([commit_json(*one) for one in found])
        return
    for checksum, commit in found:
        print(f"{checksum}  {date(commit.timestamp)}  {printable(commit.subject)}".rstrip())


def show_aliases(repo: Repo, prefixes: list[str]) -> None:
    for alias, target in repo.refs.aliases().items():
        if not prefixes or any(is_below(alias, prefix) for prefix in prefixes):
            print(f"{alias} -> {target}")


def show_collections(repo: Repo, collections: list[str], *, revision: bool) -> None:
    for (collection, ref), checksum in collections_below(repo, collections).items():
        print(f"({collection}, {ref})\t{checksum}" if revision else f"({collection}, {ref})")


def collections_below(repo: Repo, collections: list[str]) -> dict[tuple[str, str], Checksum]:
    for collection in collections:
        names.check_collection(collection)
    found = repo.refs.of_collections(tell_passed_over(repo))
    return {key: checksum for key, checksum in found.items() if not collections or key[0] in collections}


def is_below(name: str, prefix: str) -> bool:
    """`REMOTE:` means all of a remote; what has no colon is a branch of this repo."""
    prefix = normal(prefix)
    return name == prefix or name.startswith(prefix if prefix.endswith(":") else f"{prefix}/")


def normal(prefix: str) -> str:
    """`REMOTE:.` is `REMOTE:`."""
    return prefix.removesuffix(".").rstrip("/") if prefix.endswith(":.") else prefix.rstrip("/")
