"""larix pull"""

import argparse
import re
import time
from dataclasses import replace

from larix.cli.options import Parser, add_lock_timeout, add_missing, add_repo, open_repo
from larix.cli.output import size
from larix.cli.progress import add_progress, progress_of
from larix.errors import Invalid
from larix.formats.checksum import Checksum, parse_checksum
from larix.remote.http import DEFAULTS, HttpOptions
from larix.remote.open import Access
from larix.remote.pull import pull_remote
from larix.remote.puller import WHOLE_TREE, Paths, PullOptions
from larix.remote.source import Pulled
from larix.repo.remotes import Remote, load_remote


def add_options(parser: Parser) -> None:
    """Add what pull and pull-local share."""
    add_repo(parser)
    add_lock_timeout(parser)
    add_progress(parser)
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
    add_missing(parser, "--require-static-deltas", "larix has no static deltas yet", value=False)


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
    http = parser.add_argument_group("Network")
    for option, default, about in (
        ("--network-retries", DEFAULTS.retries, "Tries after the first"),
        ("--max-outstanding-fetcher-requests", DEFAULTS.requests, "How much is asked for at once"),
        ("--low-speed-limit-bytes", DEFAULTS.low_speed, "Give up what brings less in a second …"),
        ("--low-speed-time-seconds", DEFAULTS.low_speed_seconds, "… for so long"),
    ):
        http.add_argument(option, metavar="N", type=_count, default=default, help=f"{about} (default: {default})")
    http.add_argument("--append-user-agent", metavar="TEXT", type=_header_text, help="Say this too of who asks")
    http.add_argument(
        "--disable-retry-on-network-errors", action="store_true", help="Try again only where the server asks for it"
    )
    parser.add_argument(
        "-L",
        "--localcache-repo",
        metavar="REPO",
        action="append",
        default=[],
        help="Take objects from this repo of the machine where it has them",
    )
    parser.add_argument("-T", "--timestamp-check", action="store_true", help="Refuse commits older than what is here")
    parser.add_argument("--timestamp-check-from-rev", metavar="REV", help="Refuse commits older than this one")
    parser.add_argument("--cache-dir", metavar="DIR", help="Accepted; larix caches no summaries")
    parser.add_argument("--update-frequency", metavar="MS", type=_count, help="Tell no more often how far it is")
    add_missing(parser, "--dry-run", "it tells what static deltas would bring, and larix has none yet", value=False)
    parser.add_argument("remote", metavar="REMOTE", help="A remote, or REMOTE:REF")
    parser.add_argument("refs", metavar="REF", nargs="*", default=[], help="Branch, BRANCH@CHECKSUM or CHECKSUM")


def run(args: argparse.Namespace) -> None:
    name, _, ref = args.remote.partition(":")
    with open_repo(args, fsync=not args.disable_fsync) as repo:
        remote = load_remote(repo, name)
        if args.url:
            remote = Remote(name, {**remote.options, "url": args.url})
        chosen = options(args)
        if args.timestamp_check_from_rev is not None:
            chosen = replace(chosen, newer_than=repo.refs.resolve(args.timestamp_check_from_rev))
        access = Access(_http_options(args), args.localcache_repo, trusted=not args.untrusted)
        named = [*([ref] if ref else []), *args.refs] or remote.branches
        began = time.monotonic()
        with progress_of(args) as progress:
            wanted = parse_refs(named) if named else None
            pulled = pull_remote(repo, remote, wanted, chosen, access, mirror=args.mirror, progress=progress)
        print_pulled(pulled, time.monotonic() - began)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return int(text)


def _http_options(args: argparse.Namespace) -> HttpOptions:
    return HttpOptions(
        tuple(_header(text) for text in args.http_header),
        args.network_retries,
        not args.disable_retry_on_network_errors,
        # With none at all nothing would ever come.
        args.max_outstanding_fetcher_requests or 1,
        args.low_speed_limit_bytes,
        args.low_speed_time_seconds,
        args.append_user_agent,
    )


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


def _header_text(text: str) -> str:
    if any(character in text for character in "\r\n\0"):
        raise argparse.ArgumentTypeError(f"{text!r} is not one line of text")
    return text


def _header(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals or not name or any(character in text for character in "\r\n\0"):
        raise Invalid(f"Invalid --http-header={text!r}; it must be NAME=VALUE")
    return f"{name}: {value}"


def print_pulled(pulled: Pulled, seconds: float) -> None:
    fetched = pulled.metadata - pulled.metadata_near, pulled.content - pulled.content_near
    objects = "{} metadata, {} content objects".format(*fetched)
    written = f"{size(pulled.content_size)} content written"
    if not pulled.over_network:
        print(f"{objects} imported; {written}")
    else:
        near = ""
        if pulled.metadata_near or pulled.content_near:
            near = f" ({pulled.metadata_near} meta, {pulled.content_near} content local)"
        came = pulled.transferred
        travelled = f"{came} B" if came < 1024 else f"{came // 1024} KiB"
        print(f"{objects} fetched{near}; {travelled} transferred in {int(seconds)} seconds; {written}")
