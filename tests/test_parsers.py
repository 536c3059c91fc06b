"""Bytes that nobody meant, for every parser of what comes from outside: one of our errors, and memory in bounds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larix import gvariant
from larix.errors import Corrupt
from tests.parsers import PARSE, Parser, all_parsers

PARSERS = all_parsers()


@st.composite
def damaged(draw: Any, parser: Parser) -> bytes:
    """A good one with pieces overwritten, cut out, put in and repeated; or anything at all."""
    if draw(st.integers(0, 4)) == 0:
        return bytes(draw(st.binary(max_size=300)))
    data = bytearray(draw(st.sampled_from(parser.seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        stop = min(len(data), at + draw(st.integers(0, 16)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:stop] = draw(st.binary(min_size=stop - at, max_size=stop - at))
            case 1:
                del data[at:stop]
            case 2:
                data[at:at] = draw(st.sampled_from([b"\0", b"\xff" * 8, b"..", b"/", b"\n", b"9" * 5000, b"(" * 200]))
            case _:
                data[at:at] = data[at:stop] * draw(st.integers(1, 300))
    return bytes(data)


def test_the_seeds_are_good() -> None:
    for name, parser in PARSERS.items():
        for seed in parser.seeds:
            if name not in ("gvariant", "names"):
                parser.parse(seed)
            parser.check(seed)


@pytest.mark.parametrize("name", PARSE)
def test_any_bytes(name: str) -> None:
    parser = PARSERS[name]

    @settings(max_examples=100, deadline=None)
    @given(damaged(parser))
    def check(data: bytes) -> None:
        parser.check(data)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSE)
def test_any_bytes_for_minutes(name: str) -> None:
    parser = PARSERS[name]

    @settings(max_examples=40_000, deadline=None, database=None)
    @given(damaged(parser))
    def check(data: bytes) -> None:
        parser.check(data)

    check()


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = (value,)
    return value


UNFOLDING = {
    "a(y)": (0,),
    "a((((((((((y))))))))))": nested(0, 10),
    "a((((((s))))))": nested("", 6),
    "an": 257,
    "aas": [],
    "aaas": [[]],
    "av": gvariant.Variant("y", 0),
    "a{yv}": (0, gvariant.Variant("y", 0)),
    "amb": (True,),
}


@pytest.mark.parametrize("kind", UNFOLDING)
def test_a_type_that_unfolds(kind: str) -> None:
    """Foreign bytes choose the types in metadata: of one byte come many objects."""
    few, many = ([UNFOLDING[kind]] * count for count in (500, 30_000))
    PARSERS["gvariant"].check(kind.encode() + b"\0" + gvariant.encode(kind, many))
    assert gvariant.decode(kind, gvariant.encode(kind, few)) == few


@pytest.mark.parametrize("text", ["'%s'", '"%s"', "b'%s'", "'%s", "%s", "@%s", "[%s]"])
@pytest.mark.parametrize("part", ["9", "\\n", "a\\n", "\\001", "\\u00e9", "é"])
def test_a_long_text(text: str, part: str) -> None:
    PARSERS["GVariant text"].check((text % (part * (200_000 // len(part)))).encode())


def test_what_unfolds_too_far_is_refused() -> None:
    kind = "a((((((((((y))))))))))"
    with pytest.raises(Corrupt, match="20 times"):
        gvariant.decode(kind, gvariant.encode(kind, [UNFOLDING[kind]] * 60_000))
