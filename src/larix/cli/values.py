"""Metadata as it stands on a command line: KEY=VALUE."""

from larix.errors import Invalid
from larix.gvariant import Variant
from larix.gvariant.parse_text import from_text


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
