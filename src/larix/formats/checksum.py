"""SHA-256 checksums in their three spellings.

Above this room a checksum is a `Checksum`: 64 lowercase hex digits. Objects hold it as 32 raw bytes; delta names hold
it in base64 with `_` for `/` and without the `=` at the end, 43 characters.
"""

import base64
import binascii
import re
from typing import NewType

from larix.errors import Corrupt, Invalid

Checksum = NewType("Checksum", str)

HEX = re.compile(r"[0-9a-f]{64}")
SIZE = 32


def is_checksum(text: str) -> bool:
    return HEX.fullmatch(text) is not None


def parse_checksum(text: str) -> Checksum:
    """Raises Invalid unless `text` is 64 lowercase hex digits."""
    if not is_checksum(text):
        raise Invalid(f"Invalid checksum {text[:80]!r}: it must be 64 hex digits in lower case")
    return Checksum(text)


def from_bytes(raw: bytes) -> Checksum:
    """Raises Corrupt unless `raw` has 32 bytes."""
    if len(raw) != SIZE:
        raise Corrupt(f"a checksum of {len(raw)} bytes where {SIZE} are needed")
    return Checksum(raw.hex())


def to_bytes(checksum: Checksum) -> bytes:
    return bytes.fromhex(checksum)


def to_base64(checksum: Checksum) -> str:
    return base64.b64encode(to_bytes(checksum), b"+_").rstrip(b"=").decode()


def from_base64(text: str) -> Checksum:
    """Raises Invalid unless `text` is what `to_base64` makes of some checksum."""
    try:
        checksum = Checksum(base64.b64decode(text + "=", b"+_", validate=True).hex())
    except (binascii.Error, ValueError):
        raise Invalid(f"Invalid base64 checksum {text[:80]!r}") from None
    # One checksum has one spelling: no spare bits, no other length.
    if not is_checksum(checksum) or to_base64(checksum) != text:
        raise Invalid(f"Invalid base64 checksum {text[:80]!r}")
    return checksum
