"""larix config"""

import argparse
import re

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.errors import Invalid, NotFound
from larix.repo.config import remove_option, set_option

# Operation -> what must follow it.
OPERATIONS = {"get": ["KEY"], "set": ["KEY", "VALUE"], "unset": ["KEY"]}

# The first dot ends the group, but for one within quotes as in `remote "a.b"`.
KEY = re.compile(r"""((?:[^."]|"[^"]*")+)\.(.+)""")


def configure(parser: Parser) -> None:
    add_repo(parser)
    parser.add_argument("--group", metavar="GROUP", help="The group of KEY, which is then the key alone")
    add_json(parser)
    parser.add_argument("operation", metavar="get|set|unset", nargs="?", help="What to do")
    parser.add_argument("key", metavar="KEY", nargs="?", help="GROUP.KEY, such as core.fsync")
    parser.add_argument("value", metavar="VALUE", nargs="?", help="What to set it to")


def run(args: argparse.Namespace) -> None:
    if args.operation is None:
        raise Invalid("OPERATION must be specified: get, set or unset")
    if args.operation not in OPERATIONS:
        raise Invalid(f"Unknown operation {args.operation}; known are {', '.join(OPERATIONS)}")
    needed = OPERATIONS[args.operation]
    given = [word for word in (args.key, args.value) if word is not None]
    if len(given) < len(needed):
        raise Invalid(f"{' and '.join(needed)} must be specified")
    if len(given) > len(needed):
        raise Invalid(f"Too many arguments given to {args.operation}: {args.value}")
    group, key = (args.group, args.key) if args.group is not None else split(args.key)
    with open_repo(args) as repo:
        if args.operation == "set":
            set_option(repo, group, key, args.value)
        elif args.operation == "unset":
            remove_option(repo, group, key)
        else:
            value = repo.config.find(group, key)
            if value is None:
                raise NotFound(f"Key file does not have key '{key}' in group '{group}' ({repo.path}/config)")
            if args.json:
                print_json({"group": group, "key": key, "value": value})
            else:
                print(value)


def split(text: str) -> tuple[str, str]:
    found = KEY.fullmatch(text)
    if found is None:
        raise Invalid(f"Invalid key {text!r}: it must be GROUP.KEY, or use --group")
    return found[1], found[2]
