"""Remotes: where a repo pulls from, each a group `[remote "NAME"]` of the repo's config.

url             http(s):// or file://
branches        refs to pull when none are named, each followed by `;`
gpg-verify, gpg-verify-summary, sign-verify, …   what must be signed; gpg-verify is true where nothing is said
contenturl, metalink, proxy, tls-*, …            kept as they are
"""

from dataclasses import dataclass

from larix.errors import Invalid, NotFound
from larix.formats.names import check_remote
from larix.repo.config import read_config, write_config
from larix.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class Remote:
    name: str
    options: dict[str, str]

    @property
    def url(self) -> str:
        """Raises Invalid where the remote has none."""
        if "url" not in self.options:
            raise Invalid(f'No "url" option in remote "{self.name}"')
        return self.options["url"]

    @property
    def branches(self) -> list[str]:
        return [branch for branch in self.options.get("branches", "").split(";") if branch]


def _group(name: str) -> str:
    return f'remote "{check_remote(name)}"'


def list_remotes(repo: Repo) -> list[str]:
    start = 'remote "'
    return sorted(group[len(start) : -1] for group in repo.config.groups() if group.startswith(start))


def find_remote(repo: Repo, name: str) -> Remote | None:
    group = _group(name)
    if group not in repo.config.groups():
        return None
    return Remote(name, {key: repo.config.find(group, key) or "" for key in repo.config.keys(group)})


def load_remote(repo: Repo, name: str) -> Remote:
    found = find_remote(repo, name)
    if found is None:
        raise NotFound(f'Remote "{name}" not found')
    return found


def add_remote(repo: Repo, remote: Remote, *, replace: bool = False) -> None:
    """Write the remote to the config. Raises Invalid where it is there already and is not to be replaced."""
    group = _group(remote.name)
    config = read_config(repo)
    if group in config.groups():
        if not replace:
            raise Invalid(f'Remote configuration for "{remote.name}" already exists; --force replaces it')
        config.remove_group(group)
    for key, value in remote.options.items():
        config.set(group, key, value)
    write_config(repo, config)


def delete_remote(repo: Repo, name: str) -> bool:
    """Whether it was there."""
    config = read_config(repo)
    found = config.remove_group(_group(name))
    if found:
        write_config(repo, config)
    return found
