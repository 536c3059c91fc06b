"""larix commit"""

import argparse
import os
import re
import sys
from dataclasses import replace

from larix.cli.dates import parse_date
from larix.cli.editor import edit_message
from larix.cli.options import Parser, add_lock_timeout, add_missing, add_repo, boolean, open_repo, read_text
from larix.cli.output import tell_passed_over
from larix.cli.progress import add_progress, progress_of
from larix.cli.values import find_epoch, key_value, key_variant, owner
from larix.errors import Invalid
from larix.formats.checksum import Checksum, parse_checksum
from larix.formats.names import parse_refspec
from larix.formats.objects import Metadata
from larix.gvariant import Variant
from larix.linux.selinux import Labels
from larix.ops.checkout.labels import labels_of, labels_of_commit
from larix.ops.commit.untar import ArchiveOptions
from larix.ops.commit.verb import (
    CommitOptions,
    Committed,
    FromArchive,
    FromCommit,
    FromDirectory,
    Layer,
    TreeOptions,
    commit,
    find_kept,
)
from larix.ops.tree.modify import Modifier, parse_overrides, parse_skip_list
from larix.repo.incoming import Counts
from larix.repo.ref_changes import Expected
from larix.repo.refs import find_ref
from larix.repo.repo import Repo


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
    with open_repo(args, fsync=args.fsync) as repo:
        layers = [read_layer(repo, kind, what, args) for kind, what in trees]
        base = repo.refs.resolve(args.base) if args.base is not None else None
        modifier = replace(modifier, labels=find_labels(repo, args, base, layers))
        options = find_options(repo, args)
        counting = args.table_output
        how = TreeOptions(base, modifier, args.link_checkout_speedup, args.devino_canonical, counting)

        def tell(committed: Committed) -> None:
            for path in committed.left:
                say = f"Note: mode of {path} unchanged: +MODE adds nothing to a directory, =MODE sets it"
                print(say, file=sys.stderr)
            if committed.counts is not None:
                print_table(committed, committed.counts)
            else:
                print(committed.checksum)
            # Whatever becomes of what follows.
            sys.stdout.flush()
            if repo.config.find_bool("core", "commit-update-summary", False):
                repo.refs.named_commits(tell_passed_over(repo))

        with progress_of(args) as progress:
            commit(repo, layers, args.branch, options, how, told=tell, progress=progress)


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


def read_layer(repo: Repo, kind: str, what: str, args: argparse.Namespace) -> Layer:
    if kind == "dir":
        return FromDirectory(what, given=args.consume)
    if kind == "ref":
        return FromCommit(repo.refs.resolve(what))
    stdin = os.fdopen(sys.stdin.fileno(), "rb", closefd=False) if what == "-" else None
    return FromArchive(what if stdin is None else stdin, archive_options(args))


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


def find_labels(repo: Repo, args: argparse.Namespace, base: Checksum | None, layers: list[Layer]) -> Labels | None:
    """Return those of SELinux, where they are asked for and there is a policy."""
    if args.selinux_labeling_epoch not in ("0", "1"):
        raise Invalid(f"Unknown SELinux labeling epoch: {args.selinux_labeling_epoch}; it must be 0 or 1")
    if args.selinux_policy and args.selinux_policy_from_base:
        raise Invalid("Cannot specify both --selinux-policy and --selinux-policy-from-base")
    as_etc = args.selinux_labeling_epoch == "1"
    if args.selinux_policy:
        return labels_of(args.selinux_policy, usr_etc_as_etc=as_etc)
    if not args.selinux_policy_from_base:
        return None
    match layers[0] if base is None else FromCommit(base):
        case FromCommit(commit):
            return labels_of_commit(repo, commit, usr_etc_as_etc=as_etc)
        case FromDirectory(path):
            return labels_of(path, usr_etc_as_etc=as_etc)
    raise Invalid("--selinux-policy-from-base takes the policy of a commit or a directory; the first --tree is neither")


def find_options(repo: Repo, args: argparse.Namespace) -> CommitOptions:
    pairs = [(key, Variant("s", value)) for key, value in map(key_value, args.add_metadata_string)]
    if any(not key for key, _ in pairs):
        raise Invalid("Empty metadata key in --add-metadata-string")
    pairs += map(key_variant, args.add_metadata)
    detached = [(key, Variant("s", value)) for key, value in map(key_value, args.add_detached_metadata_string)]
    subject, body = args.subject, read_text(args.body_file) if args.body_file else args.body
    # Before somebody has written a message in vain, or for another parent.
    parent, expected = find_parent(repo, args)
    find_kept(repo, args.keep_metadata, parent)
    if args.editor:
        subject, body = edit_message(subject, body)
    return CommitOptions(
        subject=subject,
        body=body,
        metadata=Metadata(pairs),
        keep=args.keep_metadata,
        detached=Metadata(detached) if detached else None,
        parent=parent,
        expected=expected,
        timestamp=parse_date(args.timestamp) if args.timestamp is not None else find_epoch(),
        bindings=not args.no_bindings,
        bind_refs=args.bind_ref,
        bootable=args.bootable,
        sizes=args.generate_sizes,
        skip_unchanged=args.skip_if_unchanged,
    )


def find_parent(repo: Repo, args: argparse.Namespace) -> tuple[Checksum | None, Expected]:
    """And what the branch must have until the end, where that is the parent."""
    if args.parent is not None:
        return None if args.parent == "none" else parse_checksum(args.parent), ...
    if args.orphan:
        return None, ...
    found = find_ref(repo.fd, *parse_refspec(args.branch))
    return found, found


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


def print_table(committed: Committed, counts: Counts) -> None:
    print(f"Commit: {committed.checksum}")
    print(f"Metadata Total: {counts.metadata}")
    print(f"Metadata Written: {counts.metadata_new}")
    print(f"Content Total: {counts.files}")
    print(f"Content Written: {counts.files_new}")
    print(f"Content Cache Hits: {committed.known}")
    print(f"Content Bytes Written: {counts.bytes_new}")
