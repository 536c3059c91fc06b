"""The GVariant codec against GLib's, and against bytes that are no GVariant."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larix.errors import Corrupt, Error, Invalid
from larix.gvariant import Variant, decode, encode
from larix.gvariant.parse_text import from_text
from larix.gvariant.text import byteswapped, to_text
from tests.gvariants import random_type, random_value, text

COUNT = 3000
# As a person may write values, right and wrong.
TEXTS = r"""5 | -5 | 0x10 | 010 | 5.0 | 1e5 | 'a' | "a\"b'" | uint32 5 | byte 0x10 | true | [1,2] | [1,uint32 2]
[1,2.0] | @as [] | {} | @a{sv} {} | {'a':<1>,'b':<'x'>} | {1:2} | {1,2} | ('a',1,true) | ('a',) | () | <5>
<<'a'>> | just 5 | @mi 5 | nothing | @mi nothing | [just 5, nothing] | b'abc' | b"a\001\nb" | [b'x',b'y']
objectpath '/a/b' | objectpath 'a' | signature 'as' | '\u00e9\t' | [['a'],[]] | [[],[]]
[(1,'a'),(uint16 2,'b')] | 300 | byte 300 | int64 -9223372036854775808 | 99999999999 | handle 3 | double 5
inf | nan | -inf | [1,'a'] | (1 | 1 2 |  | abc |   [ 1 , 2 ]  | [1,2,] | (1,2,) | {'a':1,} | 'abc | uint32:5
@i 'a' | string 'x' | [byte 1, 2] | boolean false | [@u 1, 2] | +5 | --5 | 0x | 08 | 1. | '\x' | .5
{'a':1,'a':2} | <@as []> | [<1>,<'a'>] | true false | @mmi just nothing | [nothing, just 'a'] | @ms 'x'
'é' | b'é' | [{'a':1},{}] | {objectpath '/a': 1} | {'a':1, objectpath '/b':2} | @v <1> | @ay [1,2]
@ay b'q' | @ai [] | ((1,2),<3>) | 18446744073709551615 | uint64 18446744073709551615 | 5e | 1e400 | [1.5,2]
-0 | -0.0 | uint32 -1 | @(is) (1,'a') | @q 7 | [nothing, 1] | [1, just 2] | [@mi 1, 2] | [[nothing],['a']]
[1,[2]] | [<1>,1] | [just 'a', 1] | [@i 1, nothing] | 1_0 | 0_1 | +inf | 1e5_0 | 0o7 | [true, false]
infinity | - 5 | ٣""".replace("\n", " | ").split(" | ")


def ask_glib(questions: list[dict[str, str]]) -> list[Any]:
    oracle = Path(__file__).parent / "glib_oracle.py"
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(["/usr/bin/python3", oracle], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def generated() -> list[tuple[str, Any]]:
    rng = random.Random(7)
    kinds = ["a{sv}", "(a{sv}aya(say)sstayay)", "(a(say)a(sayay))", "(uuua(ayay))"] * 50
    kinds += [random_type(rng) for _ in range(COUNT)]
    return [(kind, random_value(rng, kind)) for kind in kinds]


def test_glib_writes_the_same_bytes() -> None:
    values = generated()
    answers = ask_glib([{"type": kind, "text": text(kind, value)} for kind, value in values])
    assert len(answers) == len(values) > COUNT
    for (kind, value), answer in zip(values, answers, strict=True):
        theirs = bytes.fromhex(answer)
        assert encode(kind, value) == theirs, (kind, value)
        assert decode(kind, theirs) == value, (kind, value)


def test_glib_prints_the_same_text() -> None:
    values = generated()
    values += [
        ("ay", b"it's\0"),
        ("ay", b'\\"\xff\n\x01\0'),
        ("s", "\u200b\U000e0001\x7f\a"),
        ("d", 1e300),
        ("ay", b"\0"),
    ]
    answers = ask_glib([{"type": kind, "print": encode(kind, value).hex()} for kind, value in values])
    for (kind, value), answer in zip(values, answers, strict=True):
        assert to_text(kind, value) == answer, (kind, value)


def test_text_is_read_as_it_was_printed() -> None:
    for kind, value in generated():
        assert from_text(to_text(kind, value)) == Variant(kind, value)


def test_glib_reads_the_same_from_text() -> None:
    read: dict[str, list[str] | None] = {}
    for line in TEXTS:
        try:
            found = from_text(line)
        except Invalid:
            read[line] = None
        else:
            read[line] = [found.type, encode(found.type, found.value).hex()]
    answers = ask_glib([{"parse": line} for line in TEXTS])
    assert read == dict(zip(TEXTS, answers, strict=True))
    assert 30 < answers.count(None) < len(answers) - 60


def test_glib_refuses_what_we_refuse() -> None:
    rng = random.Random(11)
    questions = []
    for kind, value in generated():
        data = bytearray(encode(kind, value))
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(2)] = rng.choice([b"", b"\0", b"\1", b"\xff", rng.randbytes(1)])
        questions.append((kind, bytes(data)))
    answers = ask_glib([{"type": kind, "bytes": data.hex()} for kind, data in questions])
    assert 500 < sum(answers) < len(answers) - 500
    for (kind, asked), normal in zip(questions, answers, strict=True):
        assert accepts(kind, asked) == normal, (kind, asked.hex())


def accepts(kind: str, data: bytes) -> bool:
    try:
        value = decode(kind, data)
    except Corrupt:
        return False
    # NaN is not equal to itself, so bytes are compared: what is accepted is the normal form.
    assert encode(kind, value) == data
    return True


@given(st.randoms(use_true_random=False), st.binary(max_size=200))
def test_any_bytes_give_a_value_or_our_error(rng: random.Random, data: bytes) -> None:
    accepts(random_type(rng), data)


@given(st.text("bynqiuxthdsogvam(){}", max_size=200) | st.text(max_size=20))
def test_any_type_string_gives_a_type_or_our_error(kind: str) -> None:
    try:
        decode(kind, b"")
    except Error:
        return
    assert encode(kind, decode(kind, b"")) == b""


def test_nesting_is_bounded() -> None:
    deep: Any = Variant("y", 1)
    for _ in range(126):
        deep = Variant("v", deep)
    data = encode("v", deep)
    assert decode("v", data) == deep
    with pytest.raises(Invalid, match="128 levels"):
        encode("v", Variant("v", deep))
    for kind, many in (("v", data + b"\0v"), ("v", data + b"\0v" * 5000), ("a" * 200, b""), ("a" * 5000 + "y", b"")):
        with pytest.raises(Error, match="128 levels"):
            decode(kind, many)


UNFIT: list[tuple[str, Any]] = [("y", 256), ("y", True), ("b", 1), ("u", -1), ("t", 2**64), ("i", "1"), ("s", "a\0b")]
UNFIT += [("s", "\ud800"), ("s", b"a"), ("o", "a"), ("g", "("), ("g", "mi"), ("v", 1), ("ay", "a"), ("as", "ab")]
UNFIT += [("(yy)", (1,)), ("my", 1), ("a{sy}", [("a",)])]


@pytest.mark.parametrize(("kind", "value"), UNFIT)
def test_a_value_of_another_type_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(Invalid):
        encode(kind, value)


def test_keys_may_be_repeated_and_keep_their_order() -> None:
    pairs = [("b", 1), ("a", 2), ("b", 3)]
    assert decode("a{sy}", encode("a{sy}", pairs)) == pairs
    assert encode("a{sy}", {"b": 1, "a": 2}) == encode("a{sy}", [("b", 1), ("a", 2)])


def test_numbers_are_swapped_where_they_are() -> None:
    kind, value = "(qsaymta{sv})", (1, "s", b"ab", (2,), [("k", Variant("u", 3))])
    swapped = (1 << 8, "s", b"ab", (2 << 56,), [("k", Variant("u", 3 << 24))])
    assert byteswapped(kind, value) == swapped
    assert byteswapped(kind, swapped) == value
