"""larix diff"""

import argparse
from pathlib import Path

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.cli.output import size
from larix.cli.values import owner
from larix.errors import Invalid
from larix.ops.diff import Changes, commit_as_tree, count_objects, diff, directory_as_tree
from larix.ops.tree.modify import Modifier
from larix.ops.tree.tree import ObjectTree
from larix.repo.repo import Repo


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    parser.add_argument("--stats", action="store_true", help="Print how many objects two commits have in common")
    parser.add_argument("--fs-diff", action="store_true", help="Print changed paths too, with --stats")
    parser.add_argument("--no-xattrs", action="store_true", help="Pass over extended attributes of directories here")
    parser.add_argument("--owner-uid", metavar="UID", type=owner, help="The user to whom files here shall belong")
    parser.add_argument("--owner-gid", metavar="GID", type=owner, help="The group to which files here shall belong")
    parser.add_argument("old", metavar="REV_OR_DIR", help="A commit, or a directory: it begins with / or ./")
    parser.add_argument("new", metavar="REV_OR_DIR", nargs="?", help="The other one (default: that after OLD^)")


def run(args: argparse.Namespace) -> None:
    old, new = (f"{args.old}^", args.old) if args.new is None else (args.old, args.new)
    modifier = Modifier(args.owner_uid, args.owner_gid, xattrs=not args.no_xattrs)
    found: dict[str, object] = {}
    with open_repo(args) as repo:
        if args.fs_diff or not args.stats:
            changes = diff(_tree(repo, old, modifier), _tree(repo, new, modifier))
            found |= {"modified": changes.modified, "removed": changes.removed, "added": changes.added}
            if not args.json:
                print_changes(changes)
        if args.stats:
            if _is_directory(old) or _is_directory(new):
                raise Invalid("--stats compares objects, so it takes two commits and no directory")
            counts = count_objects(repo, repo.refs.resolve(old), repo.refs.resolve(new))
            found |= {"old_objects": counts.old, "new_objects": counts.new}
            found |= {"common_objects": counts.common, "common_size": counts.common_size}
            if not args.json:
                print(f"[A] Object Count: {counts.old}\n[B] Object Count: {counts.new}")
                print(f"Common Object Count: {counts.common}\nCommon Object Size: {size(counts.common_size)}")
    if args.json:
        print_json(found)


def print_changes(changes: Changes) -> None:
    for letter, paths in ("M", changes.modified), ("D", changes.removed), ("A", changes.added):
        for path in paths:
            print(f"{letter}    {path}")


def _is_directory(text: str) -> bool:
    return text.startswith(("/", "./"))


def _tree(repo: Repo, text: str, modifier: Modifier) -> ObjectTree:
    if _is_directory(text):
        return directory_as_tree(str(Path(text)), modifier)
    return commit_as_tree(repo, repo.refs.resolve(text))
