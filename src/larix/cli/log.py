"""larix log"""

import argparse
from collections.abc import Iterator

from larix.cli.json import commit_json, print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.cli.output import print_commit
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType, decode_commit
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("--raw", action="store_true", help="Print the GVariant of each commit")
    parser.add_argument("rev", metavar="REV", help="The commit to begin with; its parents follow")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        newest = repo.refs.resolve(args.rev)
        if args.json:
            print_json([commit_json(checksum, decode_commit(data)) for checksum, data in history(repo, newest)])
            return
        for checksum, data in history(repo, newest):
            last = print_commit(checksum, data, raw=args.raw)
        if last.parent is not None:
            print("<< History beyond this commit not fetched >>")


def history(repo: Repo, newest: Checksum) -> Iterator[tuple[Checksum, bytes]]:
    """Yield a commit and those before it, as far as they are here: a pull takes only as many as were asked for."""
    following: Checksum | None = newest
    while following is not None and (following == newest or repo.has(ObjectName(following, ObjectType.COMMIT))):
        data = repo.load(ObjectName(following, ObjectType.COMMIT))
        yield following, data
        following = decode_commit(data).parent
