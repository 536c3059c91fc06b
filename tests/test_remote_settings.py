"""What a remote's settings say of how it is reached: TLS, proxies, mirrors; real servers, and beside the C tool."""

import gzip
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import larix as api
from larix.errors import FetchFailed, Invalid
from larix.remote import http as larix_http
from larix.remote.http import Http, HttpOptions, Spill, in_ascii
from tests.judge import admin, by_c, fails, larix, ostree, run_c, run_larix
from tests.servers import Left, Quiet, free_port, listening, nginx, proxy
from tests.sysroots import as_root

NEW = "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"
HERE = "subjectAltName=IP:127.0.0.1"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, `ca` and `other`, and certificates of the first, with their keys: `server` and `client`."""
    top = tmp_path_factory.mktemp("pki")
    for name in "ca", "other":
        openssl("req", *NEW, f"/CN={name}", "-keyout", top / f"{name}.key", "-out", top / f"{name}.crt")
    for name in "server", "client":
        signed = "-CA", top / "ca.crt", "-CAkey", top / "ca.key", "-addext", HERE
        openssl("req", *NEW, f"/CN={name}", *signed, "-keyout", top / f"{name}.key", "-out", top / f"{name}.crt")
    return top


def with_certificate(pki: Path, *more: str) -> str:
    return " ".join([f"ssl_certificate {pki}/server.crt;", f"ssl_certificate_key {pki}/server.key;", *more])


def for_clients(pki: Path) -> str:
    return with_certificate(pki, f"ssl_client_certificate {pki}/ca.crt;", "ssl_verify_client on;")


@pytest.fixture(scope="module")
def secured(
    c_repos: dict[str, Path], pki: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """Two URLs of an archive repo, the second for clients with a certificate; and the log of the first."""
    work, root = tmp_path_factory.mktemp("tls"), c_repos["archive"]
    with (
        nginx(root, work / "open", with_certificate(pki), tls=True) as url,
        nginx(root, work / "closed", for_clients(pki), tls=True) as closed,
    ):
        yield url, closed, work / "open/access.log"


def pull_both(top: Path, url: str, *settings: str) -> tuple[str, str]:
    """What each tool says of a pull from a remote with these settings; nothing where all of it came."""
    said = []
    for name in "ours", "theirs":
        shutil.rmtree(repo := top / name, ignore_errors=True)
        ostree(repo, "init", "--mode=archive")
        ostree(repo, "remote", "add", "--no-gpg-verify", *(f"--set={one}" for one in settings), "origin", url)
        words = f"--repo={repo}", "pull", "origin", "os/stable"
        if name == "ours":
            done = run_larix(*words)
            status, error = done.status, done.err
        else:
            theirs = run_c(*words, check=False)
            status, error = theirs.returncode, theirs.stderr
        said.append(error if status else "")
        if status:
            assert ostree(repo, "refs") == ""
        else:
            ostree(repo, "fsck")
    return said[0], said[1]


CLIENT = ["tls-client-cert-path={pki}/client.crt", "tls-client-key-path={pki}/client.key"]
OTHER = ["tls-client-cert-path={pki}/other.crt", "tls-client-key-path={pki}/other.key"]
BOTH = 'must specify both "tls-client-cert-path" and "tls-client-key-path"'
TRUSTED = "tls-ca-path={pki}/ca.crt"
# Whether the server wants a certificate of us, settings, and what is said, where it is refused.
TLS: dict[str, tuple[bool, list[str], str]] = {
    "system": (False, [], "certificate"),
    "ca": (False, [TRUSTED], ""),
    "another ca": (False, ["tls-ca-path={pki}/other.crt"], "certificate"),
    "no ca": (False, ["tls-ca-path={pki}/nothing.crt"], "tls-ca-path={pki}/nothing.crt: no such file"),
    "permissive": (False, ["tls-permissive=true"], ""),
    "not permissive": (False, ["tls-permissive=false"], "certificate"),
    "perhaps permissive": (False, ["tls-permissive=perhaps"], "tls-permissive must be true or false, not 'perhaps'"),
    "no client": (True, [TRUSTED], "HTTP 400"),
    "client": (True, [TRUSTED, *CLIENT], ""),
    "permissive client": (True, ["tls-permissive=true", *CLIENT], ""),
    "another client": (True, [TRUSTED, *OTHER], "HTTP 400"),
    "client without key": (True, [TRUSTED, CLIENT[0]], BOTH),
    "key without client": (True, [TRUSTED, CLIENT[1]], BOTH),
    "no key": (True, [TRUSTED, CLIENT[0], "tls-client-key-path={pki}/no.key"], "no.key: no such file"),
    "http 1": (False, [TRUSTED, "http2=false"], ""),
    "http perhaps": (False, [TRUSTED, "http2=perhaps"], "http2 must be true or false, not 'perhaps'"),
}


@pytest.mark.parametrize("name", TLS)
def test_tls(name: str, secured: tuple[str, str, Path], pki: Path, tmp_path: Path) -> None:
    wants_client, settings, said = TLS[name]
    url = secured[1] if wants_client else secured[0]
    ours, theirs = pull_both(tmp_path, url, *(one.format(pki=pki) for one in settings))
    assert bool(ours) == bool(theirs) == bool(said), (ours, theirs)
    assert said.format(pki=pki) in ours
    assert not ours or (ours.startswith("error: ") and ours.count("\n") == 1)


def test_http2_unless_the_settings_say_otherwise(secured: tuple[str, str, Path], pki: Path, tmp_path: Path) -> None:
    url, _, log = secured
    for settings, protocol in ([], "HTTP/2.0"), (["http2=false"], "HTTP/1.1"):
        start = len(log.read_text())
        assert pull_both(tmp_path, url, f"tls-ca-path={pki}/ca.crt", *settings)[0] == ""
        lines = [line for line in log.read_text()[start:].splitlines() if "larix" in line]
        assert lines and all(protocol in line for line in lines)


@as_root
def test_every_door_keeps_to_the_settings(
    secured: tuple[str, str, Path], pki: Path, tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API, fsck --repair, remote refs and summary, upgrade --check and upgrade."""
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    settings = [f"--set={one.format(pki=pki)}" for one in (TRUSTED, *CLIENT)]
    larix(repo, "remote", "add", "--no-gpg-verify", *settings, "origin", secured[1])
    larix(repo, "remote", "add", "--no-gpg-verify", "without", secured[1])
    with api.Repo(str(repo)) as opened:
        api.pull_remote(opened, "origin", ["os/stable"])
    next(repo.glob("objects/*/*.filez")).unlink()
    assert "certificate" in run_larix(f"--repo={repo}", "fsck", "--repair", "--remote=without").err
    larix(repo, "fsck", "--repair", "--remote=origin")
    ostree(repo, "fsck")
    root = Path(shutil.copytree(releases, tmp_path / "os"))
    ostree(root, "commit", "-b", "os/x", "--tree=ref=os/1")
    ostree(root, "summary", "-u")
    with nginx(root, tmp_path / "work", for_clients(pki), tls=True) as url:
        larix(repo, "remote", "add", "--no-gpg-verify", *settings, "os", url)
        assert "os/x" in larix(repo, "remote", "refs", "os")
        assert "os/x" in larix(repo, "remote", "summary", "os")
        client = (sysroot := by_c(tmp_path / "sysroot", root)) / "ostree/repo"
        larix(client, "remote", "add", "--force", "--no-gpg-verify", *settings, "origin", url)
        larix(client, "pull", "origin", "os/x")
        admin(sysroot, "deploy", "--os=test", "origin:os/x")
        ostree(root, "commit", "-b", "os/x", "--tree=ref=os/2")
        ostree(root, "summary", "-u")
        assert json.loads(admin(sysroot, "upgrade", "--os=test", "--check", "--json"))
        admin(sysroot, "upgrade", "--os=test")
        assert ostree(client, "rev-parse", "origin:os/x") == ostree(root, "rev-parse", "os/x")


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy(
    secure: bool, c_repos: dict[str, Path], secured: tuple[str, str, Path], pki: Path, tmp_path: Path
) -> None:
    with nginx(c_repos["archive"], tmp_path / "nginx") as plain, proxy(tmp_path / "proxy") as through:
        url = secured[0] if secure else plain
        settings = [f"tls-ca-path={pki}/ca.crt"] if secure else []
        assert pull_both(tmp_path, url, *settings, f"proxy={through}") == ("", "")
        log = (tmp_path / "proxy/log").read_text()
        port = url.rpartition(":")[2]
        assert (f"CONNECT 127.0.0.1:{port}" if secure else f"GET {plain}/summary") in log
        # Nothing goes past it.
        nowhere = f"proxy=http://127.0.0.1:{free_port()}"
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        larix(repo, "remote", "add", "--no-gpg-verify", f"--set={nowhere}", "origin", url)
        assert "error: Fetching" in fails(f"--repo={repo}", "pull", "--network-retries=0", "origin", "os/stable")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("unconfigured-state=Buy a subscription", "remote unconfigured-state: Buy a subscription"),
        ("custom-backend=own", "custom backend 'own'"),
    ],
)
def test_what_forbids_a_pull(setting: str, said: str, c_repos: dict[str, Path], tmp_path: Path) -> None:
    origin = mirror(c_repos["archive"], tmp_path / "origin")
    ostree(origin, "summary", "-u")
    with nginx(origin, tmp_path / "nginx") as url:
        ours, theirs = pull_both(tmp_path, url, setting)
        assert said in ours and said in theirs
        # What there is may be asked.
        repo = tmp_path / "ours"
        assert larix(repo, "remote", "refs", "origin") == ostree(repo, "remote", "refs", "origin") != ""
        ostree(repo, "pull-local", origin, "os/stable")
        next(repo.glob("objects/*/*.filez")).unlink()
        assert said in run_larix(f"--repo={repo}", "fsck", "--repair", "--remote=origin").err


def mirror(source: Path, path: Path, *, without: str = "") -> Path:
    shutil.copytree(source, path)
    if without:
        next(iter(sorted(path.glob(f"objects/*/*.{without}")))).unlink()
    return path


def test_lists_of_mirrors(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """One that cannot be reached, one that has not all, one that has the rest; for all, and for objects alone."""
    origin = c_repos["archive"]
    first = mirror(origin, tmp_path / "first", without="filez")
    second = mirror(origin, tmp_path / "second", without="dirtree")
    (tmp_path / "lists").mkdir()
    with (
        nginx(first, tmp_path / "n1") as one,
        nginx(second, tmp_path / "n2") as two,
        nginx(origin, tmp_path / "n3") as whole,
        nginx(tmp_path / "lists", tmp_path / "n4") as lists,
    ):
        nowhere = f"http://127.0.0.1:{free_port()}"
        (tmp_path / "lists/good").write_text(f"\n# a comment\n\n{nowhere}\n{one}/nothing\n\n{one}\n{two}/\n")
        for url, settings in (
            (f"mirrorlist={lists}/good", []),
            (whole, [f"contenturl=mirrorlist={lists}/good"]),
            (f"mirrorlist={lists}/good", [f"contenturl=mirrorlist={lists}/good"]),
        ):
            assert pull_both(tmp_path, url, *settings)[0] == ""
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        for name, text, said in (
            ("none", "# nothing\n", "lists no mirrors"),
            ("file", f"file://{origin}\n", "lists no mirrors"),
            ("missing", None, "no such file"),
        ):
            if text is not None:
                (tmp_path / "lists" / name).write_text(text)
            larix(repo, "remote", "add", "--no-gpg-verify", name, f"mirrorlist={lists}/{name}")
            assert said in fails(f"--repo={repo}", "pull", name, "os/stable")
        (tmp_path / "lists/half").write_text(f"{nowhere}\n{one}\n{one}\n")
        larix(repo, "remote", "add", "--no-gpg-verify", "half", f"mirrorlist={lists}/half")
        assert "is missing" in fails(f"--repo={repo}", "pull", "half", "os/stable")
        assert ostree(repo, "refs") == ""


def test_objects_from_elsewhere(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """contenturl has all objects; the other has what is small and changes."""
    small, large = (mirror(c_repos["archive"], tmp_path / name) for name in ("small", "large"))
    shutil.rmtree(small / "objects")
    shutil.rmtree(large / "refs")
    for name in "summary", "config":
        (large / name).unlink(missing_ok=True)
    with nginx(small, tmp_path / "n1") as url, nginx(large, tmp_path / "n2") as content:
        assert pull_both(tmp_path, url, f"contenturl={content}") == ("", "")


@pytest.mark.parametrize("mode", ["bare", "bare-user", "bare-user-only"])
def test_a_server_with_another_mode(mode: str, c_repos: dict[str, Path], tmp_path: Path) -> None:
    """Its refs can be listed, and its commits pulled; a file needs an owner and a mode, which no answer has."""
    if mode not in c_repos:
        pytest.skip("only root may give files to others")
    origin = tmp_path / "origin"
    ostree(origin, "init", f"--mode={mode}")
    ostree(origin, "pull-local", c_repos[mode], "os/stable")
    ostree(origin, "summary", "-u")
    commit = ostree(origin, "rev-parse", "os/stable")
    with nginx(origin, tmp_path / "nginx") as url:
        for tool in larix, ostree:
            repo = tmp_path / tool.__name__
            ostree(repo, "init", "--mode=archive")
            tool(repo, "remote", "add", "--no-gpg-verify", "origin", url)
            assert "os/stable" in tool(repo, "remote", "refs", "origin")
            tool(repo, "pull", "--commit-metadata-only", "origin", commit)
            assert tool(repo, "show", commit)
        said = fails(f"--repo={tmp_path / 'larix'}", "pull", "origin", commit)
        assert f"is a repo of mode {mode}" in said
        assert run_c(f"--repo={tmp_path / 'ostree'}", "pull", "origin", commit, check=False).returncode == 1


def packing(root: Path, what: str) -> Left:
    """A server that compresses files of a kind, which it is not asked to."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            path = root / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data, packs = path.read_bytes(), self.path.endswith(what)
            if packs:
                data = gzip.compress(data)
            self.send_response(200)
            if packs:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Left(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize("what", ["", "summary", "config", ".commit", ".dirtree", ".filez"])
def test_a_server_that_compresses_everything(what: str, c_repos: dict[str, Path], tmp_path: Path) -> None:
    origin = mirror(c_repos["archive"], tmp_path / "origin")
    ostree(origin, "summary", "-u")
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    with listening(packing(origin, what)) as url:
        larix(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        said = fails(f"--repo={repo}", "pull", "origin", "os/stable")
        assert "compressed with gzip, unasked" in said and url in said
    assert ostree(repo, "refs") == ""


def test_an_authority_may_be_unknown_a_name_not(c_repos: dict[str, Path], pki: Path, tmp_path: Path) -> None:
    """tls-permissive trusts a certificate of anybody, for the server that was asked."""
    named = "/CN=x", "-addext", "subjectAltName=DNS:other.example"
    openssl("req", *NEW, *named, "-keyout", pki / "x.key", "-out", pki / "x.crt")
    certificate = f"ssl_certificate {pki}/x.crt; ssl_certificate_key {pki}/x.key;"
    with nginx(c_repos["archive"], tmp_path / "nginx", certificate, tls=True) as url:
        ours, theirs = pull_both(tmp_path, url, "tls-permissive=true")
    assert ours and theirs


def breaking(root: Path, times: int) -> Left:
    """A server that closes the first connections on which objects are asked for, without an answer."""
    left = [times]

    class Handler(Quiet):
        def do_GET(self) -> None:
            path = root / self.path.lstrip("/")
            if "objects" in self.path and left[0]:
                left[0] -= 1
                self.close_connection = True
                return
            if not path.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            self.wfile.write(path.read_bytes())

    return Left(("127.0.0.1", 0), Handler)


def test_a_mirror_that_breaks_off_is_asked_again(c_repos: dict[str, Path], tmp_path: Path) -> None:
    """The other has the refs and no objects."""
    bare = mirror(c_repos["archive"], tmp_path / "bare")
    shutil.rmtree(bare / "objects")
    (tmp_path / "lists").mkdir()
    with (
        listening(breaking(c_repos["archive"], 3)) as one,
        nginx(bare, tmp_path / "n2") as two,
        nginx(tmp_path / "lists", tmp_path / "n3") as lists,
    ):
        (tmp_path / "lists/list").write_text(f"{one}\n{two}\n")
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        larix(repo, "remote", "add", "--no-gpg-verify", "origin", f"mirrorlist={lists}/list")
        larix(repo, "pull", "origin", "os/stable")
        ostree(repo, "fsck")


def test_a_list_of_many_mirrors(c_repos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    with nginx(c_repos["archive"], tmp_path / "n1") as one, nginx(tmp_path / "lists", tmp_path / "n2") as lists:
        (tmp_path / "lists/list").write_text("".join(f"{one}/{number}\n" for number in range(20_000)))
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        larix(repo, "remote", "add", "--no-gpg-verify", "origin", f"mirrorlist={lists}/list")
        assert "no such file" in fails(f"--repo={repo}", "pull", "origin", "os/stable")
        asked = (tmp_path / "n1/access.log").read_text().count(" /")
        assert asked <= 64 * 3
        (tmp_path / "lists/list").write_text("x" * (2 << 20))
        assert "longer than" in fails(f"--repo={repo}", "pull", "origin", "os/stable")


def test_a_list_by_tls_leads_to_tls(c_repos: dict[str, Path], pki: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    with (
        nginx(c_repos["archive"], tmp_path / "n1") as plain,
        nginx(tmp_path / "lists", tmp_path / "n2", with_certificate(pki), tls=True) as lists,
    ):
        (tmp_path / "lists/list").write_text(f"{plain}\n")
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        words = "--no-gpg-verify", f"--set=tls-ca-path={pki}/ca.crt", "origin", f"mirrorlist={lists}/list"
        larix(repo, "remote", "add", *words)
        assert "lists no mirrors that can be asked, by https" in fails(f"--repo={repo}", "pull", "origin", "os/stable")


def test_unusable_mirrors_are_passed_over(c_repos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    with nginx(c_repos["archive"], tmp_path / "n1") as one, nginx(tmp_path / "lists", tmp_path / "n2") as lists:
        bad = [
            "ftp://a/",
            "http://straße.test/",
            "http://127.0.0.1:99999/",
            "http://[::1",
            "http:///",
            "http://",
            "nonsense",
            "http://a\0b/",
        ]
        ostree(repo := tmp_path / "repo", "init", "--mode=archive")
        larix(repo, "remote", "add", "--no-gpg-verify", "origin", f"mirrorlist={lists}/list")
        (tmp_path / "lists/list").write_text("\n".join([*bad, one]))
        larix(repo, "pull", "origin", "os/stable")
        (tmp_path / "lists/list").write_text("\n".join(bad))
        assert "lists no mirrors" in fails(f"--repo={repo}", "pull", "origin", "os/stable")
        (tmp_path / "lists/list").write_bytes(b"http://\xff/\n")
        assert "not UTF-8" in fails(f"--repo={repo}", "pull", "origin", "os/stable")


def test_addresses_that_are_not_ascii(c_repos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    shutil.copytree(c_repos["archive"], tmp_path / "www/répo €")
    with nginx(tmp_path / "www", tmp_path / "n1") as url:
        for name, place, more in (
            ("plain", f"{url}/répo €", []),
            ("capitals", f"{url}/répo €".replace("http", "HTTP", 1), []),
            ("header", f"{url}/répo €", ["--http-header=X=é", "--http-header=é=1", "--append-user-agent=é"]),
        ):
            ostree(repo := tmp_path / name, "init", "--mode=archive")
            larix(repo, "remote", "add", "--no-gpg-verify", "origin", place)
            larix(repo, "pull", *more, "origin", "os/stable")
        for setting in "url=http://hé.invalid/", "proxy=http://é.invalid:1", "contenturl=http://é.invalid/":
            larix(repo, "remote", "add", "--force", "--no-gpg-verify", "other", url, f"--set={setting}")
            assert "error: " in fails(f"--repo={repo}", "pull", "--network-retries=0", "other", "os/stable")


def test_a_directory_on_this_machine(c_repos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = c_repos["archive"]
    (tmp_path / "src-\udce4 %").symlink_to(there)
    urls = f"file://localhost{there}", f"FILE://{there}", f"file:{there}", f"file://{tmp_path}/src-%E4%20%25"
    for number, url in enumerate(urls):
        ostree(repo := tmp_path / str(number), "init", "--mode=archive")
        larix(repo, "remote", "add", "--no-gpg-verify", "origin", url)
        larix(repo, "pull", "origin", "os/stable")
    monkeypatch.chdir(there.parent)
    for url in "file:///x%00y", f"file://{there.name}", f"file://{there.name}/", f"file:{there.name}":
        larix(repo, "remote", "add", "--force", "--no-gpg-verify", "origin", url)
        assert "error: Remote origin: " in fails(f"--repo={repo}", "pull", "origin", "os/stable")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host/é?q=1", "http://host/%C3%A9?q=1"),
        ("http://пример.рф:8080/r", "http://xn--e1afmkfd.xn--p1ai:8080/r"),
        ("http://müller:8080/", "http://xn--mller-kva:8080/"),
        ("http://user:pässword@host.example/", "http://user:p%C3%A4ssword@host.example/"),
        ("http://host/%20 ", "http://host/%20 "),
        ("http://ü.example:80x/?#", "http://xn--tda.example:80x/?#"),
        ("http://Ü.Example/é", "http://xn--tda.example/%C3%A9"),
        ("http://[ü/", "http://[%C3%BC/"),
        ("ü", "xn--tda"),
    ],
)
def test_names_of_the_web(url: str, expected: str) -> None:
    assert in_ascii(url) == expected


@pytest.mark.parametrize("host", ["straße.test", "h\u2024x", "x。y", "exa℀mple.com", "ü..example", "x" + "ü" * 90])
def test_hosts_that_may_be_taken_for_another(host: str, tmp_path: Path) -> None:
    """Today's rules and those of 2003 make different names of them, of which anybody may own one."""
    with pytest.raises(Invalid, match="has no sure name in the DNS"):
        in_ascii(f"http://{host}/repo")
    ostree(repo := tmp_path / "repo", "init", "--mode=archive")
    larix(repo, "remote", "add", "--no-gpg-verify", "origin", f"http://{host}/é")
    assert "has no sure name" in fails(f"--repo={repo}", "pull", "origin", "main")
    assert "has no sure name" in fails(f"--repo={repo}", "remote", "refs", "origin")


def test_who_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that takes no connection: what another has, or has not, is not waited for again and again."""
    monkeypatch.setattr(larix_http, "CONNECT_SECONDS", 1)
    with ExitStack() as opened:
        silent = opened.enter_context(swallowing())
        asked: list[str] = []
        here = opened.enter_context(answering([404], asked))
        there = opened.enter_context(answering([404], asked))
        http = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=2))
        opened.callback(http.close)
        assert http.get("one", 100, [silent, here, there]) is None
        assert asked == [here, there]
        # Now it comes last, and only where all others are at a loss.
        assert http.get("two", 100, [silent, here]) is None
        assert asked == [here, there, here]
        with pytest.raises(FetchFailed, match="tried 3 times"):
            http.get("three", 100, [silent])
        # A worker that begins later asks the others first.
        full = opened.enter_context(answering([200], asked))
        other = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=0), like=http)
        opened.callback(other.close)
        monkeypatch.setattr(larix_http, "CONNECT_SECONDS", 1000)
        assert other.get("four", 100, [silent, full]) == b"ok"


def test_a_proxy_that_refuses_a_way_through() -> None:
    class Handler(Quiet):
        def do_CONNECT(self) -> None:
            self.send_error(407)

    with listening(Left(("127.0.0.1", 0), Handler)) as url:
        http = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=0, proxy=url))
        with pytest.raises(FetchFailed, match="the proxy answered HTTP 407"):
            http.get("https://127.0.0.1:9/file", 100)
        http.close()


def test_a_place_that_comes_back() -> None:
    """One that refuses is asked all the same: that costs nothing, and it may have what the other has not."""
    with ExitStack() as opened:
        port = free_port()
        late = f"http://127.0.0.1:{port}/"
        other = opened.enter_context(answering([404]))
        http = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=2))
        opened.callback(http.close)
        assert http.get("one", 100, [late, other]) is None
        opened.enter_context(answering([200], port=port))
        assert http.get("two", 100, [late, other]) == b"ok"


@contextmanager
def swallowing() -> Iterator[str]:
    """A port where nobody accepts: connections beyond those that wait already are not even refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_each_answer_of_each_mirror(tmp_path: Path) -> None:
    """Answers of three places, one after the other for each, and what becomes of it."""
    cases: list[tuple[list[list[int | str]], object]] = [
        ([[200], [404], [404]], b"ok"),
        ([[404], [200], [404]], b"ok"),
        ([[404], [404], [404]], None),
        ([[503, 200], [404], [404]], b"ok"),
        ([[404], [404], [503, 200]], b"ok"),
        ([[503, 200], [404], ["long"]], b"ok"),
        ([["long"], [404], [503, 200]], b"ok"),
        ([[404], ["long"], [404]], None),
        ([["cut", 200], [404], [404]], b"ok"),
        ([["cut", 200], ["nobody"], [404]], b"ok"),
        ([["nobody"], [404], ["nobody"]], None),
        ([["long"], ["long"], ["long"]], FetchFailed),
        ([[401], [503, 503, 503], ["nobody"]], FetchFailed),
    ]
    for answers, expected in cases:
        with ExitStack() as opened:
            places = [opened.enter_context(answering(list(each))) for each in answers]
            http = Http(Spill(lambda: -1, lambda size: None), HttpOptions(retries=2))
            opened.callback(http.close)
            if expected is FetchFailed:
                with pytest.raises(FetchFailed):
                    http.get("file", 100, places)
            else:
                assert http.get("file", 100, places) == expected, answers


@contextmanager
def answering(answers: list[int | str], asked: list[str] | None = None, port: int = 0) -> Iterator[str]:
    if answers == ["nobody"]:
        yield f"http://127.0.0.1:{free_port()}/"
        return

    class Handler(Quiet):
        def do_GET(self) -> None:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if asked is not None:
                asked.append(f"http://{self.headers['Host']}/")
            if answer == "cut":
                self.close_connection = True
                return
            if isinstance(answer, int) and answer != 200:
                self.send_error(answer)
                return
            data = b"ok" if answer == 200 else b"x" * 200
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with listening(Left(("127.0.0.1", port), Handler)) as url:
        yield f"{url}/"
