"""Values as they stand on a command line: KEY=VALUE for metadata, the number of a user or group; times."""

import os

from larix.errors import Invalid
from larix.gvariant import Variant
from larix.gvariant.parse_text import from_text

# The one after it means to the kernel that an owner stays as it is.
MAX_OWNER = 2**32 - 2
MAX_INT64 = 2**63 - 1


def owner(text: str) -> int | None:
    """Return a user or group; None for a negative number, as for the C tool."""
    try:
        number = int(text)
    except ValueError:
        number = MAX_OWNER + 1
    if number > MAX_OWNER:
        raise Invalid(f"'{text}' is no user or group; give a number up to {MAX_OWNER}")
    return None if number < 0 else number


def key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"Missing '=' in KEY=VALUE metadata '{text}'")
    return key, value


def key_variant(text: str) -> tuple[str, Variant]:
    """VALUE is a GVariant in its text form."""
    key, value = key_value(text)
    if not key:
        raise Invalid(f"Empty metadata key in '{text}'")
    try:
        return key, from_text(value)
    except Invalid as error:
        raise Invalid(f"Parsing {key}={value}: {error}") from None


def find_epoch() -> int | None:
    """Return the time that whoever wants the same commit twice has set, in seconds since 1970."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return None
    if not epoch.isascii() or not epoch.isdecimal():
        raise Invalid(f"Failed to convert SOURCE_DATE_EPOCH={epoch}: not a number of seconds")
    if int(epoch) > MAX_INT64:
        raise Invalid(f"Parsing SOURCE_DATE_EPOCH: Numerical result out of range: {epoch}")
    return int(epoch)
