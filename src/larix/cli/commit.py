"""larix commit"""

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from larix.cli.dates import parse_date
from larix.cli.editor import edit_message
from larix.cli.labels import labels_of, labels_of_commit
from larix.cli.options import Parser, add_lock_timeout, add_missing, add_repo, boolean, open_repo, read_text
from larix.cli.output import tell_passed_over
from larix.cli.progress import add_progress, progress_of
from larix.cli.values import key_value, key_variant, now, owner
from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum, parse_checksum
from larix.formats.names import parse_refspec
from larix.formats.objects import Metadata
from larix.gvariant import Variant
from larix.linux import files
from larix.linux.selinux import Labels
from larix.ops.bootable import describe_kernel
from larix.ops.commit import CommitOptions, commit_tree
from larix.ops.consume import Given
from larix.ops.modify import Modifier, parse_overrides, parse_skip_list
from larix.ops.rework import lay_changed
from larix.ops.scan import find_links, lay_directory
from larix.ops.tree import Directory, Stored, add_tree, lay_over, open_stored
from larix.ops.untar import ArchiveOptions, lay_archive
from larix.progress import Progress
from larix.repo.refs import find_ref
from larix.repo.repo import Repo
from larix.repo.summary import write_summary
from larix.repo.transaction import Counts, Transaction


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    add_progress(parser)
    parser.add_argument("path", metavar="PATH", nargs="?", help="The directory to commit (default: the current one)")
    add_what(parser)
    add_about(parser)
    add_how(parser)


def add_what(parser: Parser) -> None:
    add = parser.add_argument
    add("--tree", metavar="KIND=WHAT", action="append", default=[], help="dir=PATH, tar=FILE (- is stdin) or ref=REV")
    add("--base", metavar="REV", help="The commit under all trees; of those, later ones lie on earlier ones")
    add("--consume", action="store_true", help="Remove each directory after it was committed")
    add("--owner-uid", metavar="UID", type=owner, help="The user who shall own every file")
    add("--owner-gid", metavar="GID", type=owner, help="The group that shall own every file")
    add("--no-xattrs", action="store_true", help="Leave extended attributes out")
    add(
        "--canonical-permissions",
        action="store_true",
        help="Let all belong to root, without set-uid bits and attributes",
    )
    add("--mode-ro-executables", action="store_true", help="Let nobody write to executable files")
    add("--statoverride", metavar="FILE", help="Change modes; its lines are [+]MODE PATH or =MODE PATH, MODE decimal")
    add("--skip-list", metavar="FILE", help="Leave out the paths in the lines of FILE")
    add("--tar-autocreate-parents", action="store_true", help="Make directories that a tar archive does not have")
    add("--tar-pathname-filter", metavar="REGEX,REPLACEMENT", help="Change the names in tar archives")
    add("--link-checkout-speedup", action="store_true", help="Do not read files that are hard links to objects")
    add("-I", "--devino-canonical", action="store_true", help="The same, whatever else shall be changed about them")


def add_about(parser: Parser) -> None:
    add = parser.add_argument
    add("-b", "--branch", metavar="REF", help="The ref that will name the commit")
    add("--orphan", action="store_true", help="Make a commit without a ref")
    add("-s", "--subject", default="", help="One line about the commit")
    add("-m", "--body", default="", help="More lines about the commit")
    add("-F", "--body-file", metavar="FILE", help="Read those lines from FILE")
    add("-e", "--editor", action="store_true", help="Write subject and body in $EDITOR")
    add("--parent", metavar="CHECKSUM", help="The commit before, or `none`; default: that of REF")
    add("--timestamp", help="Date of the commit, as 2026-01-31 12:00:00 +0100 or @SECONDS")
    add("--add-metadata-string", metavar="KEY=VALUE", action="append", default=[], help="Metadata of the commit")
    add("--add-metadata", metavar="KEY=VALUE", action="append", default=[], help="The same, VALUE as GVariant text")
    add("--keep-metadata", metavar="KEY", action="append", default=[], help="Metadata to keep from the parent")
    add("--add-detached-metadata-string", metavar="KEY=VALUE", action="append", default=[], help="Metadata beside it")
    add("--bind-ref", metavar="REF", action="append", default=[], help="Another ref that the commit is made for")
    add("--no-bindings", action="store_true", help="Do not say for which refs it is made")
    add("--bootable", action="store_true", help="Note the version of its kernel, so that it can be deployed")


def add_how(parser: Parser) -> None:
    add = parser.add_argument
    add("--generate-sizes", action="store_true", help="Note the sizes of all objects (in an archive)")
    add("--skip-if-unchanged", action="store_true", help="Make no commit where the tree is that of the parent")
    add("--table-output", action="store_true", help="Print counts as well, one in a line")
    add("--fsync", metavar="BOOL", type=boolean, default=True, help="Wait for the disk (default: true)")
    for option in "--gpg-sign", "--gpg-homedir", "--sign", "--sign-type", "--sign-from-file":
        add_missing(parser, option, "larix cannot sign commits yet")
    add("--selinux-policy", metavar="DIR", help="Label by the SELinux policy of this tree")
    add("-P", "--selinux-policy-from-base", action="store_true", help="Label by that of --base, or of the first tree")
    add("--selinux-labeling-epoch", metavar="0|1", default="0", help="1: label /usr/etc as /etc (default: 0)")
    add_missing(parser, "--generate-composefs-metadata", "larix cannot make composefs images yet", value=False)


def run(args: argparse.Namespace) -> None:
    if args.branch is not None:
        parse_refspec(args.branch)
    elif not args.orphan:
        raise Invalid("A branch must be specified with --branch, or use --orphan")
    trees = parse_trees(args)
    modifier = read_modifier(args)
    with open_repo(args, fsync=args.fsync) as repo, ExitStack() as opened:
        labels = find_labels(repo, args, trees)
        # Where nobody has extended attributes there is no place for one.
        modifier.labels = None if repo.layout.user_only else labels
        # A link to an object is that object, also where every file is made canonical.
        use_links = args.devino_canonical or (args.link_checkout_speedup and modifier.changes_nothing)
        modifier.canonical = modifier.canonical or repo.layout.user_only
        parent = find_parent(repo, args)
        options = describe(repo, args, parent)
        with progress_of(args) as progress, Transaction(repo) as transaction:
            given = open_given(opened, transaction, trees) if args.consume else {}
            root, known = add_trees(transaction, args, trees, modifier, given, use_links=use_links, progress=progress)
            progress.start("Writing")
            if args.bootable:
                pairs = [*options.metadata.pairs, *describe_kernel(transaction, root)]
                options = replace(options, metadata=Metadata(pairs))
            if parent is not None and args.skip_if_unchanged and root == tree_of(repo, parent):
                checksum = parent
            else:
                timestamp = parse_date(args.timestamp) if args.timestamp else now()
                expected = parent if args.parent is None and not args.orphan else ...
                checksum = commit_tree(transaction, root, timestamp, args.branch, options, expected=expected)
            counts = transaction.counts() if args.table_output else None
            transaction.commit()
            committed_at = time.time_ns()
        if counts is None:
            print(checksum, flush=True)
        else:
            print_table(checksum, counts, known)
        # The commit is there, and is told, whatever becomes of what follows.
        try:
            for one in given.values():
                with files.doing(f"The commit is made, but {one.path} cannot be removed"):
                    one.remove(committed_at)
        finally:
            if repo.config.find_bool("core", "commit-update-summary", False):
                write_summary(repo, pass_over=tell_passed_over(repo))


def open_given(opened: ExitStack, transaction: Transaction, trees: list[tuple[str, str]]) -> dict[str, Given]:
    """The directories that are given away, by their paths."""
    paths = dict.fromkeys(what for kind, what in trees if kind == "dir")
    return {path: opened.enter_context(Given(path, transaction.repo, transaction.adopt_file)) for path in paths}


def parse_trees(args: argparse.Namespace) -> list[tuple[str, str]]:
    if not args.tree:
        return [("dir", args.path or ".")]
    trees = []
    for text in args.tree:
        kind, equals, what = text.partition("=")
        if not equals:
            raise Invalid(f"Missing type in tree specification '{text}'; write dir=PATH, tar=FILE or ref=REV")
        if kind not in ("dir", "tar", "ref"):
            raise Invalid(f"Invalid tree type specification '{kind}'; known are dir, tar and ref")
        trees.append((kind, what))
    return trees


def read_modifier(args: argparse.Namespace) -> Modifier:
    if args.canonical_permissions and (args.owner_uid or args.owner_gid):
        raise Invalid("--canonical-permissions gives all to root, which contradicts --owner-uid and --owner-gid")
    return Modifier(
        args.owner_uid,
        args.owner_gid,
        not args.no_xattrs,
        args.canonical_permissions,
        args.mode_ro_executables,
        parse_overrides(read_text(args.statoverride)) if args.statoverride else {},
        parse_skip_list(read_text(args.skip_list)) if args.skip_list else frozenset(),
    )


def find_labels(repo: Repo, args: argparse.Namespace, trees: list[tuple[str, str]]) -> Labels | None:
    """By SELinux, where they are asked for and there is a policy."""
    if args.selinux_labeling_epoch not in ("0", "1"):
        raise Invalid(f"Unknown SELinux labeling epoch: {args.selinux_labeling_epoch}; it must be 0 or 1")
    if args.selinux_policy and args.selinux_policy_from_base:
        raise Invalid("Cannot specify both --selinux-policy and --selinux-policy-from-base")
    as_etc = args.selinux_labeling_epoch == "1"
    if args.selinux_policy:
        return labels_of(args.selinux_policy, usr_etc_as_etc=as_etc)
    if not args.selinux_policy_from_base:
        return None
    kind, what = ("ref", args.base) if args.base else trees[0]
    if kind == "ref":
        return labels_of_commit(repo, repo.resolve(what), usr_etc_as_etc=as_etc)
    if kind == "dir":
        return labels_of(what, usr_etc_as_etc=as_etc)
    raise Invalid("--selinux-policy-from-base takes the policy of a commit or a directory; the first --tree is neither")


def find_parent(repo: Repo, args: argparse.Namespace) -> Checksum | None:
    if args.parent == "none":
        return None
    if args.parent is not None:
        return parse_checksum(args.parent)
    return find_ref(repo.fd, *parse_refspec(args.branch)) if args.branch is not None and not args.orphan else None


def describe(repo: Repo, args: argparse.Namespace, parent: Checksum | None) -> CommitOptions:
    pairs = [(key, Variant("s", value)) for key, value in map(key_value, args.add_metadata_string)]
    if any(not key for key, _ in pairs):
        raise Invalid("Empty metadata key in --add-metadata-string")
    pairs += map(key_variant, args.add_metadata)
    if args.keep_metadata:
        if parent is None:
            raise Invalid("--keep-metadata needs a parent to take the metadata from")
        before = repo.load_commit(parent).metadata
        for key in args.keep_metadata:
            if key not in before:
                raise NotFound(f"Missing metadata key '{key}' from commit '{parent}'")
            pairs.append((key, before[key]))
    detached = [(key, Variant("s", value)) for key, value in map(key_value, args.add_detached_metadata_string)]
    subject, body = args.subject, read_text(args.body_file) if args.body_file else args.body
    if args.editor:
        subject, body = edit_message(subject, body)
    return CommitOptions(
        subject=subject,
        body=body,
        metadata=Metadata(pairs),
        detached=Metadata(detached) if detached else None,
        parent=parent,
        bindings=not args.no_bindings,
        bind_refs=args.bind_ref,
        sizes=args.generate_sizes,
    )


def add_trees(
    transaction: Transaction,
    args: argparse.Namespace,
    trees: list[tuple[str, str]],
    modifier: Modifier,
    given: Mapping[str, Given],
    *,
    use_links: bool,
    progress: Progress,
) -> tuple[Stored, int]:
    """Besides the tree, how many files were known without reading them, because they are links to objects."""
    repo = transaction.repo
    top = open_stored(repo, tree_of(repo, repo.resolve(args.base))) if args.base else Directory()
    links, known = find_links(repo) if use_links else None, 0
    for kind, what in trees:
        if kind == "ref" and modifier.changes_nothing:
            lay_over(repo, top, tree_of(repo, repo.resolve(what)))
        elif kind == "ref":
            lay_changed(transaction, top, tree_of(repo, repo.resolve(what)), modifier)
        elif kind == "dir":
            known += lay_directory(
                transaction, top, what, modifier, repo=repo, links=links, given=given.get(what), progress=progress
            )
        else:
            with open_archive(what) as archive:
                lay_archive(transaction, top, archive, modifier, archive_options(args), repo=repo, progress=progress)
    modifier.check_matched()
    for path in sorted(modifier.left_out):
        print(f"Note: mode of {path} unchanged: +MODE adds nothing to a directory, =MODE sets it", file=sys.stderr)
    transaction.start_writing()
    return add_tree(transaction, top), known


def open_archive(path: str) -> BufferedReader:
    if path == "-":
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    with files.doing(f"Reading {path}"):
        return Path(path).open("rb")


def archive_options(args: argparse.Namespace) -> ArchiveOptions:
    if args.tar_pathname_filter is None:
        return ArchiveOptions(args.tar_autocreate_parents)
    pattern, comma, replacement = args.tar_pathname_filter.partition(",")
    if not comma:
        raise Invalid(f"--tar-pathname-filter={pattern}: no comma between the expression and what takes its place")
    try:
        return ArchiveOptions(args.tar_autocreate_parents, re.compile(pattern), replacement)
    except re.error as error:
        raise Invalid(f"--tar-pathname-filter: {pattern!r} is no regular expression: {error}") from None


def tree_of(repo: Repo, commit: Checksum) -> Stored:
    found = repo.load_commit(commit)
    return Stored(found.dirtree, found.dirmeta)


def print_table(checksum: Checksum, counts: Counts, known: int) -> None:
    print(f"Commit: {checksum}")
    print(f"Metadata Total: {counts.metadata}")
    print(f"Metadata Written: {counts.metadata_new}")
    print(f"Content Total: {counts.files}")
    print(f"Content Written: {counts.files_new}")
    print(f"Content Cache Hits: {known}")
    print(f"Content Bytes Written: {counts.bytes_new}")
