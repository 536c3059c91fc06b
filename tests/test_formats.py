"""Objects, checksums and names against what the C tool writes, reads and refuses."""

import io
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larix import gvariant
from larix.errors import Corrupt, Error, Invalid
from larix.formats import checksum as checksums
from larix.formats import content, cpio, names, objects, sizes, xattrs
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata, ObjectName, ObjectType
from tests.judge import ostree, run_c

DECODERS: dict[ObjectType, Callable[[bytes], Commit | DirTree | DirMeta]] = {
    ObjectType.COMMIT: objects.decode_commit,
    ObjectType.DIR_TREE: objects.decode_dirtree,
    ObjectType.DIR_META: objects.decode_dirmeta,
}
A = Checksum("a" * 64)
B = Checksum("b" * 64)
RAW = bytes(32)


def stored(repo: Path) -> Iterator[tuple[ObjectName, Path]]:
    for path in sorted((repo / "objects").glob("??/*")):
        name = path.parent.name + path.name
        yield objects.parse_object_name(name.removesuffix("z") if name.endswith("filez") else name), path


def read_archived(data: bytes) -> tuple[FileHeader, int, bytes]:
    """Header, promised size, inflated content of a `.filez`."""
    start = content.PREFIX_SIZE
    end = start + content.header_size(data[:start])
    header, size = content.decode_archive_header(data[start:end])
    assert header.encode_archive(size) == data[:end]
    return header, size, b"" if header.is_symlink else zlib.decompress(data[end:], -15)


def read_bare(path: Path) -> tuple[FileHeader, bytes]:
    found = path.lstat()
    pairs = [
        (name.encode(), os.getxattr(path, name, follow_symlinks=False))
        for name in os.listxattr(path, follow_symlinks=False)
    ]
    link = stat.S_ISLNK(found.st_mode)
    target = str(path.readlink()) if link else ""
    header = FileHeader(found.st_uid, found.st_gid, found.st_mode, target, xattrs.canonical(pairs))
    return header, b"" if link else path.read_bytes()


def test_metadata_objects_of_the_c_tool_come_out_as_they_went_in(c_repos: dict[str, Path]) -> None:
    seen = set()
    for repo in c_repos.values():
        for name, path in stored(repo):
            if decode := DECODERS.get(name.type):
                data = path.read_bytes()
                assert objects.checksum_of(data) == name.checksum
                assert decode(data).encode() == data
                seen.add(name)
    assert {name.type for name in seen} == set(DECODERS)
    assert len(seen) >= 11


def test_file_objects_of_the_c_tool_have_the_checksum_we_compute(c_repos: dict[str, Path]) -> None:
    archived = {}
    for name, path in stored(c_repos["archive"]):
        if name.type == ObjectType.FILE:
            header, size, data = read_archived(path.read_bytes())
            assert size == len(data)
            assert content.content_checksum(header, [data[:7], data[7:]]) == name.checksum
            archived[name] = header
    for name, path in stored(c_repos["bare"]):
        if name.type == ObjectType.FILE:
            header, data = read_bare(path)
            assert content.content_checksum(header, [data]) == name.checksum
            encoded = header.encode()
            assert content.header_size(encoded[:8]) == len(encoded) - 8
            assert content.decode_header(encoded[8:]) == header == archived.pop(name)
    assert not archived


def test_the_c_tool_accepts_every_object_we_write(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(c_repos["archive"], repo)
    for name, path in stored(repo):
        if name.type == ObjectType.DIR_TREE:
            dirtree = path
        data = path.read_bytes()
        path.unlink()
        if name.type == ObjectType.FILE:
            header, size, plain = read_archived(data)
            deflate = zlib.compressobj(1, wbits=-15)
            body = b"" if header.is_symlink else deflate.compress(plain) + deflate.flush()
            path.write_bytes(header.encode_archive(size) + body)
        else:
            path.write_bytes(DECODERS[name.type](data).encode())
    ostree(repo, "fsck")
    dirtree.write_bytes(dirtree.read_bytes() + b"\0")
    assert run_c(f"--repo={repo}", "fsck", check=False).returncode == 1


def test_a_commit_says_what_the_c_tool_was_told(c_repos: dict[str, Path]) -> None:
    repo = c_repos["archive"]
    second = ostree(repo, "rev-parse", "os/stable")
    first = ostree(repo, "rev-parse", "os/stable^")
    commits = {
        name.checksum: objects.decode_commit(path.read_bytes())
        for name, path in stored(repo)
        if name.type == ObjectType.COMMIT
    }
    assert commits.keys() == {first, second}
    old, new = commits[Checksum(first)], commits[Checksum(second)]
    assert (old.parent, old.subject, old.body, old.timestamp) == (None, "First", "", 1767323045)
    assert (new.parent, new.subject, new.body) == (first, "Second", "With\n\na body ü")
    assert [value.value for key, value in old.metadata.pairs if key == "version"] == ["1", "2"]
    assert old.metadata.find_string("version") == "1"
    assert new.metadata["n"] == gvariant.Variant("a{sv}", [("x", gvariant.Variant("q", 7))])
    assert new.metadata.find_string("n") is None


def test_base64_is_how_the_c_tool_names_deltas(c_repos: dict[str, Path], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(c_repos["archive"], repo)
    spelled = set()
    for i in range(4):
        commit = ostree(repo, "commit", "-b", "x", "--orphan", "-s", str(i), "--tree=ref=os/stable")
        ostree(repo, "static-delta", "generate", "--empty", f"--to={commit}")
        spelled.add(checksums.to_base64(checksums.parse_checksum(commit)))
    assert {path.parent.name + path.name for path in (repo / "deltas").glob("*/*")} == spelled


@given(st.binary(min_size=32, max_size=32), st.text(max_size=44))
def test_base64_has_one_spelling(raw: bytes, other: str) -> None:
    checksum = checksums.from_bytes(raw)
    text = checksums.to_base64(checksum)
    assert len(text) == 43
    assert "/" not in text
    assert checksums.from_base64(text) == checksum
    assert checksums.to_bytes(checksum) == raw
    for wrong in other, text[:-1], text + "A", text[:-1] + "/", text + "=":
        with pytest.raises(Invalid):
            checksums.from_base64(wrong)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "é" * 64])
def test_only_64_hex_digits_are_a_checksum(text: str) -> None:
    with pytest.raises(Invalid, match="64 hex digits"):
        checksums.parse_checksum(text)


NAMES = [".h", "-h", "é", "a..b", "..", "../x", "a/../b", "a/./b", "a//b", "a/", "/a", "a.lock", "a+b", "a_b", "@x"]
NAMES += ["h:", "_", "_/x", "a/-b", "a/.b", "7", "日本", "a~", "a^", "r:x", "r:s:x", ":x", ".r:x", "é:x", "a-", "a."]
NAMES += ["a b", "a\tb"]


def test_refs_are_what_the_c_tool_takes_for_one(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    # Not by chance one that begins with a name: the C tool would take that for the commit.
    always = ["--orphan", "--timestamp=@0", "--canonical-permissions", "--no-xattrs"]
    commit = ostree(repo, "commit", *always, f"--tree=dir={tmp_path / 'tree'}")
    assert not commit.startswith("7")
    for name in NAMES:
        taken = run_c(f"--repo={repo}", "refs", f"--create={name}", commit, check=False).returncode == 0
        try:
            names.parse_refspec(name)
        except Invalid:
            assert not taken, name
        else:
            assert taken, name
        # One name may not be in the way of the next.
        for refs in repo / "refs/heads", repo / "refs/remotes":
            shutil.rmtree(refs)
            refs.mkdir()
    # The C tool lets one line feed pass at the end, where its pattern's `$` matches before it.
    with pytest.raises(Invalid):
        names.parse_refspec("a\n")


def test_refspecs() -> None:
    assert names.parse_refspec("a/b") == (None, "a/b")
    assert names.parse_refspec("origin:a/b") == ("origin", "a/b")
    assert names.check_ref("a/b") == "a/b"
    assert names.check_remote("origin") == "origin"
    for remote in "", "a/b", "..", ".a", "a:b", "a\n":
        with pytest.raises(Invalid, match="Invalid remote name"):
            names.check_remote(remote)
    with pytest.raises(Invalid, match=r"Invalid ref name '\.\./x'"):
        names.check_ref("../x")


@pytest.mark.parametrize("mode", [0o100644, 0o755, 0o120777, 0o1040755, 0])
def test_a_dirmeta_of_another_kind_is_refused(mode: int) -> None:
    with pytest.raises(Corrupt, match="Invalid mode"):
        objects.decode_dirmeta(DirMeta(0, 0, mode).encode())


@pytest.mark.parametrize(
    "header",
    [FileHeader(0, 0, mode) for mode in (0o40755, 0o644, 0o20644, 0o10644, 0o140644, 0o1100644)]
    + [FileHeader(0, 0, 0o120777), FileHeader(0, 0, 0o100644, "target")],
)
def test_a_file_header_of_another_kind_is_refused(header: FileHeader) -> None:
    with pytest.raises(Corrupt):
        content.decode_header(header.encode()[8:])
    with pytest.raises(Corrupt):
        content.decode_archive_header(header.encode_archive(0)[8:])


def test_a_symlink_has_no_content_and_a_header_no_device() -> None:
    with pytest.raises(Corrupt, match="symlink with content"):
        content.decode_archive_header(FileHeader(0, 0, 0o120777, "x").encode_archive(1)[8:])
    device = gvariant.encode(content.HEADER_TYPE, (0, 0, objects.swap32(0o100644), 1, "", []))
    with pytest.raises(Corrupt, match="device"):
        content.decode_header(device)


@pytest.mark.parametrize("prefix", [b"", bytes(7), bytes(9), b"\0\0\0\1\0\0\0\1", b"\xff\xff\xff\xff\0\0\0\0"])
def test_a_prefix_must_promise_a_bounded_header(prefix: bytes) -> None:
    with pytest.raises(Corrupt):
        content.header_size(prefix)


@pytest.mark.parametrize("found", [[b"a\0", b"b\0", b"a\0"], [b"a\0", b"a\0"], [b"\0"], [b""], [b"a"], [b"a\0b\0"]])
def test_xattr_names_are_whole_and_stand_once(found: list[bytes]) -> None:
    with pytest.raises(Corrupt):
        xattrs.decode(gvariant.encode(xattrs.TYPE, [(name, b"value") for name in found]))
    assert xattrs.decode(xattrs.encode(((b"b", b""), (b"a", b"1")))) == ((b"b", b""), (b"a", b"1"))


@pytest.mark.parametrize("text", ["", A, f"{A}.", f"{A}.filez", f"{A}.exe", f"{A}.commit.commit", "a.commit"])
def test_object_names(text: str) -> None:
    with pytest.raises(Invalid):
        objects.parse_object_name(text)
    for kind in ObjectType:
        assert objects.parse_object_name(str(ObjectName(A, kind))) == ObjectName(A, kind)


def test_metadata_is_a_mapping_of_what_is_found_first() -> None:
    one, two = gvariant.Variant("s", "1"), gvariant.Variant("s", "2")
    metadata = Metadata([("k", one), ("k", two), ("l", two)])
    assert dict(metadata) == {"k": one, "l": two}
    assert len(metadata) == 2
    assert metadata != Metadata({"k": one, "l": two})
    assert Metadata({"k": one}) == Metadata([("k", one)])


WHOLE = [
    Commit(Metadata({"k": gvariant.Variant("s", "v")}), A, "subject", "body", 7, A, B, (("name", RAW),)).encode(),
    DirTree({"a": A}, {"b": (A, B)}).encode(),
    DirMeta(1, 2, 0o40755, ((b"user.x", b"y"),)).encode(),
    FileHeader(1, 2, 0o100644, "", ((b"user.x", b"y"),)).encode()[8:],
    FileHeader(1, 2, 0o120777, "target").encode_archive(0)[8:],
]
CHANGE = st.tuples(st.integers(0, 300), st.integers(0, 255))
PARSERS: list[Callable[[bytes], object]] = [
    *DECODERS.values(),
    content.decode_header,
    content.decode_archive_header,
    xattrs.decode,
]


@given(
    st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4), st.integers(0, 9)
)
def test_damaged_objects_give_only_our_error(whole: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(whole)
    for at, byte in changes:
        data[at % len(data)] = byte
    damaged = bytes(data[: len(data) - cut])
    for parser in PARSERS:
        try:
            value = parser(damaged)
        except Error:
            continue
        if isinstance(value, Commit | DirTree | DirMeta):
            assert value.encode() == damaged


# inode, mode, uid, gid, links, mtime, size, two devices of two numbers, size of the name, check
CPIO = b"070701" + b"".join(b"%08X" % n for n in (1, 0o100644, 0, 0, 1, 0, 3, 0, 0, 0, 0, 2, 0))


@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 119), st.binary(max_size=8))))
def test_any_bytes_as_cpio(what: bytes | tuple[int, bytes]) -> None:
    """Those of a good archive with some replaced come close to one."""
    whole = CPIO + b"a\0" + b"abc\0"
    data = what if isinstance(what, bytes) else whole[: what[0]] + what[1] + whole[what[0] + len(what[1]) :]
    with pytest.raises(Corrupt):
        for member in cpio.read_cpio(io.BytesIO(data).read):
            assert sum(map(len, member.content)) == member.size


@pytest.mark.parametrize("number", [b"-00081A4", b"+00081A4", b" 00081A4", b"000_81A4", b"0x0081A4"])
def test_numbers_in_cpio_are_digits_alone(number: bytes) -> None:
    """As the mode, which stands behind magic and inode."""
    with pytest.raises(Corrupt, match="header with"):
        list(cpio.read_cpio(io.BytesIO(CPIO[:14] + number + CPIO[22:] + b"a\0" + b"abc\0").read))


@given(st.integers(0, 1 << 63), st.integers(0, 1 << 63), st.sampled_from([None, *ObjectType]))
def test_sizes_come_back(packed: int, unpacked: int, kind: ObjectType | None) -> None:
    size = sizes.Size(A, packed, unpacked, kind)
    encoded = sizes.encode_size(size)
    assert sizes.decode_size(encoded) == size
    for cut in range(len(encoded) - (kind is not None)):
        with pytest.raises(Corrupt):
            sizes.decode_size(encoded[:cut])


@given(st.binary(max_size=60))
def test_any_bytes_as_a_size(data: bytes) -> None:
    with suppress(Corrupt):
        sizes.decode_size(data)
