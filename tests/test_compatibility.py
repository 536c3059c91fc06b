"""docs/compatibility.md, held against the parser; and the parser against what the C tool's --help lists."""

import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from larix.cli.examples import EXAMPLES
from larix.cli.main import COMMANDS, GROUPS, VERSION, main
from larix.cli.options import Parser, is_missing
from tests.judge import run_c

TABLE = (Path(__file__).parent.parent / "docs/compatibility.md").read_text()
# What every command has, and not worth a word.
COMMON = {"--help", "--verbose", "--version", "--repo", "--sysroot"}


def parser_of(name: str) -> Parser:
    parser = Parser(name, "", VERSION)
    import_module(f"larix.cli.{COMMANDS[name][0]}").configure(parser)
    return parser


def row(name: str) -> str:
    """The row of the table that the parser calls for."""
    cells: list[list[str]] = [[], [], []]
    for action in parser_of(name)._actions:
        options = [option for option in action.option_strings if option.startswith("--")]
        if options and not COMMON.intersection(options):
            kind = 2 if is_missing(action) else 1 if (action.help or "").startswith("Accepted") else 0
            cells[kind].extend(options)
    texts = [" ".join(f"`{option}`" for option in sorted(options)) for options in cells]
    return f"| `{name}` | {' | '.join(texts)} |"


@cache
def c_commands(group: str = "") -> frozenset[str]:
    text = run_c(*group.split(), "--help", check=False).stdout
    # Where all commands of a group are hidden, an empty line follows.
    listed = text.partition("Commands:")[2].partition("\n\n")[0]
    return frozenset(line.split()[0] for line in listed.splitlines() if line)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_table_lists_the_options_of_the_parser(name: str) -> None:
    assert row(name) in TABLE.splitlines()


def test_the_table_lists_no_command_that_is_not_there() -> None:
    rows = re.findall(r"^\| `([a-z- ]+)` \| .* \| .* \| .* \|$", TABLE, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_every_command_has_an_example_that_it_understands(capsys: pytest.CaptureFixture[str]) -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, examples in EXAMPLES.items():
        for example in examples:
            program, *words = shlex.split(example)
            assert program == "larix"
            assert words[: len(name.split())] == name.split()
            parser_of(name).parse(words[len(name.split()) :])
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"], "ostree")
        assert capsys.readouterr().out.endswith(f"  {examples[-1].replace('larix', 'ostree', 1)}\n")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_parser_knows_all_options_of_the_c_tool(name: str) -> None:
    group, _, word = name.rpartition(" ")
    if word not in c_commands(group):
        pytest.skip("the C tool here has no such command")
    text = run_c(*name.split(), "--help", check=False).stdout
    theirs = dict(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)(=\S+)?", text, re.MULTILINE))
    assert theirs
    ours = {option: action.nargs != 0 for action in parser_of(name)._actions for option in action.option_strings}
    assert not theirs.keys() - ours.keys() - {"--repo"}
    # An option with a value there has one here.
    assert not {option for option, value in theirs.items() if value and not ours.get(option, True)}


def test_commands_that_are_missing_are_named() -> None:
    paragraph = TABLE.partition("Commands that are not there yet:")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z0-9- ]+)`", paragraph))
    theirs = {f"{group} {word}".strip() for group in ("", *GROUPS) for word in c_commands(group)} - set(GROUPS)
    missing = theirs - COMMANDS.keys()
    # The C tool here is older than the one that larix follows.
    assert missing <= named
    assert not named & COMMANDS.keys()
