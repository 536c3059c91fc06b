"""Changing a repo's config, keeping all that is not changed as it is.

A value that no OSTree could read is not written: a repo with it may not open any more.
"""

import re

from larix.errors import Corrupt, Error, Invalid
from larix.formats import names
from larix.formats.keyfile import KeyFile
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.repo.locking import lock_changes
from larix.repo.repo import LAYOUTS, MAX_CONFIG_SIZE, Repo
from larix.repo.space import Space
from larix.repo.staging import temporary_path

BOOLEANS = {
    "core": (
        "fsync",
        "per-object-fsync",
        "locking",
        "auto-update-summary",
        "commit-update-summary",
        "tombstone-commits",
        "enable-uncompressed-cache",
        "add-remotes-config-dir",
        "disable-xattrs",
        "indexed-deltas",
        "no-deltas-in-summary",
    ),
    "sysroot": ("bootprefix", "readonly"),
}
NUMBERS = {"core": ("lock-timeout-secs", "tmp-expiry-secs")}
TRI_STATE = "true|false|yes|no|1|0|maybe", "true, false or maybe"
# What a value must be, and the same for people.
PATTERNS = {
    "core.default-repo-finders": (
        "(config|lan|mount)(;(config|lan|mount))*;?",
        "one or several of config, lan and mount, with ; between them",
    ),
    "core.min-free-space-size": (r"[0-9]{1,13}MB|[0-9]{1,10}GB|[0-9]{1,7}TB", "a number followed by MB, GB or TB"),
    "ex-integrity.fsverity": TRI_STATE,
    "ex-integrity.composefs": TRI_STATE,
    "ex-fsverity.required": ("true|false|1|0", "true or false"),
    "sysroot.bls-append-except-default": (
        "([^=;]+=[^;]*(;[^=;]+=[^;]*)*;?)?",
        "KEY=VALUE, or several between ;",
    ),
    "sysroot.boot-counting-tries": ("0*[0-5]", "a number up to 5"),
}
BOOTLOADERS = ("auto", "none", "grub2", "syslinux", "uboot", "zipl", "aboot")
# Where nobody takes white space before the value.
UNINDENTED = {(group, key) for known in (BOOLEANS, NUMBERS) for group, keys in known.items() for key in keys}
UNINDENTED |= {("core", "min-free-space-percent")}


def read_config(repo: Repo) -> KeyFile:
    """Read anew, since another process may have written it."""
    with doing(f"Reading {repo.path}/config"):
        return KeyFile.decode(reading.read("config", repo.fd, MAX_CONFIG_SIZE), f"{repo.path}/config")


def write_config(repo: Repo, config: KeyFile) -> None:
    """While the changes of the repo are locked, since it was read."""
    with doing(f"Writing {repo.path}/config"):
        writing.replace("config", str(config).encode(), repo.fd, temporary=temporary_path())
    repo.config = config


def set_option(repo: Repo, group: str, key: str, value: str) -> None:
    with lock_changes(repo):
        config = read_config(repo)
        # Another process may have set it since the repo was opened.
        repo.config = config
        if config.find(group, key) != value:
            config.set(group, key, value)
            _check(repo, config, group, key)
            write_config(repo, config)


def _check(repo: Repo, config: KeyFile, group: str, key: str) -> None:
    """Raises Invalid where this value, which is new, means nothing."""
    value = config.find(group, key) or ""
    try:
        if value != value.lstrip() and (group, key) in UNINDENTED:
            raise Invalid(f"white space before '{value}'")
        if key in BOOLEANS.get(group, ()):
            config.find_bool(group, key, False)
        elif (pattern := PATTERNS.get(f"{group}.{key}")) is not None:
            if not re.fullmatch(pattern[0], value):
                raise Invalid(f"Invalid {key} '{value}': it must be {pattern[1]}")
        elif key in NUMBERS.get(group, ()):
            config.find_int(group, key, 0)
        elif group == "core" and key == "repo_version" and value != "1":
            raise Invalid(f"Invalid repository version '{value}'; it must be 1")
        elif group == "core" and key == "mode" and value not in LAYOUTS:
            raise Invalid(f"Invalid mode '{value}' in repository configuration; known are {', '.join(LAYOUTS)}")
        elif group == "core" and key in ("min-free-space-size", "min-free-space-percent"):
            Space(config, repo.fd)
        elif group == "core" and key == "collection-id":
            names.check_collection(value)
        elif group == "core" and key == "parent":
            Repo(value, repo.options).close()
        elif group == "sysroot" and key == "bootloader" and value not in BOOTLOADERS:
            raise Invalid(f"Invalid bootloader configuration: '{value}'; it must be one of {', '.join(BOOTLOADERS)}")
    except Corrupt as error:
        raise Invalid(f"{error}; nothing was changed") from None
    except Error as error:
        raise type(error)(f"{group}.{key}: {error}; nothing was changed") from None


def remove_option(repo: Repo, group: str, key: str) -> bool:
    """Return whether it was there."""
    with lock_changes(repo):
        config = read_config(repo)
        repo.config = config
        found = config.remove(group, key)
        if found:
            write_config(repo, config)
    return found
