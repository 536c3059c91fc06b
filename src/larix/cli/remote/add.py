"""larix remote add"""

import argparse
from collections.abc import Iterable

from larix.cli.options import Parser, add_missing, add_repo, add_sysroot_of_repo, open_repo
from larix.errors import Invalid
from larix.formats.names import check_collection, check_ref
from larix.repo.remotes import Remote, add_remote, find_remote


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_sysroot_of_repo(parser)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="Set this key of the remote")
    parser.add_argument("--no-gpg-verify", action="store_true", help="Take commits without a GPG signature")
    parser.add_argument("--no-sign-verify", action="store_true", help="Take commits without any signature")
    parser.add_argument("--if-not-exists", action="store_true", help="Change nothing where the remote is there already")
    parser.add_argument("--force", action="store_true", help="Replace the remote where it is there already")
    parser.add_argument("--contenturl", metavar="URL", help="Fetch objects from here, and only metadata from URL")
    parser.add_argument("--collection-id", metavar="ID", help="The collection that the remote's refs belong to")
    parser.add_argument("--custom-backend", metavar="NAME", help="Its content comes by other means than OSTree's")
    for option in "--gpg-import", "--sign-verify":
        add_missing(parser, option, "larix cannot check signatures yet")
    parser.add_argument("name", metavar="NAME", help="The remote's name here")
    parser.add_argument("url", metavar="URL", help="Where it is: http://, https:// or file://; or mirrorlist=URL")
    parser.add_argument("branches", metavar="BRANCH", nargs="*", default=[], help="What to pull when nothing is named")


def run(args: argparse.Namespace) -> None:
    if args.if_not_exists and args.force:
        raise Invalid("Can only specify one of --if-not-exists and --force")
    key, equals, value = args.url.partition("=")
    options = {"metalink": value} if equals and key == "metalink" else {"url": args.url}
    if args.branches:
        options["branches"] = "".join(f"{check_ref(branch)};" for branch in args.branches)
    if args.contenturl is not None:
        options["contenturl"] = args.contenturl
    options |= parse_settings(args.set)
    if args.collection_id is not None:
        options["collection-id"] = check_collection(args.collection_id)
    if args.custom_backend is not None:
        options["custom-backend"] = args.custom_backend
    if args.no_gpg_verify or args.no_sign_verify:
        options["gpg-verify"] = "false"
    if args.no_sign_verify:
        options["sign-verify"] = "false"
    with open_repo(args) as repo:
        if not (args.if_not_exists and find_remote(repo, args.name)):
            add_remote(repo, Remote(args.name, options), replace=args.force)


def parse_settings(texts: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE of each --set."""
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise Invalid(f"Missing '=' in --set={text}; it must be KEY=VALUE")
        options[key.strip()] = value
    return options
