"""The front door: finds the command in the table, runs it, turns an Error into one line and exit status 1.

The first word without a leading dash is the command; what stands before it belongs to the command too, so `--repo=R
refs` and `refs --repo=R` are the same. Only the module of the command that runs is imported. A command that is not in
the table is a program `ostree-COMMAND` of $PATH, as for the C tool.
"""

import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from larix import __version__
from larix.cli.streams import check_output, prepare_streams
from larix.errors import Error, Invalid, Unsupported, printable
from larix.linux.failures import as_error

# The release of the C tool whose command line and formats larix follows. Scripts read it from `--version`, as YAML.
FOLLOWS = "2026.4"

VERSION = f"""\
libostree:
 Version: '{FOLLOWS}'
 Features:
  - inode64
  - initial-var
  - libcurl
  - libarchive
larix:
 Version: '{__version__}'
"""

# Group of commands -> what it is about.
GROUPS = {
    "admin": "Commands for the machine: its deployments and what boots",
    "admin instutil": "Commands for programs that install an operating system",
    "admin kargs": "Commands for the kernel arguments of deployments",
    "remote": "Commands for remotes: where to pull from",
}

# Command, of one word or of a group's word and its own -> (module below larix.cli, what it does).
COMMANDS = {
    "admin --print-current-dir": ("admin.current_dir", "Print where the booted deployment is, else the first"),
    "admin cleanup": ("admin.cleanup", "Remove what no deployment needs"),
    "admin etc-merge": ("admin.etc_merge", "Show what the next deployment makes of /etc"),
    "admin config-diff": ("admin.config_diff", "Print what differs in /etc from what the tree brought"),
    "admin deploy": ("admin.deploy", "Make a commit the tree that boots next"),
    "admin init-fs": ("admin.init_fs", "Make a directory a sysroot"),
    "admin instutil set-kargs": ("admin.set_kargs", "Set the kernel arguments of the first deployment"),
    "admin kargs edit-in-place": ("admin.kargs_edit_in_place", "Change the kernel arguments of all deployments"),
    "admin os-init": ("admin.os_init", "Make a stateroot"),
    "admin stateroot-init": ("admin.os_init", "Make a stateroot"),
    "admin pin": ("admin.pin", "Keep a deployment from being removed to make room"),
    "admin post-copy": ("admin.post_copy", "Guard deployments again after a copy of the sysroot"),
    "admin set-default": ("admin.set_default", "Make another deployment the one that boots"),
    "admin set-origin": ("admin.set_origin", "Let a deployment follow another remote"),
    "admin status": ("admin.status", "List the deployments"),
    "admin switch": ("admin.switch", "Bring the newest commit of another ref, and deploy it"),
    "admin undeploy": ("admin.undeploy", "Remove a deployment"),
    "admin upgrade": ("admin.upgrade", "Bring the newest commit of what is deployed, and deploy it"),
    "cat": ("cat", "Print files of a commit"),
    "checksum": ("checksum", "Print the checksum that a file or directory would have as an object"),
    "checkout": ("checkout", "Make a directory of a commit"),
    "commit": ("commit", "Commit a directory as a new version of a tree"),
    "config": ("config", "Print or change a setting of a repo"),
    "df": ("df", "Print what takes the space of a repo, and what dropping a ref would free"),
    "diff": ("diff", "Print what differs between two commits or directories"),
    "export": ("export", "Write a commit as a tar archive"),
    "fsck": ("fsck", "Check that every object is there and has its checksum"),
    "init": ("init", "Make a new repo"),
    "log": ("log", "Print a commit and those before it"),
    "ls": ("ls", "List files of a commit"),
    "prune": ("prune", "Delete objects that nothing needs"),
    "pull": ("pull", "Bring commits from a remote"),
    "pull-local": ("pull_local", "Bring commits from a repo in a directory"),
    "refs": ("refs", "List, create or delete refs"),
    "remote add": ("remote.add", "Remember where to pull from"),
    "remote delete": ("remote.delete", "Forget a remote"),
    "remote list": ("remote.list", "List the remotes"),
    "remote refs": ("remote.refs", "List the refs that a remote has"),
    "remote show-url": ("remote.show_url", "Print where a remote is"),
    "remote summary": ("remote.summary", "Print the summary of a remote"),
    "reset": ("reset", "Point a ref at an earlier commit"),
    "rev-parse": ("rev_parse", "Print the checksum of the commit that a name means"),
    "serve": ("serve", "Let clients pull from a repo over HTTP"),
    "show": ("show", "Print a commit or another object"),
    "summary": ("summary", "Write or print the summary, which says what refs a repo has"),
}

# What the C tool has besides; of those with two words below one group, the group.
NOT_YET = {
    "admin finalize-staged",
    "admin instutil grub2-generate",
    "admin instutil selinux-ensure-labeled",
    "admin lock-finalization",
    "admin prepare-soft-reboot",
    "admin unlock",
    "create-usb",
    "find-remotes",
    "gpg-sign",
    "remote add-cookie",
    "remote delete-cookie",
    "remote gpg-import",
    "remote gpg-list-keys",
    "remote list-cookies",
    "sign",
    "static-delta",
}

# Of which a command's name consists.
MOST_WORDS = max(len(name.split()) for name in COMMANDS)

USAGE = """\
Usage:
  {program} [OPTION…] COMMAND

{about}

Builtin {group}Commands:
{commands}
Help Options:
  -h, --help            Show this text; after a command: what it does and takes

Application Options:
  -v, --verbose         Say more about what is done
  --version             Print the version
"""


class WrongCommand(Invalid):
    """There is no such command; the usage of what there is helps more than the error alone."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


def main(args: Sequence[str], program: str = "larix") -> int:
    """Run one command line (without the program's name) and return its exit status. Errors are printed, not raised."""
    try:
        status = dispatch(args, program)
        check_output()
        return status
    except Error as error:
        if isinstance(error, WrongCommand):
            print(error.usage, file=sys.stderr)
        print(f"error: {printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"error: {printable(str(as_error('Failed', error)))}", file=sys.stderr)
    return 1


def dispatch(args: Sequence[str], program: str) -> int:
    words = [i for i, word in enumerate(args) if not word.startswith("-")]
    group, rest = "", words
    for count in range(1, MOST_WORDS + 1):
        name = " ".join(args[i] for i in words[:count])
        if name in COMMANDS:
            return run_command(program, name, [word for i, word in enumerate(args) if i not in words[:count]])
        if name in GROUPS:
            group, rest = name, words[count:]
    for option in args:
        if not rest and f"{group} {option}" in COMMANDS:
            return run_command(program, f"{group} {option}", [word for word in args if word not in (group, option)])
    quoted = f'"{group}" sub' if group else ""
    if rest:
        word = args[rest[0]]
        if not group:
            from larix.linux.run import run_instead

            run_instead(f"ostree-{word}", args)
        if (name := f"{group} {word}".strip()) in NOT_YET:
            raise Unsupported(f"larix cannot do '{name}' yet; `larix --help` lists what it can do")
        from difflib import get_close_matches

        near = " or ".join(get_close_matches(word, name_commands(group)))
        raise WrongCommand(
            f"Unknown {quoted}command '{word}'{f'; did you mean {near}?' if near else ''}", usage(program, group)
        )
    if "--version" in args:
        print(VERSION, end="")
        return 0
    if "--help" in args or "-h" in args:
        print(usage(program, group), end="")
        return 0
    if options := [arg for arg in args if arg.startswith("-") and not arg.startswith("--repo")]:
        raise Invalid(f"Unknown option {options[0]}; see {program} --help")
    raise WrongCommand(f"No {quoted}command specified", usage(program, group))


def usage(program: str, group: str) -> str:
    """Return the text of --help for all commands, or for those of one group."""
    about = GROUPS.get(group, f"{program} keeps whole bootable file system trees in a content-addressed store.")
    quoted = f'"{group}" ' if group else ""
    commands = listed(name_commands(group))
    return USAGE.format(program=f"{program} {group}".strip(), about=about, group=quoted, commands=commands)


def name_commands(group: str) -> dict[str, str]:
    """Each word that can follow a group's (none: the program's) name -> what it does."""
    start = f"{group} " if group else ""
    everything = GROUPS | {name: about for name, (_, about) in COMMANDS.items()}
    below = {name.removeprefix(start): about for name, about in everything.items() if name.startswith(start)}
    return {name: about for name, about in below.items() if " " not in name}


def listed(commands: Mapping[str, str]) -> str:
    return "".join(f"  {name:<20}  {about}\n" for name, about in sorted(commands.items()))


def run_command(program: str, name: str, args: Sequence[str]) -> int:
    from larix.cli.options import Parser

    module_name, about = COMMANDS[name]
    module = import_module(f"larix.cli.{module_name}")
    parser = Parser(f"{program} {name}", about, VERSION)
    module.configure(parser)
    if "--help" in args or "-h" in args:
        from larix.cli.examples import EXAMPLES

        parser.show_examples([example.replace("larix", program, 1) for example in EXAMPLES[name]])
    module.run(parser.parse(args))
    return 0


def run() -> NoReturn:
    prepare_streams()
    # Objects by the ten thousand are made here that live to the end; to look for garbage among them is time lost.
    gc.set_threshold(100_000, 20, 100)
    # Ignored by whoever started us, it would take from us how an editor ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program = "ostree" if os.path.basename(sys.argv[0]) == "ostree" else "larix"
    try:
        sys.exit(main(sys.argv[1:], program))
    except KeyboardInterrupt:
        # All was put away on the way here. Whoever called us must see that it was the signal: a shell stops its script.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    except Exception as error:
        if {"-v", "--verbose"} & {*sys.argv}:
            raise
        sys.exit(f"error: A defect of larix: {error!r}; with --verbose it says where, for a report")
