"""What a remote must sign before we take anything from it."""

from larix.errors import Invalid, Untrusted
from larix.repo.remotes import Remote

# Setting -> its value where nothing is said.
SIGNED = {"gpg-verify": "true", "gpg-verify-summary": "false", "sign-verify": "false", "sign-verify-summary": "false"}


def check_policy(remote: Remote) -> None:
    """Raises Untrusted for a remote that demands signatures, which larix cannot check yet."""
    for setting, otherwise in SIGNED.items():
        value = remote.options.get(setting, otherwise)
        if value == "false":
            continue
        if value != "true" and not setting.startswith("sign-"):
            raise Invalid(f"Remote {remote.name}: {setting} must be true or false, not {value!r}")
        raise Untrusted(
            f"Remote {remote.name} demands signatures ({setting}={value}), which larix cannot check yet; "
            f"nothing was pulled. Set {setting}=false only where you trust the way to {remote.url}"
        )
