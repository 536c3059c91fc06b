"""Random GVariant types and values, and the text form of a value, for another implementation to read."""

import json
import random
from typing import Any

from larix.gvariant import Variant

INTEGERS = {"y": (0, 255), "n": (-(2**15), 2**15 - 1), "q": (0, 2**16 - 1), "i": (-(2**31), 2**31 - 1)} | {
    "h": (-(2**31), 2**31 - 1),
    "u": (0, 2**32 - 1),
    "x": (-(2**63), 2**63 - 1),
    "t": (0, 2**64 - 1),
}
WORDS = {"b": "boolean", "y": "byte", "n": "int16", "q": "uint16", "i": "int32", "u": "uint32", "h": "handle"} | {
    "x": "int64",
    "t": "uint64",
    "d": "double",
    "o": "objectpath",
    "g": "signature",
}
CHARACTERS = "abcXYZ 019'\"\\/.\n\té€𝄞"


def random_type(rng: random.Random, depth: int = 4) -> str:
    kind = rng.choice("bynqiuxthdsogv" if depth == 0 else "bynqiuxthdsogvaaammm(((({")
    if kind in "am":
        return kind + random_type(rng, depth - 1)
    if kind == "(":
        return "(" + "".join(random_type(rng, depth - 1) for _ in range(rng.randrange(5))) + ")"
    if kind == "{":
        return "{" + rng.choice("bynqiuxthdsog") + random_type(rng, depth - 1) + "}"
    return kind


def children(type_string: str) -> list[str]:
    """The members of a tuple or dictionary entry type."""
    found = []
    at = 1
    while at < len(type_string) - 1:
        start = at
        while type_string[at] in "am":
            at += 1
        level = 0
        while True:
            level += {"(": 1, "{": 1, ")": -1, "}": -1}.get(type_string[at], 0)
            at += 1
            if level == 0:
                break
        found.append(type_string[start:at])
    return found


def random_value(rng: random.Random, kind: str, depth: int = 4) -> Any:
    if kind == "b":
        return rng.random() < 0.5
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return rng.choice([low, high, max(low, min(high, rng.randrange(-300, 300))), rng.randint(low, high)])
    if kind == "d":
        return rng.choice([0.0, -1.5, 1e300, rng.random()])
    if kind == "s":
        return "".join(rng.choices(CHARACTERS, k=rng.choice([0, 1, 5, 30, 300])))
    if kind == "o":
        return "/" + "/".join(rng.choices(["a", "b_1", "C"], k=rng.randrange(4)))
    if kind == "g":
        return "".join(random_type(rng, 1) for _ in range(rng.randrange(4))).replace("m", "")
    if kind == "v":
        inner = random_type(rng, max(depth - 1, 0))
        return Variant(inner, random_value(rng, inner, max(depth - 1, 0)))
    if kind == "ay":
        return rng.randbytes(rng.choice([0, 1, 32, 254, 255, 256, 300]))
    if kind[0] == "a":
        # Now and then many elements, so that offsets of two bytes are met.
        count = rng.choice([0, 1, 2, 3, 3, 60 if depth > 2 and len(kind) < 5 else 1])
        return [random_value(rng, kind[1:], depth - 1) for _ in range(count)]
    if kind[0] == "m":
        return None if rng.random() < 0.3 else (random_value(rng, kind[1:], depth - 1),)
    return tuple(random_value(rng, child, depth - 1) for child in children(kind))


def text(kind: str, value: Any) -> str:
    """The GVariant text form, with every type spelled out."""
    if kind == "s":
        return json.dumps(value).replace("\\ud834\\udd1e", "𝄞")
    if kind in "og":
        return f"{WORDS[kind]} '{value}'"
    if kind == "v":
        return f"<@{value.type} {text(value.type, value.value)}>"
    if kind in WORDS:
        return f"{WORDS[kind]} {str(value).lower()}"
    if kind == "ay":
        return f"@ay [{', '.join(map(hex, value))}]"
    if kind[0] == "a":
        return f"@{kind} [{', '.join(text(kind[1:], element) for element in value)}]"
    if kind[0] == "m":
        return f"@{kind} nothing" if value is None else f"@{kind} just {text(kind[1:], value[0])}"
    parts = [text(child, member) for child, member in zip(children(kind), value, strict=True)]
    if kind[0] == "{":
        return "{" + ", ".join(parts) + "}"
    return "(" + "".join(f"{part}, " for part in parts) + ")" if len(parts) == 1 else "(" + ", ".join(parts) + ")"
