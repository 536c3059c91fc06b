"""From a remote's settings to the source that they mean."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from larix.errors import Invalid, NotFound, Unsupported
from larix.remote.cached_source import CachedSource
from larix.remote.http import DEFAULTS, HttpOptions
from larix.remote.http_source import MIRROR_LIST, HttpSource
from larix.remote.repo_source import RepoSource
from larix.remote.source import Source
from larix.remote.trust import check_policy, check_summary_policy
from larix.repo.remotes import Remote
from larix.repo.repo import Repo

WEB = ("http://", "https://")
CLIENT_CERT, CLIENT_KEY, CA = "tls-client-cert-path", "tls-client-key-path", "tls-ca-path"


@dataclass(frozen=True, slots=True)
class Access:
    """How a remote is reached: by `http`, where it is behind that. Repos at the paths `caches` are asked first. What a
    `trusted` repo of this machine has is linked, where it can be, without being read. `unsigned`: what the remote must
    sign does not matter, since what is wanted of it is known by its checksum, or the caller has looked."""

    http: HttpOptions = DEFAULTS
    caches: Sequence[str] = ()
    trusted: bool = True
    unsigned: bool = False


def open_source(repo: Repo, remote: Remote, access: Access | None = None) -> Source:
    """Return the source that the settings of a remote mean; whoever calls closes it.

    Raises Invalid for settings that mean nothing, or that forbid it, Unsupported for those that larix cannot keep to
    yet, Untrusted.
    """
    access = access or Access()
    if "unconfigured-state" in remote.options:
        raise Invalid(f"remote unconfigured-state: {remote.options['unconfigured-state']}")
    if backend := remote.options.get("custom-backend"):
        raise Invalid(f"Cannot fetch from remote '{remote.name}': it uses custom backend '{backend}', another program")
    if not access.unsigned:
        check_policy(remote)
    # Those that were opened are closed where the next cannot be.
    with ExitStack() as opened:
        source = opened.enter_context(closing(_open(repo, remote, access, listed=False)))
        caches = [opened.enter_context(closing(RepoSource(path, trusted=False))) for path in access.caches]
        opened.pop_all()
    return CachedSource(source, caches) if caches else source


def _open(repo: Repo, remote: Remote, access: Access, *, listed: bool) -> Source:
    if "metalink" in remote.options:
        raise Unsupported(f"Remote {remote.name}: larix cannot use a metalink yet")
    url, content_url = _with_scheme(remote.url), _with_scheme(remote.options.get("contenturl") or "") or None
    if url.startswith("file:"):
        return RepoSource(_path_of(remote, url), trusted=access.trusted)
    for one in url, content_url:
        if one is not None and not one.removeprefix(MIRROR_LIST).startswith(WEB):
            also = " or file://" if one is url and not url.startswith(MIRROR_LIST) else ""
            raise Invalid(f"Remote {remote.name}: {one!r} must begin with http://, https://{also}")
    return HttpSource(repo, url, content_url, http_options(remote, access.http), listed=listed)


def _path_of(remote: Remote, url: str) -> str:
    """file:/PATH, file:///PATH or file://localhost/PATH. Raises Invalid for the directory of another host."""
    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, _, path = path.removeprefix("//").partition("/")
        path = f"/{path}"
        if host not in ("", "localhost"):
            raise Invalid(f"Remote {remote.name}: {url!r} names a host; a directory of this machine is file:///PATH")
    if not path.startswith("/"):
        raise Invalid(f"Remote {remote.name}: {url!r} has no whole path; it must begin with file:///")
    found = unquote_to_bytes(os.fsencode(path))
    if b"\0" in found:
        raise Invalid(f"Remote {remote.name}: {url!r} has a NUL byte in its path")
    return os.fsdecode(found)


def _with_scheme(url: str) -> str:
    """Return the URL with a small scheme, which may be in capitals."""
    scheme, colon, rest = url.partition(":")
    return f"{scheme.lower()}:{rest}" if colon else url


def http_options(remote: Remote, options: HttpOptions = DEFAULTS) -> HttpOptions:
    """Return the options with what the settings of the remote say. Raises Invalid, NotFound."""
    paths = {key: path for key in (CLIENT_CERT, CLIENT_KEY, CA) if (path := remote.options.get(key))}
    if (CLIENT_CERT in paths) != (CLIENT_KEY in paths):
        raise Invalid(f'Remote "{remote.name}" must specify both "{CLIENT_CERT}" and "{CLIENT_KEY}"')
    for key, path in paths.items():
        if not os.path.isfile(path):
            raise NotFound(f"Remote {remote.name}: {key}={path}: no such file")
    return replace(
        options,
        proxy=remote.options.get("proxy") or None,
        ca_path=paths.get(CA),
        client_cert=paths.get(CLIENT_CERT),
        client_key=paths.get(CLIENT_KEY),
        permissive=remote.find_bool("tls-permissive", False),
        http2=remote.find_bool("http2", True),
    )


def load_summary(repo: Repo, remote: Remote) -> bytes | None:
    """Return the summary that the remote has now, if it has one. Raises FetchFailed, Untrusted."""
    check_summary_policy(remote)
    source = _open(repo, remote, Access(), listed=True)
    try:
        return source.summary()
    finally:
        source.close()
