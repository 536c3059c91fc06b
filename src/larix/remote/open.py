"""From a remote's settings to the source that they mean."""

from urllib.parse import unquote

from larix.errors import Invalid, Unsupported
from larix.remote.http import DEFAULTS, HttpOptions
from larix.remote.http_source import HttpSource
from larix.remote.repo_source import RepoSource
from larix.remote.source import Source
from larix.remote.trust import check_policy, check_summary_policy
from larix.repo.remotes import Remote
from larix.repo.repo import Repo

LATER = ("metalink", "proxy", "tls-client-cert-path", "tls-client-key-path", "tls-ca-path")


def open_source(
    repo: Repo, remote: Remote, options: HttpOptions = DEFAULTS, *, trusted: bool = True, unsigned: bool = False
) -> Source:
    """`trusted` is for a repo of this machine, see RepoSource. `unsigned`: what the remote must sign does not matter,
    since what is wanted of it is known by its checksum, or the caller has looked.

    Raises Invalid for a url of no known kind, Unsupported for settings that larix cannot keep to yet, Untrusted.
    """
    if not unsigned:
        check_policy(remote)
    for key in LATER:
        if key in remote.options:
            raise Unsupported(f"Remote {remote.name}: larix cannot use the setting {key} yet")
    url = remote.url
    if url.startswith("file://"):
        return RepoSource(unquote(url.removeprefix("file://")), trusted=trusted)
    if url.startswith(("http://", "https://")):
        return HttpSource(repo, url, remote.options.get("contenturl"), options)
    if url.startswith("mirrorlist="):
        raise Unsupported(f"Remote {remote.name}: larix cannot use a list of mirrors yet")
    raise Invalid(f"Remote {remote.name}: {url!r} must begin with http://, https:// or file://")


def load_summary(repo: Repo, remote: Remote) -> bytes | None:
    """The summary that the remote has now, if it has one. Raises FetchFailed, Untrusted."""
    check_summary_policy(remote)
    source = open_source(repo, remote, unsigned=True)
    try:
        return source.summary()
    finally:
        source.close()
