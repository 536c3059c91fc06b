"""What every source of a pull does, over a network or not, and whatever stands in front of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import larix
from larix.formats.objects import ObjectName, ObjectType
from larix.remote.cached_source import CachedSource
from larix.remote.open import open_source
from larix.remote.repo_source import RepoSource
from larix.remote.source import InFront, Source
from tests.fakes import FakeSource
from tests.judge import ostree
from tests.servers import nginx

MISSING = larix.Checksum("0" * 64)


def over_http(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    url = opened.enter_context(nginx(origin, tmp_path / "nginx"))
    repo = opened.enter_context(larix.Repo.init(str(tmp_path / "client"), "archive"))
    return open_source(repo, larix.Remote("origin", {"url": url, "gpg-verify": "false"}))


def of_an_archive(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    return RepoSource(str(origin))


def of_files(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    ostree(repo := tmp_path / "repo", "init", "--mode=bare-user")
    ostree(repo, "pull-local", "--depth=-1", origin)
    ostree(repo, "summary", "-u")
    return RepoSource(str(repo), trusted=False)


def with_a_cache(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    """Which has one of the branches."""
    ostree(cache := tmp_path / "cache", "init", "--mode=archive")
    ostree(cache, "pull-local", origin, "other")
    return CachedSource(over_http(origin, tmp_path, opened), [RepoSource(str(cache), trusted=False)])


def behind_another(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    return InFront(RepoSource(str(origin)))


def fake(origin: Path, tmp_path: Path, opened: ExitStack) -> Source:
    return FakeSource(origin)


MAKERS = [over_http, of_an_archive, of_files, with_a_cache, behind_another, fake]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest, origin: Path, tmp_path: Path) -> Iterator[Source]:
    make: Callable[[Path, Path, ExitStack], Source] = request.param
    with ExitStack() as opened:
        yield opened.enter_context(closing(make(origin, tmp_path, opened)))


def test_refs(source: Source, origin: Path) -> None:
    expected = {ref: ostree(origin, "rev-parse", ref) for ref in ("os/stable", "other")}
    assert source.refs() == expected
    assert {ref: source.find_ref(ref) for ref in expected} == expected
    with pytest.raises(larix.NotFound):
        source.find_ref("none")
    assert source.mirrors() == {}
    assert source.collection is None
    assert source.summary() is not None


def test_metadata(source: Source, origin: Path) -> None:
    """All that was asked for comes, once, in any order; also what is asked for meanwhile."""
    commits = [larix.Checksum(ostree(origin, "rev-parse", ref)) for ref in ("os/stable", "other")]
    names = [ObjectName(commit, ObjectType.COMMIT) for commit in commits]
    missing = [ObjectName(MISSING, ObjectType.DIR_TREE), ObjectName(commits[0], ObjectType.COMMIT_META)]
    for name in *names, *missing:
        source.request(name)
    found = {}
    with larix.Repo(str(origin)) as repo:
        tops = [ObjectName(repo.load_commit(commit).dirtree, ObjectType.DIR_TREE) for commit in commits]
        for name, data in source.arrivals():
            assert name not in found
            found[name] = data
            if name in names:
                source.request(tops[names.index(name)])
        assert found == {**{name: repo.load(name) for name in (*names, *tops)}, **dict.fromkeys(missing)}
    assert list(source.arrivals()) == []
    assert str(MISSING)[:2] in source.locate(missing[0])


def test_files(source: Source, origin: Path, tmp_path: Path) -> None:
    with larix.Repo(str(origin)) as repo, larix.Repo.init(str(tmp_path / "target"), "bare-user") as target:
        files = [name.checksum for name in repo.objects(ObjectType.FILE)]
        sizes = {size.checksum: size for size in source.measure(files)}
        assert sizes.keys() == {*files}
        assert all(sizes[file].unpacked == repo.look_at_file(file)[1] for file in files)
        with larix.Transaction(target) as transaction:
            pulled = source.bring(files, transaction)
            assert pulled.content == len(files)
            transaction.commit()
        assert {name.checksum for name in target.objects(ObjectType.FILE)} == {*files}
        assert list(larix.check_all(target)) == []
        for ask in (lambda: source.measure([MISSING]), lambda: source.bring([MISSING], larix.Transaction(target))):
            with pytest.raises(larix.NotFound):
                ask()


def test_a_pull(source: Source, origin: Path, tmp_path: Path) -> None:
    with larix.Repo.init(str(tmp_path / "target"), "archive") as target:
        pulled = larix.pull(
            target, source, dict.fromkeys(["os/stable", "other"]), "origin", larix.PullOptions(depth=-1)
        )
        assert pulled.over_network == source.remote
        assert list(larix.check_all(target)) == []
    assert ostree(tmp_path / "target", "fsck")
    assert ostree(tmp_path / "target", "log", "origin:os/stable").count("\ncommit ") == 2
