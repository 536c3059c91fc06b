"""A server that means harm: each answer ends in one clear error, with memory and disk bounded, and moves no ref."""

import hashlib
import os
import resource
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from larix import gvariant
from larix.formats.content import FileHeader
from larix.formats.objects import DIRTREE_TYPE
from tests.judge import fails, larix, ostree, run_larix
from tests.pulls import contents
from tests.servers import Left, Quiet, listening, serve

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def evil(repo: Path, end: str, answer: Answer) -> Iterator[str]:
    """Serves a repo, but for what ends so."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.path.endswith(end):
                self.close_connection = True
                answer(self)
                return
            path = repo / self.path.lstrip("/")
            body = path.read_bytes() if path.is_file() else None
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    with listening(Left(("127.0.0.1", 0), Handler)) as url:
        yield url


def head(handler: BaseHTTPRequestHandler, *headers: tuple[str, str], status: int = 200) -> None:
    handler.send_response(status)
    for header in headers:
        handler.send_header(*header)
    handler.end_headers()


def forever(begin: bytes) -> Callable[[list[int]], Answer]:
    """A body without an end. What was sent of it is counted."""

    def make(sent: list[int]) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            head(handler, ("Connection", "close"))
            handler.wfile.write(begin)
            noise = os.urandom(1 << 16)
            while True:
                handler.wfile.write(noise)
                sent[0] += len(noise)

        return answer

    return make


def whole(*parts: bytes) -> Callable[[list[int]], Answer]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, ("Content-Length", str(sum(map(len, parts)))))
        for part in parts:
            handler.wfile.write(part)

    return lambda sent: answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    head(handler, ("Content-Length", "1000000"))
    gone = threading.Event()
    while not gone.wait(0.1):
        handler.wfile.write(b"x")


def silence(handler: BaseHTTPRequestHandler) -> None:
    # Until the client goes.
    handler.rfile.read()


def redirect(target: str) -> Callable[[list[int]], Answer]:
    return lambda sent: (
        lambda handler: head(handler, ("Location", target or handler.path), ("Content-Length", "0"), status=302)
    )


def header(size: int) -> bytes:
    return FileHeader(0, 0, 0o100644, "", ()).encode_archive(size)


def zeros(size: int) -> bytes:
    """So many, deflated."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = bytes(1 << 20)
    return b"".join([*(packer.compress(piece) for _ in range(size >> 20)), packer.flush()])


GIB = 1 << 30
ROWS: dict[str, tuple[str, Callable[[list[int]], Answer], str]] = {
    "an endless file": (".filez", forever(header(100) + b"\0" * 10000), "longer than the "),
    "an endless file that is none": (".filez", forever(b"\xff" * 100), "not a file object"),
    "an endless file that says so": (".filez", forever(header(1 << 40)), "min-free-space-size"),
    "a bomb that says it is small": (".filez", whole(header(100), zeros(512 << 20)), "longer than the 100 bytes"),
    "a bomb that says what it is": (".filez", whole(header(64 << 20), zeros(64 << 20)), "checksum expected"),
    "a bomb that says it is more": (".filez", whole(header(1 << 62), zeros(64 << 20)), ""),
    "an endless dirtree": (".dirtree", forever(b""), "allowed"),
    "an endless commit": (".commit", forever(b""), "allowed"),
    "an endless summary": ("/summary", forever(b""), "allowed"),
    "a slow file": (".filez", lambda sent: drip, "Operation too slow"),
    "a slow dirtree": (".dirtree", lambda sent: drip, "Operation too slow"),
    "no answer": (".dirtree", lambda sent: silence, "Operation too slow"),
    "a redirect to itself": (".dirtree", redirect(""), "redirects"),
    "a redirect to a file of ours": (".dirtree", redirect("file:///etc/passwd"), "rotocol"),
    "a redirect that is no URL": (".commit", redirect("gopher://\x7f:x"), "Fetching http://"),
    "another file": (".filez", whole(header(3), zlib.compress(b"abc", 9, -15)), "checksum expected"),
}


CASES = [(what, mode) for mode in ("archive", "bare-user") for what in ROWS if mode == "archive" or "file" in what]


@pytest.mark.parametrize(("what", "mode"), CASES)
def test_answers(c_repos: dict[str, Path], tmp_path: Path, what: str, mode: str) -> None:
    end, make, said = ROWS[what]
    repo = tmp_path / "repo"
    sent = [0]
    with evil(c_repos["archive"], end, make(sent)) as url:
        ostree(repo, "init", f"--mode={mode}")
        ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        if "min-free" in said:
            # As larix counts it: some is for root alone.
            found = os.statvfs(repo)
            free = (found.f_bavail if os.geteuid() else found.f_bfree) * found.f_frsize
            larix(repo, "config", "set", "core.min-free-space-size", f"{(free >> 20) - 200}MB")
        before = contents(repo)
        slow = ["--low-speed-limit-bytes=1000", f"--low-speed-time-seconds={1 if 'slow' in said else 20}"]
        command = [sys.executable, "-m", "larix", f"--repo={repo}", "pull", "--network-retries=0", *slow, "origin"]
        done = subprocess.run(
            [*command, "os/stable"],
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB)),
        )
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert contents(repo) == before
    # What was kept for the next try is small, and so was what came before it was enough.
    assert sum(path.stat().st_blocks for path in repo.glob("tmp/**/*")) * 512 < 64 << 20
    assert sent[0] < 400 << 20


def put(repo: Path, kind: str, data: bytes) -> str:
    checksum = hashlib.sha256(data).hexdigest()
    (repo / f"objects/{checksum[:2]}").mkdir(exist_ok=True)
    (repo / f"objects/{checksum[:2]}/{checksum[2:]}.{kind}").write_bytes(data)
    return checksum


@pytest.fixture(scope="module")
def deep(c_repos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with a commit of 11,000 directories, each in the last."""
    repo = tmp_path_factory.mktemp("deep") / "repo"
    ostree(repo, "init", "--mode=archive")
    empty = tmp_path_factory.mktemp("empty")
    ostree(repo, "commit", f"--tree=dir={empty}", "-b", "deep", "--timestamp=@0", "--owner-uid=0", "--owner-gid=0")
    made = ostree(repo, "rev-parse", "deep").strip()
    dirtree, dirmeta = ostree(repo, "ls", "-dC", "deep", "/").split()[4:6]
    top = dirtree
    for _ in range(11_000):
        top = put(
            repo, "dirtree", gvariant.encode(DIRTREE_TYPE, ([], [("d", bytes.fromhex(top), bytes.fromhex(dirmeta))]))
        )
    commit = (repo / f"objects/{made[:2]}/{made[2:]}.commit").read_bytes()
    assert commit.count(bytes.fromhex(dirtree)) == 1
    new = put(repo, "commit", commit.replace(bytes.fromhex(dirtree), bytes.fromhex(top)))
    (repo / "refs/heads/deep").write_text(f"{new}\n")
    return repo


def test_eleven_thousand_levels(deep: Path, tmp_path: Path) -> None:
    for mode in "archive", "bare-user":
        repo = tmp_path / mode
        ostree(repo, "init", f"--mode={mode}")
        with serve(deep) as url:
            ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
            before = contents(repo)
            assert "nested more than 10000" in fails(f"--repo={repo}", "pull", "origin", "deep")
        assert "nested more than 10000" in fails(f"--repo={repo}", "pull-local", deep)
        assert contents(repo) == before
    # And where it is there already.
    top = tmp_path / "top"
    (tmp_path / "nothing").mkdir()
    empty = ostree(deep, "commit", "--orphan", tmp_path / "nothing")
    for words in (
        ["ls", "-R", "deep"], ["export", f"--output={top}.tar", "deep"],
        ["diff", empty, "deep"], ["commit", "-b", "x", "--tree=ref=deep", "--tree=ref=deep"], ["prune"],
    ):  # fmt: skip
        assert "nested more than 10000" in fails(f"--repo={deep}", *words), words
    assert "nested more than 10000" in run_larix(f"--repo={deep}", "fsck").err


def test_a_directory_that_holds_itself(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """No such object has its checksum: it can only be served under a name that is not its own."""
    source, repo = c_repos["archive"], tmp_path / "repo"
    top, dirmeta = ostree(source, "ls", "-dC", "os/stable", "/").split()[4:6]
    body = gvariant.encode(DIRTREE_TYPE, ([], [("d", bytes.fromhex(top), bytes.fromhex(dirmeta))]))
    ostree(repo, "init", "--mode=archive")
    with evil(source, f"{top[2:]}.dirtree", whole(body)([0])) as url:
        ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        assert f"checksum expected='{top}'" in fails(f"--repo={repo}", "pull", "origin", "os/stable")


@pytest.mark.parametrize("name", ["../../config", "..", "/etc/x", "a//b", "a/../../b", "a\nb", "", "."])
def test_refs_that_escape(c_repos: dict[str, Path], tmp_path: Path, name: str) -> None:
    source, repo = tmp_path / "source", tmp_path / "repo"
    ostree(source, "init", "--mode=archive")
    ostree(source, "pull-local", c_repos["archive"])
    ostree(source, "summary", "-u")
    summary = gvariant.decode("(a(s(taya{sv}))a{sv})", (source / "summary").read_bytes())
    refs = [(name, summary[0][0][1])]
    (source / "summary").write_bytes(gvariant.encode("(a(s(taya{sv}))a{sv})", (refs, summary[1])))
    with serve(source) as url:
        ostree(repo, "init", "--mode=archive")
        ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        before = contents(tmp_path / "repo")
        fails(f"--repo={repo}", "pull", "--mirror", "origin")
        fails(f"--repo={repo}", "pull", "origin", name)
    assert contents(tmp_path / "repo") == before


def test_an_old_summary(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """Someone serves what was true once."""
    source, repo = tmp_path / "source", tmp_path / "repo"
    ostree(source, "init", "--mode=archive")
    empty = tmp_path / "empty"
    empty.mkdir()
    for i in 1, 2:
        ostree(source, "commit", f"--tree=dir={empty}", "-b", "main", f"--timestamp=@{i}")
        ostree(source, "summary", "-u")
        if i == 1:
            old = (source / "summary").read_bytes()
    ostree(repo, "init", "--mode=archive")
    with serve(source) as url:
        ostree(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        larix(repo, "pull", "origin", "main")
        (source / "summary").write_bytes(old)
        before = contents(repo)
        assert "chronologically older" in fails(f"--repo={repo}", "pull", "-T", "origin", "main")
        assert contents(repo) == before
