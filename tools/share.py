"""What a package installs beside the code: manual pages, and completion for shells; all from the table of commands.

    python tools/share.py DIRECTORY

writes share/man/man1/larix*.1 and a completion script each for bash, zsh and fish below DIRECTORY.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import shtab
from argparse_manpage.manpage import Manpage

from larix import __version__
from larix.cli.examples import EXAMPLES
from larix.cli.main import COMMANDS, GROUPS, VERSION, name_commands
from larix.cli.options import Parser

ABOUT = "keep, replicate and deploy whole bootable file system trees"

# Where each shell looks, below the prefix of the installation.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/larix",
    "zsh": "share/zsh/site-functions/_larix",
    "fish": "share/fish/vendor_completions.d/larix.fish",
}

# Asks larix for names, of the repo that the command line so far says.
PREAMBLES = {
    "bash": """\
_larix_names() {
    local repo=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --repo | --sysroot) repo=("${COMP_WORDS[i]}=${COMP_WORDS[i + 1]/#\\~/$HOME}") ;;
        esac
    done
    command larix "$@" "${repo[@]}" 2>/dev/null
}
_larix_refs() { compgen -W "$(_larix_names refs)" -- "$1"; }
_larix_remotes() { compgen -W "$(_larix_names remote list)" -- "$1"; }
# The shell breaks words at = and :, the parser does not: --repo=PATH are two words to it, REMOTE:REF is one.
_larix() {
    local words=() i word joined=
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == : || $joined ]]; then
            words[-1]+=$word
            [[ $word == : ]] && joined=yes || joined=
        elif [[ $word != = || $i == "$COMP_CWORD" ]]; then
            words+=("${word#=}")
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
    _shtab_larix
    word=${words[-1]}
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
}
""",
    "zsh": """\
_larix_names() {
    local -a repo names
    local i
    for ((i = 2; i < $#words; i++)); do
        [[ $words[i] == --(repo|sysroot)=* ]] && repo=("${words[i]/=\\~/=$HOME}")
        [[ $words[i] == --(repo|sysroot) ]] && repo=("$words[i]=${words[i + 1]/#\\~/$HOME}")
    done
    names=("${(@f)$(command larix "$@" $repo 2>/dev/null)}")
    compadd -a names
}
_larix_refs() { _larix_names refs }
_larix_remotes() { _larix_names remote list }
""",
    "fish": """\
function _larix_names
    set -l words (commandline -opc)
    set -l repo
    for i in (seq (count $words))
        string match -q -r -- '^--(repo|sysroot)=' $words[$i]; and set repo (string replace '=~' "=$HOME" -- $words[$i])
        string match -q -r -- '^--(repo|sysroot)$' $words[$i]
        and set repo $words[$i]=(string replace -r '^~' "$HOME" -- $words[(math $i + 1)])
    end
    command larix $argv $repo 2>/dev/null
end
""",
}
FILE: Mapping[str, Any] = shtab.FILE
REF = {"bash": "_larix_refs", "zsh": "_larix_refs", "fish": "(_larix_names refs)"}
REMOTE = {"bash": "_larix_remotes", "zsh": "_larix_remotes", "fish": "(_larix_names remote list)"}

# How an argument is called in --help -> what it can be.
VALUES = {
    **dict.fromkeys(("PATH", "FILE", "DIR", "DESTINATION", "REPO", "SRC_REPO"), FILE),
    **dict.fromkeys(("BRANCH", "COMMIT", "PREFIX", "REF", "REFSPEC", "REV", "REV_OR_DIR"), REF),
    **dict.fromkeys(("REMOTE", "NAME"), REMOTE),
}
# Arguments that are called so and mean something else: names within a tree, in another repo, or new ones.
OTHERS = {
    ("cat", "paths"),
    ("checkout", "subpath"),
    ("export", "prefix"),
    ("export", "subpath"),
    ("ls", "paths"),
    ("pull", "refs"),
    ("pull", "subpath"),
    ("pull-local", "refs"),
    ("pull-local", "remote"),
    ("remote add", "branches"),
    ("remote add", "custom_backend"),
    ("remote add", "name"),
}


def main(target: Path) -> None:
    for path, text in shared_files().items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text)


def shared_files() -> dict[str, str]:
    """Path below the prefix of the installation -> what stands there."""
    found = {path: completion(shell) for shell, path in COMPLETIONS.items()}
    for name in ("", *GROUPS):
        found[page_path(name)] = group_page(name)
    for name in COMMANDS:
        if "--" not in name:
            found[page_path(name)] = command_page(name)
    return found


def completion(shell: str) -> str:
    script = str(shtab.complete(command_tree(), shell, preamble=PREAMBLES[shell]))
    if shell == "bash":
        return script.replace("-F _shtab_larix larix", "-F _larix larix")
    return "\n".join(map(with_equals_sign, script.split("\n"))) if shell == "zsh" else script


def with_equals_sign(line: str) -> str:
    """In zsh `--option=[about]:VALUE:` is one that takes --option=VALUE too; shtab only writes `--option[…`."""
    names, bracket, rest = line.partition("[")
    if re.match(r' +[{"]', names) and "]:" in rest:
        names = re.sub(r"--[\w-]+", r"\g<0>=", names)
    return names + bracket + rest


def command_tree() -> argparse.ArgumentParser:
    """All commands below one parser, as argparse has it; at run time only the one that runs is made."""
    top = argparse.ArgumentParser("larix", description=ABOUT)
    top.add_argument("--version", action="store_true", help="Print the version")
    groups: dict[str, Any] = {"": top.add_subparsers()}
    for name, about in GROUPS.items():
        above, _, word = name.rpartition(" ")
        groups[name] = groups[above].add_parser(word, prog=f"larix {name}", help=about).add_subparsers()
    for name, (_, about) in COMMANDS.items():
        above, _, word = name.rpartition(" ")
        if not word.startswith("-"):
            # The class of parsers below is that of the one above; that of the commands knows more.
            groups[above]._parser_class = lambda name=name, about=about, **_: parser_of(name, about)
            groups[above].add_parser(word, help=about)
            groups[above]._parser_class = argparse.ArgumentParser
    return top


def parser_of(name: str, about: str) -> Parser:
    parser = Parser(f"larix {name}", about, VERSION)
    import_module(f"larix.cli.{COMMANDS[name][0]}").configure(parser)
    for action in parser._actions:
        kind = VALUES.get(str(action.metavar))
        if kind is not None and (name, action.dest) not in OTHERS:
            action.complete = kind  # type: ignore[attr-defined]
    return parser


def page_path(name: str) -> str:
    return f"share/man/man1/{dashed(name)}.1"


def dashed(name: str) -> str:
    return "-".join(["larix", *name.split()])


def command_page(name: str) -> str:
    about = COMMANDS[name][1]
    parser = parser_of(name, about)
    page = new_page(parser, name, about)
    page.add_section("exit status", "=", "0 where all went well; 1, and one line on standard error, where it did not.")
    page.add_section("examples", "=", "\n".join(f".nf\n{escape(example)}\n.fi" for example in EXAMPLES[name]))
    above = [name.rpartition(" ")[0]] if " " in name else []
    add_references(page, ["", *above])
    return str(page)


def group_page(name: str) -> str:
    about = GROUPS.get(name, ABOUT)
    program = f"larix {name}".strip()
    parser = argparse.ArgumentParser(program, usage=f"{program} COMMAND [OPTION...]", add_help=False)
    page = new_page(parser, name, about)
    commands = name_commands(name)
    listed = [f".TP\n\\fB{escape(word)}\\fR\n{escape(what)}" for word, what in sorted(commands.items())]
    page.add_section("commands", "=", "\n".join(listed))
    if not name:
        page.add_section("environment", "=", ENVIRONMENT)
    pages = [f"{name} {word}".strip() for word in sorted(commands) if not word.startswith("-")]
    add_references(page, pages if not name else ["", *pages])
    return str(page)


ENVIRONMENT = r"""
.TP
\fBOSTREE_REPO\fR
The repo, where no \-\-repo says it.
.TP
\fBOSTREE_SYSROOT\fR
The sysroot, where no \-\-sysroot says it.
.TP
\fBSOURCE_DATE_EPOCH\fR
The date of new commits, in seconds since 1970."""


def new_page(parser: argparse.ArgumentParser, name: str, about: str) -> Manpage:
    page = Manpage(parser)
    page.prog = dashed(name)
    page.description = about[:1].lower() + about[1:]
    page.synopsis = [f"larix {name}".strip(), *page.synopsis[1 + len(name.split()) :]]
    # A date would make each build another.
    page.date = ""
    page.source = f"larix {__version__}"
    page.manual = "larix"
    return page


def add_references(page: Manpage, names: list[str]) -> None:
    page.add_section("see also", "=", ",\n".join(f"\\fB{escape(dashed(name))}\\fR(1)" for name in names))


def escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
