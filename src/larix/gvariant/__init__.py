"""GVariant: typed values as bytes, little-endian, in normal form only.

`decode` refuses every byte string that is not the normal form of some value, and `encode` writes the normal form, so
the two are inverse to each other: a value that was decoded encodes to the very bytes it came from. Integers are stored
little-endian; formats that want another order swap the value.

| type string | Python value |
|---|---|
| b y n q i u x t h d | bool, int, float |
| s o g | str |
| ay | bytes |
| aT, other T | list (of pairs for a dictionary, which keeps order and repeated keys) |
| mT | None or a tuple of one |
| (…) {…} | tuple |
| v | Variant |

The format is specified in "GVariant Specification" (Allison Lortie); nesting is limited to 128 levels as in GLib.
"""

from larix.gvariant.decode import decode
from larix.gvariant.encode import encode
from larix.gvariant.types import Variant

__all__ = ["Variant", "decode", "encode"]
