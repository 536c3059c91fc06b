"""The front door: finds the command in the table, runs it, turns an Error into one line and exit status 1.

The first word without a leading dash is the command; what stands before it belongs to the command too, so `--repo=R
refs` and `refs --repo=R` are the same. Only the module of the command that runs is imported.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from larix import __version__
from larix.errors import Error, Invalid

# The release of the C tool whose command line and formats larix follows. Scripts read it from `--version`, as YAML.
FOLLOWS = "2026.4"

PROGRAM = "larix"

VERSION = f"""\
libostree:
 Version: '{FOLLOWS}'
 Features: []
larix:
 Version: '{__version__}'
"""

USAGE = f"""\
Usage: {PROGRAM} [--version] [--help] COMMAND [OPTION…]

larix keeps whole bootable file system trees in a content-addressed store.
"""


def main(args: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit status. Errors are printed, not raised."""
    try:
        return dispatch(args)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def dispatch(args: Sequence[str]) -> int:
    command = next((word for word in args if not word.startswith("-")), None)
    if command is not None:
        raise Invalid(f"Unknown command '{command}'; see {PROGRAM} --help")
    if "--version" in args:
        print(VERSION, end="")
        return 0
    if "--help" in args or "-h" in args:
        print(USAGE, end="")
        return 0
    if args:
        raise Invalid(f"Unknown option {args[0]}; see {PROGRAM} --help")
    print(USAGE, end="", file=sys.stderr)
    raise Invalid("No command specified")


def run() -> NoReturn:
    sys.exit(main(sys.argv[1:]))
