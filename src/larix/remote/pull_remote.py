"""Pulling from a remote by its name, as its settings say."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from larix.formats.checksum import Checksum
from larix.progress import NO_PROGRESS, Progress
from larix.remote.open import open_source
from larix.remote.pull import PullOptions, pull
from larix.remote.source import Pulled
from larix.repo.remotes import load_remote
from larix.repo.repo import Repo


def pull_remote(
    repo: Repo,
    name: str,
    refs: Iterable[str] | Mapping[str, Checksum | None],
    options: PullOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Pulled:
    """Bring branches of the remote, each at its newest commit or at the one given; they become NAME:REF here.

    Raises NotFound, Corrupt, Invalid, FetchFailed, and Untrusted where the remote demands signatures; then the repo is
    as it was.
    """
    remote = load_remote(repo, name)
    wanted: Mapping[str, Checksum | None] = refs if isinstance(refs, Mapping) else dict.fromkeys(refs)
    source = open_source(repo, remote)
    try:
        chosen = replace(options or PullOptions(), collection=remote.collection)
        return pull(repo, source, wanted, name, chosen, progress=progress)
    finally:
        source.close()
