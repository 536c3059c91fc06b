"""larix pull"""

import argparse
import time

from larix.cli.options import Parser, add_repo, open_repo
from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum, parse_checksum
from larix.linux import files
from larix.remote.http import RETRIES
from larix.remote.open import open_source
from larix.remote.pull import WHOLE_TREE, Paths, PullOptions, pull
from larix.remote.source import Pulled, Source
from larix.remote.trust import check_policy
from larix.repo.remotes import Remote, load_remote
from larix.repo.summary import PATH as SUMMARY


def add_options(parser: Parser) -> None:
    """What pull and pull-local share."""
    add_repo(parser)
    parser.add_argument("--depth", type=int, default=0, help="How many parents come too; -1 for all (default: 0)")
    parser.add_argument("--commit-metadata-only", action="store_true", help="Bring commits without their trees")
    parser.add_argument("--disable-verify-bindings", action="store_true", help="Take a commit made for another ref")
    parser.add_argument("--disable-fsync", action="store_true", help="Do not wait for the disk")
    parser.add_argument(
        "--untrusted", action="store_true", help="Check what a repo of this machine has before linking it"
    )
    parser.add_argument(
        "--bareuseronly-files", action="store_true", help="Refuse files that a repo of mode bare-user-only cannot have"
    )
    # There are no deltas that could be used.
    for option in "--disable-static-deltas", "--per-object-fsync":
        parser.add_argument(option, action="store_true", help="Accepted; larix does so always")


def configure(parser: Parser) -> None:
    add_options(parser)
    parser.add_argument(
        "--mirror", action="store_true", help="Make branches of this repo, of all refs if none is named"
    )
    parser.add_argument(
        "--subpath", metavar="PATH", action="append", default=[], help="Bring only this part of each tree"
    )
    parser.add_argument("--url", help="Pull from here instead of the remote's url")
    parser.add_argument("--http-header", metavar="NAME=VALUE", action="append", default=[], help="Send this header too")
    parser.add_argument("--http-trusted", action="store_true", help="Accepted; checksums are compared all the same")
    parser.add_argument("--network-retries", type=int, default=RETRIES, help=f"Tries after the first ({RETRIES})")
    parser.add_argument("-T", "--timestamp-check", action="store_true", help="Refuse commits older than what is here")
    parser.add_argument("remote", metavar="REMOTE", help="A remote, or REMOTE:REF")
    parser.add_argument("refs", metavar="REF", nargs="*", help="Branch, BRANCH@CHECKSUM or CHECKSUM")


def run(args: argparse.Namespace) -> None:
    name, _, ref = args.remote.partition(":")
    with open_repo(args) as repo:
        if args.disable_fsync:
            repo.fsync = False
        remote = load_remote(repo, name)
        if args.url:
            remote = Remote(name, {**remote.options, "url": args.url})
        check_policy(remote)
        headers = tuple(_header(text) for text in args.http_header)
        began = time.monotonic()
        source = open_source(repo, remote, headers, args.network_retries, trusted=not args.untrusted)
        try:
            named = [*([ref] if ref else []), *args.refs] or remote.branches
            wanted = parse_refs(named) if named else _all_refs(source, remote, mirror=args.mirror)
            pulled = pull(repo, source, wanted, None if args.mirror else name, options(args))
            if args.mirror and not named and (summary := source.summary()) is not None:
                with files.doing(f"Writing the summary of {repo.path}"):
                    files.replace(SUMMARY, summary, repo.fd, durable=repo.fsync)
            print_pulled(pulled, source, time.monotonic() - began)
        finally:
            source.close()


def options(args: argparse.Namespace) -> PullOptions:
    if args.depth < -1:
        raise Invalid(f"Invalid depth {args.depth}: it is a number of parents, or -1 for all")
    return PullOptions(
        args.depth,
        args.commit_metadata_only,
        not args.disable_verify_bindings,
        getattr(args, "timestamp_check", False),
        args.bareuseronly_files,
        parse_subpaths(getattr(args, "subpath", [])),
    )


def parse_subpaths(paths: list[str]) -> Paths:
    for path in paths:
        if not path.startswith("/"):
            raise Invalid(f"Invalid --subpath={path}; it must begin with /")
    found = frozenset(tuple(part for part in path.split("/") if part) for path in paths)
    return WHOLE_TREE if not found or () in found else found


def parse_refs(refs: list[str]) -> dict[str, Checksum | None]:
    """REF, REF@CHECKSUM or CHECKSUM, each with the commit that is given."""
    found: dict[str, Checksum | None] = {}
    for text in refs:
        ref, at, checksum = text.partition("@")
        found[ref] = parse_checksum(checksum) if at else None
    return found


def _all_refs(source: Source, remote: Remote, *, mirror: bool) -> dict[str, Checksum | None]:
    if not mirror:
        raise NotFound(f"No configured branches for remote {remote.name}; name those to pull")
    return {**source.refs()}


def _header(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals or not name or any(character in text for character in "\r\n\0"):
        raise Invalid(f"Invalid --http-header={text!r}; it must be NAME=VALUE")
    return f"{name}: {value}"


def print_pulled(pulled: Pulled, source: Source, seconds: float) -> None:
    objects = f"{pulled.metadata} metadata, {pulled.content} content objects"
    written = f"{_size(pulled.content_size)} content written"
    if not source.remote:
        print(f"{objects} imported; {written}")
    else:
        print(f"{objects} fetched; {_size(pulled.transferred)} transferred in {int(seconds)} seconds; {written}")


def _size(size: float) -> str:
    unit = "bytes"
    for larger in "KiB", "MiB", "GiB":
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
