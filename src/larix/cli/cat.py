"""larix cat"""

import argparse
import posixpath

from larix.cli.options import Parser, add_repo, open_repo
from larix.cli.output import write_bytes
from larix.errors import Invalid
from larix.ops.tree.walk import Entry, find_path, find_root
from larix.repo.repo import Repo

MAX_LINKS = 40


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("commit", metavar="COMMIT", help="A ref, REMOTE:REF, or checksum")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="Files in the tree; symlinks are followed")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        root = find_root(repo, repo.refs.resolve(args.commit))
        for path in args.paths:
            print_file(repo, root, path)


def print_file(repo: Repo, root: Entry, path: str) -> None:
    for _ in range(MAX_LINKS):
        entry = find_path(repo, root, path)
        if entry.dirmeta is not None:
            raise Invalid(f"Can't open directory {entry.path} as a file")
        with repo.open_file(entry.checksum) as stored:
            if not stored.header.is_symlink:
                for piece in stored.content:
                    write_bytes(piece)
                return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), stored.header.target))
    raise Invalid(f"{path}: more than {MAX_LINKS} symlinks on the way")
