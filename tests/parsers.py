"""Every parser that reads bytes from outside, with something good for it to begin from; and what holds for each.

Whatever the bytes are, a parser gives a value or raises one of our errors, and takes no more memory than FACTOR times
their size beside FREE. `tests/test_parsers.py` gives them bytes of hypothesis, `python -m tests.fuzz` those of atheris.
"""

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from larix import gvariant
from larix.cli import dates
from larix.errors import Corrupt, Error
from larix.formats import checksum as checksums
from larix.formats import names, objects, sizes, xattrs
from larix.formats.bootentry import BootEntry
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader, decode_archive_header, decode_header
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata
from larix.formats.runfiles import decode_booted, decode_staged
from larix.formats.summary import Summary, SummaryRef, decode_summary
from larix.gvariant import Variant
from larix.gvariant.parse_text import from_text
from larix.ops.checksum import Checksums
from larix.ops.commit.untar import ArchiveOptions, lay_archive
from larix.ops.tree import modify
from larix.ops.tree.directory import Directory
from larix.repo import archive

FACTOR = 20
# Decoders of archives and compressed files have buffers and tables of their own.
FREE = 2 << 20
STREAM_FREE = 24 << 20

A, B = Checksum("a" * 64), Checksum("b" * 64)


@dataclass(frozen=True)
class Parser:
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    free: int = FREE

    def check(self, data: bytes) -> None:
        """Parse, and see that no exception is another's and that memory is bounded."""
        tracemalloc.start()
        try:
            with suppress(Error):
                self.parse(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= FACTOR * len(data) + self.free, f"{peak} bytes of memory for {len(data)}"


def of_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Of a parser whose caller has refused what is not UTF-8."""

    def parse_bytes(data: bytes) -> object:
        with suppress(UnicodeDecodeError):
            return parse(data.decode())
        return None

    return parse_bytes


def decode_any(data: bytes) -> object:
    """A type string, NUL, a value."""
    kind, _, value = data.partition(b"\0")
    return gvariant.decode(kind.decode("latin-1"), value)


def decode_again(decode: Callable[[bytes], Commit | DirTree | DirMeta], data: bytes) -> None:
    assert decode(data).encode() == data


def unpack(data: bytes) -> None:
    """Both ways: they differ in what may follow the compressed content, and in nothing else."""
    found = b"".join(archive.unpack(io.BytesIO(data).read, len(data)).content)
    try:
        exact = b"".join(archive.unpack(io.BytesIO(data).read, len(data), exact=True).content)
    except Corrupt as error:
        assert "bytes after the compressed content" in str(error)
    else:
        assert exact == found


def lay(data: bytes) -> None:
    reader: Any = io.BufferedReader(io.BytesIO(data))
    lay_archive(Checksums(), Directory(), reader, options=ArchiveOptions(make_parents=True))


def parse_keyfile(data: bytes) -> None:
    """With all that is asked of it; what changes one key keeps the others."""
    file = KeyFile.decode(data, "config")
    values = {(group, key): file.find(group, key) for group in file.groups() for key in file.keys(group)}
    with suppress(Error):
        file.find_int("core", "lock-timeout-secs", 0)
    file.set("core", "larix", "x y")
    again = KeyFile(str(file))
    assert {**values, ("core", "larix"): "x y"} == {
        (group, key): again.find(group, key) for group in again.groups() for key in again.keys(group)
    }


def parse_entry(text: str) -> None:
    entry = BootEntry.parse(text)
    _ = entry.version, entry.target
    assert BootEntry.parse(str(entry)) == entry


MEMBERS = [("etc", tarfile.DIRTYPE, ""), ("etc/a", tarfile.SYMTYPE, "b"), ("x" * 150, tarfile.REGTYPE, "")]


def make_tar(**how: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **how) as tar:  # type: ignore[call-overload]
        for name, kind, target in MEMBERS:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.pax_headers = {"SCHILY.xattr.user.a": "1"} if how.get("format") == tarfile.PAX_FORMAT else {}
            info.size = 5 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hello"))
    return file.getvalue()


def make_cpio() -> bytes:
    return subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=b"tests\n", capture_output=True, check=True
    ).stdout


def make_seeds() -> dict[str, tuple[bytes, ...]]:
    metadata = Metadata({"version": Variant("s", "1.0"), "x": Variant("av", [Variant("u", 7)])})
    files = (
        FileHeader(0, 0, 0o100644, "", xattrs.canonical([(b"user.a", b"1")])),
        FileHeader(1, 2, 0o120777, "target"),
    )
    heads = tuple(header.encode_archive(0 if header.is_symlink else 5) for header in files)
    size = sizes.Size(A, 10, 300, objects.ObjectType.FILE)
    summary = Summary({"main": SummaryRef(A, 100, Metadata())}, metadata=Metadata({"x": Variant("t", 5)}))
    tars = (make_tar(format=tarfile.PAX_FORMAT), make_tar(format=tarfile.GNU_FORMAT))
    commit = Commit(metadata, None, "subject", "body", 5, A, B)
    staged = Metadata({"name": Variant("s", f"{A}.0"), "osname": Variant("s", "os"), "bootcsum": Variant("s", B)})
    running = Metadata(
        {"target": Variant("a{sv}", list(staged.items())), "backing-root-device-inode": Variant("(tt)", (1, 2))}
    )
    return {
        "gvariant": (b"a{sv}\0" + gvariant.encode("a{sv}", list(metadata.items())), b"a(yms)\0", b"(sayv)\0"),
        "commit": (commit.encode(), commit._replace(parent=A, metadata=Metadata()).encode()),
        "dirtree": (DirTree({"a": A, "b": B}, {"c": (A, B)}).encode(), DirTree({}, {}).encode()),
        "dirmeta": (DirMeta(0, 0, 0o40755, xattrs.canonical([(b"user.a", b"1")])).encode(),),
        "file header": tuple(header.encode()[8:] for header in files),
        "archive header": tuple(head[8:] for head in heads),
        "filez": (heads[0] + DEFLATED, heads[1]),
        "summary": (summary.encode(),),
        "xattrs": (xattrs.encode(xattrs.canonical([(b"user.a", b"1"), (b"user.b", b"")])),),
        "sizes": (sizes.encode_size(size), sizes.encode_size(size._replace(type=None))),
        "key file": (b'# x\n[core]\nmode=bare\n\n[remote "a"]\nurl = http://x/\\sy\nlock-timeout-secs=3\n',),
        "boot entry": (b'title x\nversion 1\noptions a ostree=/ostree/boot.0/os/abc/0 b="c d"\nlinux /x\n',),
        "kernel arguments": (b'a b=c b=d root="x y" init=/x',),
        "names": (b"main", b"origin:os/x86_64/main", b"org.example.Os", b"a" * 64 + b".filez"),
        "GVariant text": (
            b"{'a': <@u 5>, 'b': <[1.5, -2e3]>}",
            b"(true, b'x\\001', @as [], @mu nothing)",
            b"'\\u00e9'",
        ),
        "date": (b"2026-01-31 12:00:00 +0100", b"3 weeks ago", b"January 31 2026 12:00", b"@5", b"yesterday"),
        "files in /run": (gvariant.encode("a{sv}", list(running.items())),),
        "overrides": (b"+2048 /usr/bin/su\n=420 /etc/x\n",),
        "archive": (*tars, make_cpio(), gzip.compress(tars[0]), bz2.compress(tars[0]), lzma.compress(tars[0])),
    }


# "hello", deflated.
DEFLATED = bytes.fromhex("cb48cdc9c90700")


def parse_names(text: str) -> None:
    names.is_ref(text)
    for check in names.check_part, names.check_ref, names.check_remote, names.check_collection, names.parse_refspec:
        with suppress(Error):
            check(text)
    for parse in objects.parse_object_name, checksums.parse_checksum, checksums.from_base64:
        with suppress(Error):
            parse(text)


def parse_runfile(data: bytes) -> None:
    for parse in decode_booted, decode_staged:
        with suppress(Error):
            parse(data, "file")


PARSE: dict[str, Callable[[bytes], object]] = {
    "gvariant": decode_any,
    "commit": partial(decode_again, objects.decode_commit),
    "dirtree": partial(decode_again, objects.decode_dirtree),
    "dirmeta": partial(decode_again, objects.decode_dirmeta),
    "file header": decode_header,
    "archive header": decode_archive_header,
    "filez": unpack,
    "summary": decode_summary,
    "xattrs": xattrs.decode,
    "sizes": sizes.decode_size,
    "key file": parse_keyfile,
    "boot entry": of_text(parse_entry),
    "kernel arguments": of_text(KernelArgs.parse),
    "names": of_text(parse_names),
    "GVariant text": of_text(from_text),
    "date": of_text(dates.parse_date),
    "files in /run": parse_runfile,
    "overrides": of_text(modify.parse_overrides),
    "archive": lay,
}


def all_parsers() -> dict[str, Parser]:
    seeds = make_seeds()
    return {
        name: Parser(parse, seeds[name], STREAM_FREE if name == "archive" else FREE) for name, parse in PARSE.items()
    }
