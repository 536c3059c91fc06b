"""What all commands share: a parser with the C tool's habits, --repo, and values from the environment."""

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import NoReturn

from larix.errors import Failed, Invalid, NotFound, Unsupported
from larix.linux import reading
from larix.linux.failures import doing
from larix.repo.repo import Repo, RepoOptions

SYSTEM_REPO = "/ostree/repo"


class _Formatter(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Examples keep their lines.
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        return super()._format_usage(usage, actions, groups, "Usage: " if prefix is None else prefix)


class _Version(argparse.Action):
    """As argparse's own, which would fold the lines."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> NoReturn:
        print(self.const, end="")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Options may stand after arguments, and have only their full name. Wrong use is an Error, not an exit."""

    def __init__(self, program: str, description: str, version: str) -> None:
        super().__init__(
            prog=program,
            description=description,
            allow_abbrev=False,
            add_help=False,
            conflict_handler="resolve",
            formatter_class=_Formatter,
        )
        self.add_argument("-h", "--help", action="help", help="Show this text")
        self.add_argument("-v", "--verbose", action="store_true", help="Say more about what is done")
        self.add_argument("--version", action=_Version, nargs=0, const=version, help="Print the version")

    def error(self, message: str) -> NoReturn:
        words = message.removeprefix("unrecognized arguments: ")
        if words != message:
            message = f"unknown option {words}" if words.startswith("-") else f"too many arguments given: {words}"
        raise Invalid(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help")

    def show_examples(self, examples: Sequence[str]) -> None:
        self.epilog = "\n".join([f"Example{'s' * (len(examples) > 1)}:", *(f"  {example}" for example in examples)])

    def parse(self, args: Sequence[str]) -> argparse.Namespace:
        return self.parse_intermixed_args(args)


class _Missing(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        raise Unsupported(f"{option}: {self.const}")


def add_missing(parser: Parser, names: str, why: str, *, value: bool = True) -> None:
    """Add an option of the C tool that is known here and does not work, with its names between spaces."""
    parser.add_argument(*names.split(), action=_Missing, nargs=None if value else 0, const=why, help=argparse.SUPPRESS)


def is_missing(action: argparse.Action) -> bool:
    return isinstance(action, _Missing)


def boolean(text: str) -> bool:
    """Return what a word means in the C tool's options and config."""
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("0", "false", "no", "none"):
        return False
    raise Invalid(f"Invalid boolean argument '{text}'; write true or false")


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs")


def add_repo(parser: Parser) -> None:
    parser.add_argument("--repo", metavar="PATH", help=f"The repo (default: $OSTREE_REPO, else {SYSTEM_REPO})")


def add_lock_timeout(parser: Parser) -> None:
    parser.add_argument(
        "--lock-timeout",
        type=float,
        metavar="SECONDS",
        help="Wait no longer while others use the repo; -1: for ever (default: core.lock-timeout-secs, or 30)",
    )


def add_sysroot_of_repo(parser: Parser) -> None:
    parser.add_argument("--sysroot", metavar="PATH", help="Use the repo of this sysroot, in place of --repo")


def repo_path(args: argparse.Namespace) -> str:
    if args.repo is not None:
        return str(args.repo)
    if _is_inside_repo():
        return "."
    found = os.environ.get("OSTREE_REPO")
    if found is None and not os.access(SYSTEM_REPO, os.F_OK):
        raise NotFound(f"No repo: give --repo=PATH or set OSTREE_REPO; there is no {SYSTEM_REPO} on this machine")
    return found or SYSTEM_REPO


def _is_inside_repo() -> bool:
    """Return whether we stand in a repo: a command given there means that."""
    return os.access("objects", os.F_OK) and os.access("config", os.F_OK)


def open_repo(args: argparse.Namespace, *, fsync: bool = True) -> Repo:
    sysroot = getattr(args, "sysroot", None)
    if sysroot is None and args.repo is None and "OSTREE_REPO" not in os.environ and not _is_inside_repo():
        sysroot = os.environ.get("OSTREE_SYSROOT")
    options = repo_options()._replace(fsync=fsync, lock_timeout=getattr(args, "lock_timeout", None))
    return Repo(repo_path(args), options) if sysroot is None else Repo.of_sysroot(sysroot, options)


def repo_options() -> RepoOptions:
    """Return what tests of the C tool set in the environment."""
    fails = os.environ.get("OSTREE_REPO_TEST_ERROR") == "pre-commit"
    return RepoOptions(boot_id=os.environ.get("OSTREE_BOOTID"), before_commit=_fail_before_commit if fails else None)


def _fail_before_commit() -> None:
    raise Failed("Nothing was committed, as OSTREE_REPO_TEST_ERROR_PRE_COMMIT wanted")


def read_text(path: str) -> str:
    with doing(f"Reading {path}"):
        data = reading.read_whole(path)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not UTF-8 text") from None
