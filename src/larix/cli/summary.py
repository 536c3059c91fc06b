"""larix summary"""

import argparse
import os
from datetime import UTC, datetime

from larix.cli.json import metadata_json, print_json, variant_json
from larix.cli.options import Parser, add_json, add_lock_timeout, add_missing, add_repo, open_repo
from larix.cli.output import print_variant, tell_passed_over
from larix.cli.values import find_epoch, key_variant
from larix.errors import Invalid, NotFound
from larix.formats.objects import MAX_METADATA_SIZE, from_wire_time
from larix.formats.summary import COLLECTION_ID, COLLECTION_MAP, SUMMARY_TYPE, Summary, SummaryRef, decode_summary
from larix.gvariant import Variant
from larix.gvariant.text import to_text
from larix.linux import reading
from larix.linux.failures import doing
from larix.ops.summary import update_summary
from larix.repo.summary import PATH, SIGNATURES

# Keys of the summary's own metadata that are shown with a title.
TITLES = {
    "ostree.summary.mode": "Repository Mode",
    "ostree.summary.last-modified": "Last-Modified",
    "ostree.summary.tombstone-commits": "Has Tombstone Commits",
    COLLECTION_ID: "Collection ID",
    COLLECTION_MAP: "Collection Map",
}


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_lock_timeout(parser)
    parser.add_argument("-u", "--update", action="store_true", help="Write the summary anew, from the refs")
    parser.add_argument("-v", "--view", action="store_true", help="Print it")
    parser.add_argument(
        "-m", "--add-metadata", metavar="KEY=VALUE", action="append", default=[], help="With -u: say this of the repo"
    )
    for names in "--gpg-sign", "--gpg-homedir", "--sign", "--sign-type":
        add_missing(parser, names, "larix cannot sign yet")
    add_view_options(parser)


def add_view_options(parser: Parser) -> None:
    add_json(parser)
    parser.add_argument("--raw", action="store_true", help="Print it as one GVariant")
    parser.add_argument("--list-metadata-keys", action="store_true", help="Print the keys of its metadata")
    parser.add_argument("--print-metadata-key", metavar="KEY", help="Print one value of its metadata")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo:
        if args.update:
            more = [key_variant(text) for text in args.add_metadata]
            update_summary(repo, more, tell_passed_over(repo), timestamp=find_epoch())
            return
        is_part = args.json or args.raw or args.list_metadata_keys or args.print_metadata_key
        if not args.view and not is_part:
            raise Invalid("No option specified; --update writes the summary, --view prints it")
        with doing(f"Reading the summary of {repo.path}"):
            try:
                data = reading.read(PATH, repo.fd, MAX_METADATA_SIZE)
            except FileNotFoundError:
                raise NotFound(f"{repo.path} has no summary; `larix summary --update` makes one") from None
        is_signed = os.access(SIGNATURES, os.F_OK, dir_fd=repo.fd)
    view(data, args)
    if not is_part and not is_signed:
        print("Summary is unsigned")


def view(data: bytes, args: argparse.Namespace) -> None:
    """Print a summary, or the part of it that the options ask for."""
    summary = decode_summary(data)
    if args.json:
        print_json(summary_to_json(summary))
    elif args.list_metadata_keys:
        print("\n".join(sorted(summary.metadata)))
    elif args.print_metadata_key:
        value = summary.metadata.get(args.print_metadata_key)
        if value is None:
            raise NotFound(f"No such metadata key '{args.print_metadata_key}'")
        print(to_text(value.type, value.value))
    elif args.raw:
        print_variant(SUMMARY_TYPE, data)
    else:
        show(summary)


def summary_to_json(summary: Summary) -> dict[str, object]:
    own = summary.metadata.find_string(COLLECTION_ID)
    collections = [(own, summary.refs), *summary.collections.items()]
    return {
        "refs": [
            {
                "collection": collection,
                "ref": name,
                "checksum": ref.commit,
                "size": ref.size,
                "metadata": metadata_json(ref.metadata),
            }
            for collection, refs in collections
            for name, ref in refs.items()
        ],
        "metadata": {key: variant_json(value) for key, value in summary.metadata.pairs if key != COLLECTION_MAP},
    }


def show(summary: Summary) -> None:
    own = summary.metadata.find_string(COLLECTION_ID)
    for name, ref in summary.refs.items():
        show_ref(f"({own}, {name})" if own is not None else name, ref)
    for collection, refs in summary.collections.items():
        for name, ref in refs.items():
            show_ref(f"({collection}, {name})", ref)
    for key, value in summary.metadata.pairs:
        text = to_text(value.type, value.value, annotate=False)
        if key == "ostree.summary.last-modified":
            text = _date(value)
        elif key == COLLECTION_MAP:
            text = "(printed above)"
        elif key in TITLES:
            text = {True: "Yes", False: "No"}.get(value.value, str(value.value))
        print(f"{TITLES[key]} ({key}): {text}" if key in TITLES else f"{key}: {text}")


def show_ref(name: str, ref: SummaryRef) -> None:
    print(f"* {name}")
    print(f"    Latest Commit ({ref.size} bytes):\n      {ref.commit}")
    for key, value in ref.metadata.pairs:
        if key == "ostree.commit.version":
            print(f"    Version ({key}): {value.value}")
        elif key == "ostree.commit.timestamp":
            print(f"    Timestamp ({key}): {_date(value)}")
        else:
            print(f"    {key}: {to_text(value.type, value.value, annotate=False)}")
    print()


def _date(value: Variant) -> str:
    if value.type != "t":
        return to_text(value.type, value.value)
    try:
        return datetime.fromtimestamp(from_wire_time(value.value), UTC).strftime("%Y-%m-%dT%H:%M:%S+00")
    except (ValueError, OverflowError, OSError):
        return f"@{from_wire_time(value.value)}"
