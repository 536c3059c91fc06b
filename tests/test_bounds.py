"""What comes from outside has bounds: in memory, in depth, in number, and in where it leads."""

import io
import os
import resource
import socket
import ssl
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pycurl
import pytest

import larix
from larix.errors import Corrupt, FetchFailed
from larix.formats.content import FileHeader
from larix.linux import reading
from larix.ops.tree import walk
from larix.remote import serve as server_module
from larix.remote.http import Body, Http, HttpOptions, Request, Spill
from larix.repo.archive import Archive, unpack
from larix.repo.sources import of_packed
from tests.judge import fails, ostree, run_larix
from tests.servers import Left, Quiet, listening

# Of deflate: stored, without content, and not the last.
EMPTY_BLOCK = b"\0\0\0\xff\xff"


@pytest.mark.parametrize("exact", [False, True])
def test_content_where_none_is_promised(exact: bool) -> None:
    header = FileHeader(0, 0, 0o100644, "", ()).encode_archive(0)
    for packed in zlib.compress(b"more")[2:-4], b"\xff":
        with pytest.raises(Corrupt):
            b"".join(unpack(io.BytesIO(header + packed).read, len(header + packed), exact=exact).content)


def test_a_length_that_no_number_has() -> None:
    """Of an answer: curl would print a traceback."""
    body = Body(Request("http://x", first=16), Spill(lambda: -1, lambda size: None))
    for value, total in (f"bytes 0-15/{'9' * 5000}", None), ("bytes 0-15/²", None), ("bytes 0-15/99", 99):
        body.note_header(f"Content-Range: {value}\r\n".encode("latin-1"))
        assert body.total == total


def test_compressed_nothing_is_not_kept(tmp_path: Path) -> None:
    head = FileHeader(0, 0, 0o100644).encode_archive(1 << 30)
    total = 13 << 20
    begun, left = io.BytesIO(head), [total * len(EMPTY_BLOCK)]

    def read(size: int) -> bytes:
        if found := begun.read(size):
            return found
        begin = -left[0] % len(EMPTY_BLOCK)
        size = min(size, left[0])
        left[0] -= size
        return (EMPTY_BLOCK * (size // len(EMPTY_BLOCK) + 2))[begin : begin + size]

    source, _ = of_packed(read, left[0] + len(head), Archive())
    tracemalloc.start()
    with reading.closing(reading.open_directory(str(tmp_path))) as fd, pytest.raises(Corrupt):
        source.write(Archive(), "object", fd)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert left == [0]
    assert peak < 16 << 20


class Endless(io.RawIOBase):
    """An archive that begins so, and then goes on with zeros."""

    def __init__(self, begin: bytes) -> None:
        self._begin = io.BytesIO(begin)
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._begin.read(len(view)) or bytes(len(view))
        view[: len(data)] = data
        self.given += len(data)
        return len(data)


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"], ids=["pax", "global", "Solaris", "name", "target"])
def test_extended_headers_of_archives(kind: bytes, tmp_path: Path) -> None:
    info = larix_tar_header(kind, 1 << 34)
    stream = Endless(info)
    with larix.Repo.init(str(tmp_path / "repo"), "archive") as repo, larix.Transaction(repo) as transaction:
        with pytest.raises(Corrupt, match=r"extended header of (17179869184 bytes; at most|more than 4194304 bytes)"):
            larix.lay_archive(transaction, larix.Directory(), io.BufferedReader(stream))
        # Newer Pythons read such a header in pieces, up to the limit.
        assert stream.given < 16 << 20


def larix_tar_header(kind: bytes, size: int) -> bytes:
    """Of GNU tar, which writes large sizes in base 256."""
    block = bytearray(512)
    block[:13] = b"././@LongLink"
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[156:157] = kind
    block[257:265] = b"ustar  \0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_global_headers_add_up(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for n in range(10):
            text = "x" * (1 << 20)
            tar.fileobj.write(tarfile.TarInfo.create_pax_global_header({f"key{n}": text}))
            tar.addfile(tarfile.TarInfo(f"file{n}"))
    archive.seek(0)
    with (
        larix.Repo.init(str(tmp_path / "repo"), "archive") as repo,
        larix.Transaction(repo) as transaction,
        pytest.raises(Corrupt, match="global extended headers of more than"),
    ):
        larix.lay_archive(transaction, larix.Directory(), io.BufferedReader(archive))


def test_maps_of_sparse_files_end(tmp_path: Path) -> None:
    block = bytearray(larix_tar_header(b"S", 512))
    # More of the map follows; in each block of it, too.
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more = bytearray(b"00000000001\0" * 42).ljust(512, b"\0")
    more[504] = 1
    stream = Endless(bytes(block) + bytes(more) * (64 << 11))
    with larix.Repo.init(str(tmp_path / "repo"), "archive") as repo, larix.Transaction(repo) as transaction:
        with pytest.raises(Corrupt, match="extended header of more than"):
            larix.lay_archive(transaction, larix.Directory(), io.BufferedReader(stream))
        assert stream.given < 16 << 20


def test_refs_of_many_parts(origin: Path, tmp_path: Path) -> None:
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    fd = os.open(repo / "refs/heads", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with os.fdopen(os.open("ref", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "w") as file:
        file.write("0" * 64 + "\n")
    os.close(fd)
    for command in ["refs"], ["summary", "-u"], ["refs", "--delete", "d"], ["refs"]:
        done = run_larix(f"--repo={repo}", *command)
        assert "defect" not in done.err
    assert done.out == ""
    assert "Invalid refspec" in run_larix(f"--repo={repo}", "refs", "--create", "/".join("d" * 2500), "x").err


def dig(top: Path, levels: int, last: str) -> Path:
    """A directory with so many, one in the other, and a file in the last."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open(last, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    return top


@pytest.fixture(scope="module")
def digging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the tests below may leave what Python's own way does not come deep enough to remove."""
    top = tmp_path_factory.mktemp("deep")
    yield top
    subprocess.run(["rm", "-rf", top], check=True)


LARIX = Path(sys.executable).parent / "larix"
LEVELS = 2500


@pytest.fixture(scope="module")
def deep(digging: Path) -> Path:
    """`one` and `two` are deep, `repo` has `one` by the C tool, and `tar` is an archive of it."""
    for name in "one", "two":
        dig(digging / name, LEVELS, f"file-{name}")
    ostree(digging / "repo", "init", "--mode=bare-user")
    ostree(digging / "repo", "commit", "-b", "deep", digging / "one")
    with tarfile.open(digging / "tar", "w") as archive:
        for level in range(LEVELS + 1):
            folder = tarfile.TarInfo("/".join(["."] + ["d"] * level))
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    return digging


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("diff {top}/one {top}/two", f"A    {'d/' * LEVELS}file-two"),
        ("diff deep {top}/two", f"D    /{'d/' * LEVELS}file-one"),
        ("diff --stats deep deep", f"Common Object Count: {LEVELS + 4}"),
        ("ls -R deep", f"{'/d' * LEVELS}/file-one"),
        ("commit -b new {top}/one --timestamp=@0", ""),
        ("commit -b new --progress=json {top}/one --consume", ""),
        ("commit -b new --tree=ref=deep --tree=dir={top}/two", ""),
        ("commit -b new --tree=ref=deep --tree=ref=deep --owner-uid=7", ""),
        ("commit -b new --tree=tar={top}/tar", ""),
        ("checkout -U deep {out}/out", ""),
        ("checkout -U --union --progress=json deep {out}/out", ""),
        ("export --output={out}/out.tar deep", ""),
        ("fsck", "successfully"),
        ("prune --refs-only", "No unreachable objects"),
        ("df", ""),
        ("pull-local {top}/repo deep", ""),
        ("pull origin deep", ""),
    ],
)
def test_deep_directories(words: str, said: str, deep: Path, digging: Path) -> None:
    out = Path(tempfile.mkdtemp(dir=digging))
    if "consume" in words:
        dig(out / "one", LEVELS, "file-one")
        words = words.replace("{top}/one", f"{out}/one")
    repo = out / "repo"
    ostree(repo, "init", "--mode=bare-user")
    if "pull" in words:
        ostree(repo, "remote", "add", "--no-gpg-verify", "origin", f"file://{deep}/repo")
    else:
        ostree(repo, "pull-local", deep / "repo")
    arguments = [f"--repo={repo}", *(word.format(top=deep, out=out) for word in words.split())]
    done = subprocess.run([LARIX, *arguments], capture_output=True, text=True, check=False, preexec_fn=few_files)
    assert done.returncode == 0, done.stderr[-500:]
    assert said in done.stdout
    if "new" in words or "pull" in words:
        assert ostree(repo, "fsck")
        branch = "new" if "new" in words else "origin:deep" if "origin" in words else "deep"
        assert ostree(repo, "ls", branch, "/d" * LEVELS)
    if words.startswith("commit -b new") and "--tree" not in words:
        dirtree = [ostree(repo, "ls", "-dC", branch, "/") for branch in ("new", "deep")]
        assert dirtree[0] == dirtree[1]
    if "consume" in words:
        assert not (out / "one").exists()


def test_a_server_has_so_many_threads(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    with larix.Repo(str(origin)) as repo, listening(server_module.Server(repo, "127.0.0.1", 0)) as url:
        address = "127.0.0.1", urlsplit(url).port
        before = threading.active_count()
        silent = [socket.create_connection(address) for _ in range(3)]
        # They are taken in the order in which they came.
        answers = []
        for _ in range(20):
            with socket.create_connection(address) as one:
                answers.append(one.makefile("rb").readline())
        assert answers == [b"HTTP/1.1 503 Service Unavailable\r\n"] * 20
        assert threading.active_count() - before <= 3
        for one in silent:
            one.close()
        # A client with more connections than there are threads: who is refused tries again, and nobody stays.
        ostree(client := tmp_path / "client", "init", "--mode=archive")
        ostree(client, "remote", "add", "--no-gpg-verify", "origin", url)
        with larix.Repo(str(client)) as opened:
            larix.pull_remote(opened, "origin", ["os/stable"])
        ostree(client, "fsck")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *words, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Left:
    class Handler(Quiet):
        do_GET = answer

    return Left(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize(
    ("begin", "lead_to"), [("https", "http"), ("https", "https"), ("http", "https"), ("http", "http")]
)
def test_no_redirect_leaves_encryption(begin: str, lead_to: str, certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def content(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"here")

    there = answering(content)
    if lead_to == "https":
        there.socket = context.wrap_socket(there.socket, server_side=True)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{lead_to}://127.0.0.1:{there.server_address[1]}/x")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    here = answering(redirect)
    if begin == "https":
        here.socket = context.wrap_socket(here.socket, server_side=True)
    http = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=0))
    for handle in http._handles:
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)
    with listening(there), listening(here):
        # One after the other on the same handles: what one may, the next may not.
        for _ in range(2):
            if (begin, lead_to) == ("https", "http"):
                with pytest.raises(FetchFailed, match="redirects to a protocol that is not followed"):
                    http.get(f"{begin}://127.0.0.1:{here.server_address[1]}/", 100)
            else:
                assert http.get(f"{begin}://127.0.0.1:{here.server_address[1]}/", 100) == b"here"
    http.close()


TOO_DEEP = [
    "commit -b x {top}/one",
    "commit -b x --tree=tar={top}/tar",
    "checkout -U deep {out}",
    "diff {top}/two deep",
    "ls -R deep",
]


@pytest.mark.parametrize("limit", ["MAX_DEPTH", "MAX_PATH", "MAX_PATHS"])
@pytest.mark.parametrize("words", TOO_DEEP)
def test_where_it_is_too_deep(
    words: str, limit: str, deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, limit, LEVELS - 10)
    given = words.format(top=deep, out=tmp_path / "out").split()
    said = fails(f"--repo={deep / 'repo'}", *given)
    assert "nested more than" in said or f"more than {LEVELS - 10} characters" in said or "that is too much" in said
    assert ostree(deep / "repo", "refs") == "deep"
    assert not (tmp_path / "out").exists()


def test_a_wide_directory_far_down(digging: Path) -> None:
    """Of which the paths alone would take half a gigabyte."""
    repo = digging / "wide"
    with larix.Repo.init(str(repo), "bare-user") as opened, larix.Transaction(opened) as transaction:
        meta = larix.DirMeta(0, 0, stat.S_IFDIR | 0o755)
        below = larix.Directory(meta, dirs={str(number): larix.Directory(meta) for number in range(8000)})
        for _ in range(250):
            below = larix.Directory(meta, dirs={"d" * 250: below})
        larix.commit_tree(transaction, larix.add_tree(transaction, below), "main")
        transaction.commit()

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    words = [str(LARIX), f"--repo={repo}", "checkout", "-U", "main", f"{digging}/wide-out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, preexec_fn=little_memory)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_limit_is_the_same_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_DEPTH", 20)
    for levels in 20, 21:
        top = tmp_path / f"{levels}"
        dig(top, levels, "file")
        ostree(repo := tmp_path / f"repo-{levels}", "init", "--mode=bare-user")
        ostree(repo, "commit", "-b", "main", top)
        with tarfile.open(tmp_path / f"{levels}.tar", "w") as archive:
            archive.add(top, ".")
        ostree(other := tmp_path / f"other-{levels}", "init", "--mode=bare-user")
        for words in (
            f"--repo={other} commit -b x {top}",
            f"--repo={other} commit -b y --tree=tar={tmp_path}/{levels}.tar",
            f"--repo={repo} commit -b z --tree=ref=main --owner-uid=7",
            f"--repo={repo} ls -R main",
            f"--repo={repo} checkout -U main {tmp_path}/out-{levels}",
            f"--repo={repo} export --output={tmp_path}/out-{levels}.tar main",
            f"--repo={repo} fsck",
            f"--repo={repo} prune --refs-only",
            f"--repo={repo} diff main {top}",
            f"--repo={tmp_path}/other-{levels} pull-local {repo} main",
        ):
            done = run_larix(*words.split())
            assert done.status == (levels == 21), (words, done)


@pytest.mark.slow
def test_ten_thousand_levels(digging: Path) -> None:
    top = dig(digging / "ten-thousand", 9_990, "file")
    ostree(repo := digging / "ten", "init", "--mode=bare-user")
    for words in (
        ["commit", "-b", "main", top],
        ["fsck"],
        ["checkout", "-U", "main", digging / "ten-out"],
        ["diff", "main", digging / "ten-out"],
        ["export", f"--output={digging}/ten.tar", "main"],
        ["prune"],
    ):
        done = subprocess.run(
            [LARIX, f"--repo={repo}", *words], capture_output=True, text=True, check=False, preexec_fn=few_files
        )
        assert done.returncode == 0, (words, done.stderr[-300:])
