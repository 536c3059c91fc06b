"""Changing a repo's config, keeping all that is not changed as it is."""

from larix.formats.keyfile import KeyFile
from larix.linux import files
from larix.repo.locking import lock_changes
from larix.repo.repo import MAX_CONFIG_SIZE, Repo
from larix.repo.staging import temporary_path


def read_config(repo: Repo) -> KeyFile:
    """Read anew, since another process may have written it."""
    with files.doing(f"Reading {repo.path}/config"):
        return KeyFile.decode(files.read("config", repo.fd, MAX_CONFIG_SIZE), f"{repo.path}/config")


def write_config(repo: Repo, config: KeyFile) -> None:
    """While the changes of the repo are locked, since it was read."""
    with files.doing(f"Writing {repo.path}/config"):
        files.replace("config", str(config).encode(), repo.fd, temporary=temporary_path())
    repo.config = config


def set_option(repo: Repo, group: str, key: str, value: str) -> None:
    with lock_changes(repo):
        config = read_config(repo)
        # Another process may have set it since the repo was opened.
        repo.config = config
        if config.find(group, key) != value:
            config.set(group, key, value)
            write_config(repo, config)


def remove_option(repo: Repo, group: str, key: str) -> bool:
    """Whether it was there."""
    with lock_changes(repo):
        config = read_config(repo)
        repo.config = config
        found = config.remove(group, key)
        if found:
            write_config(repo, config)
    return found
