"""Directories as objects: names in order, each once, none that leaves; at once as the general form has it."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larix import gvariant
from larix.errors import Corrupt, Invalid
from larix.formats import checksum as checksums
from larix.formats import names, objects
from larix.formats.checksum import Checksum
from larix.formats.objects import DirTree
from larix.formats.usual_dirtree import read_usual, write_usual

A = Checksum("a" * 64)
B = Checksum("b" * 64)
RAW = bytes(32)


def dirtree(files: list[tuple[str, bytes]], dirs: list[tuple[str, bytes, bytes]]) -> bytes:
    return gvariant.encode(objects.DIRTREE_TYPE, (files, dirs))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/", "../x"])
def test_a_name_that_leaves_its_directory_is_refused(name: str) -> None:
    for data in dirtree([(name, RAW)], []), dirtree([], [(name, RAW, RAW)]):
        with pytest.raises(Corrupt, match=r"Invalid (filename|/ in filename)"):
            objects.decode_dirtree(data)


def test_names_must_be_sorted_and_stand_once() -> None:
    good = objects.decode_dirtree(dirtree([("a", RAW), ("é", RAW)], [("b", RAW, RAW)]))
    assert list(good.files) == ["a", "é"]
    for files, dirs in (
        ([("b", RAW), ("a", RAW)], []),
        ([("a", RAW), ("a", RAW)], []),
        ([], [("a", RAW, RAW), ("a", RAW, RAW)]),
        ([("a", RAW)], [("a", RAW, RAW)]),
        ([("a", RAW[1:])], []),
        ([], [("a", RAW, b"")]),
    ):
        with pytest.raises(Corrupt):
            objects.decode_dirtree(dirtree(files, dirs))


def test_names_are_written_in_order() -> None:
    tree = DirTree({"é": A, "a": B}, {"z": (A, B), "Z": (B, A)})
    assert list(objects.decode_dirtree(tree.encode()).files) == ["a", "é"]
    assert list(objects.decode_dirtree(tree.encode()).dirs) == ["Z", "z"]


def encoded_by_steps(tree: DirTree) -> bytes:
    """As the writer of any GVariant has it, which the C library's own is compared with."""
    files = [(name, checksums.to_bytes(tree.files[name])) for name in sorted(tree.files)]
    dirs = [(name, *map(checksums.to_bytes, tree.dirs[name])) for name in sorted(tree.dirs)]
    return gvariant.encode(objects.DIRTREE_TYPE, (files, dirs))


ANY_NAMES = st.lists(st.text("a.é\0/𝄞\udc80", max_size=4))


@given(ANY_NAMES, ANY_NAMES)
def test_names_are_written_as_the_general_writer_does_or_refused(files: list[str], dirs: list[str]) -> None:
    tree = tree_of(files, dirs)
    try:
        expected = encoded_by_steps(tree)
    except Invalid as error:
        with pytest.raises(Invalid, match=re.escape(str(error))):
            tree.encode()
    else:
        assert tree.encode() == expected


def hashed(name: str) -> Checksum:
    return objects.checksum_of(os.fsencode(name))


def tree_of(files: list[str], dirs: list[str]) -> DirTree:
    directories = {name: (hashed(name), hashed(f"{name}/")) for name in sorted(dirs)}
    return DirTree({name: hashed(name) for name in sorted(files)}, directories)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 300, 3000])
def test_usual_dirtrees_are_read_and_written_at_once(count: int) -> None:
    """With framing offsets of one, two and four bytes."""
    names = [f"é{i}" for i in range(count)]
    for tree in tree_of(names, []), tree_of([], names), tree_of(names, [f"{name}.d" for name in names]):
        found = read_usual(tree.encode())
        assert found is not None
        assert write_usual(*found) == encoded_by_steps(tree)
        assert [list(part.items()) for part in found] == [list(part.items()) for part in tree]
        assert objects.decode_dirtree(tree.encode()) == tree


@pytest.mark.parametrize("length", range(180, 256))
def test_long_names_are_read_and_written(length: int) -> None:
    """Where entries need wider framing offsets, one way to read them ends."""
    name = "n" * length
    for tree in tree_of([name], []), tree_of([], [name]), tree_of([name, "a"], ["b", f"{name}d"]):
        assert objects.decode_dirtree(tree.encode()) == tree
        assert read_usual(tree.encode()) in (None, tree)
        assert tree.encode() == encoded_by_steps(tree)


ENTRIES = st.lists(st.text("a.é\0/𝄞", max_size=4))


@given(ENTRIES, ENTRIES, st.integers(0, 2**16), st.binary(max_size=2))
def test_what_is_read_at_once_is_what_the_general_reader_reads(
    files: list[str], dirs: list[str], at: int, instead: bytes
) -> None:
    data = tree_of([name.replace("\0", "") for name in files], [name.replace("\0", "") for name in dirs]).encode()
    at %= len(data)
    for bytes_ in data, data[:at] + instead + data[at + len(instead) :], data[:at] + instead + data[at:]:
        if (found := read_usual(bytes_)) is not None:
            raw = gvariant.decode(objects.DIRTREE_TYPE, bytes_)
            assert [(name, checksums.to_bytes(file)) for name, file in found[0].items()] == raw[0]
            assert [(name, *map(checksums.to_bytes, both)) for name, both in found[1].items()] == raw[1]
            assert all(names.check_part(name) for part in found for name in part)
