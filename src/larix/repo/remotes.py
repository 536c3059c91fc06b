"""Remotes: where a repo pulls from, each a group `[remote "NAME"]` of the repo's config.

The repo of a sysroot also has those of all files `etc/ostree/remotes.d/*.conf` there.

url             http(s):// or file://
branches        refs to pull when none are named, each followed by `;`
gpg-verify, gpg-verify-summary, sign-verify, …   what must be signed; gpg-verify is true where nothing is said
contenturl, proxy, tls-*, …                      see docs/compatibility.md
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from larix.errors import Invalid, NotFound
from larix.formats.keyfile import KeyFile, parse_bool
from larix.formats.names import check_remote
from larix.linux import reading, writing
from larix.linux.failures import doing
from larix.repo.config import read_config, write_config
from larix.repo.locking import lock_changes
from larix.repo.repo import MAX_CONFIG_SIZE, Repo

SUFFIX = ".conf"


@dataclass(frozen=True, slots=True)
class Remote:
    """A name for where to pull from, and its settings as the config has them."""

    name: str
    options: dict[str, str]

    @property
    def url(self) -> str:
        """Raises Invalid where the remote has none."""
        if "url" not in self.options:
            raise Invalid(f'No "url" option in remote "{self.name}"')
        return self.options["url"]

    @property
    def collection(self) -> str | None:
        """That of which its branches are said to be."""
        return self.options.get("collection-id")

    def find_bool(self, key: str, default: bool) -> bool:
        """Raises Invalid where the value is neither true nor false."""
        try:
            return default if key not in self.options else parse_bool(self.options[key])
        except ValueError:
            raise Invalid(f"Remote {self.name}: {key} must be true or false, not {self.options[key]!r}") from None

    @property
    def branches(self) -> list[str]:
        return [branch for branch in self.options.get("branches", "").split(";") if branch]


def _group(name: str) -> str:
    return f'remote "{check_remote(name)}"'


def list_remotes(repo: Repo) -> list[str]:
    """Return the names of remotes, also those of its parent."""
    start = 'remote "'
    configs = [repo.config, *(config for _, config in _more_configs(repo))]
    names = {group[len(start) : -1] for config in configs for group in config.groups() if group.startswith(start)}
    return sorted(names | set(list_remotes(repo.parent) if repo.parent is not None else ()))


def find_remote(repo: Repo, name: str) -> Remote | None:
    group = _group(name)
    config = repo.config
    if group not in config.groups():
        found = _find_file(repo, group)
        if found is None:
            return find_remote(repo.parent, name) if repo.parent is not None else None
        config = found[1]
    return Remote(name, {key: config.find(group, key) or "" for key in config.keys(group)})


def load_remote(repo: Repo, name: str) -> Remote:
    """Return its settings, of the config or of a file of its own. Raises NotFound."""
    found = find_remote(repo, name)
    if found is None:
        raise unknown_remote(name)
    return found


def unknown_remote(name: str) -> NotFound:
    return NotFound(f'Remote "{name}" not found; `larix remote list` lists those that are there')


def add_remote(repo: Repo, remote: Remote, *, replace: bool = False) -> None:
    """Write the remote to the config, or to a file of its own where core.add-remotes-config-dir says so, as it does
    for the repo of this machine. Raises Invalid where it is there already and is not to be replaced."""
    group = _group(remote.name)
    with lock_changes(repo):
        config = read_config(repo)
        found = _find_file(repo, group)
        if (found is not None or group in config.groups()) and not replace:
            raise Invalid(f'Remote configuration for "{remote.name}" already exists; --force replaces it')
        to_file = config.find_bool("core", "add-remotes-config-dir", repo.options.adds_to_remotes_dir)
        if found is None and repo.options.remotes_dir is not None and group not in config.groups() and to_file:
            own_file = f"{remote.name}{SUFFIX}"
            found = next((found for found in _more_configs(repo) if found[0] == own_file), (own_file, KeyFile()))
        name, changed = found or (None, config)
        changed.remove_group(group)
        for key, value in remote.options.items():
            changed.set(group, key, value)
        _write(repo, name, changed)


def delete_remote(repo: Repo, name: str) -> bool:
    """Return whether it was there."""
    group = _group(name)
    with lock_changes(repo):
        config = read_config(repo)
        found = (None, config) if group in config.groups() else _find_file(repo, group)
        if found is None:
            return False
        found[1].remove_group(group)
        _write(repo, *found)
        return True


def _more_configs(repo: Repo) -> Iterator[tuple[str, KeyFile]]:
    """Yield the files of `repo.options.remotes_dir` by their names."""
    if repo.options.remotes_dir is None:
        return
    with doing(f"Reading {repo.options.remotes_dir}"):
        try:
            fd = reading.open_directory(repo.options.remotes_dir)
        except FileNotFoundError:
            return
        with reading.closing(fd):
            for name in sorted(name for name in os.listdir(fd) if name.endswith(SUFFIX)):
                yield (
                    name,
                    KeyFile.decode(reading.read(name, fd, MAX_CONFIG_SIZE), f"{repo.options.remotes_dir}/{name}"),
                )


def _find_file(repo: Repo, group: str) -> tuple[str, KeyFile] | None:
    return next((found for found in _more_configs(repo) if group in found[1].groups()), None)


def _write(repo: Repo, name: str | None, config: KeyFile) -> None:
    """Write to a file of the remotes directory, which is removed where nothing is left in it, or to the config."""
    if name is None:
        write_config(repo, config)
        return
    assert repo.options.remotes_dir is not None
    with doing(f"Writing {repo.options.remotes_dir}/{name}"):
        writing.make_all(repo.options.remotes_dir)
        with reading.closing(reading.open_directory(repo.options.remotes_dir)) as fd:
            if config.groups():
                writing.replace(name, str(config).encode(), fd, temporary=f".{os.urandom(6).hex()}")
            else:
                writing.remove(name, fd)
                writing.sync(fd)
