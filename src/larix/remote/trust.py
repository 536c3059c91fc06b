"""What a remote must sign before we take anything from it."""

from larix.errors import Invalid, Untrusted
from larix.formats.keyfile import parse_bool
from larix.repo.remotes import Remote

# Setting -> its value where nothing is said.
SIGNED_SUMMARY = {"gpg-verify-summary": "false", "sign-verify-summary": "false"}
SIGNED = {"gpg-verify": "true", "sign-verify": "false", **SIGNED_SUMMARY}


def check_policy(remote: Remote) -> None:
    """Raises Untrusted for a remote that demands signatures, which larix cannot check yet."""
    _check(remote, SIGNED)


def check_summary_policy(remote: Remote) -> None:
    """Check as `check_policy`, where only the summary is wanted."""
    _check(remote, SIGNED_SUMMARY)


def _check(remote: Remote, settings: dict[str, str]) -> None:
    for setting, otherwise in settings.items():
        value = remote.options.get(setting, otherwise)
        try:
            demands = parse_bool(value)
        except ValueError:
            if not setting.startswith("sign-"):
                raise Invalid(f"Remote {remote.name}: {setting} must be true or false, not {value!r}") from None
            # The names of engines.
            demands = True
        if not demands:
            continue
        raise Untrusted(
            f"Remote {remote.name} demands signatures ({setting}={value}), which larix cannot check yet; "
            f"nothing was taken. Set {setting}=false only where you trust the way to {remote.url}"
        )
