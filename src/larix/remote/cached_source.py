"""A source of which some objects are near: in repos of this machine, which are asked first."""

from collections.abc import Iterator, Sequence

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName, ObjectType
from larix.formats.sizes import Size
from larix.remote.repo_source import RepoSource
from larix.remote.source import InFront, Pulled, Source
from larix.repo.transaction import Transaction


class CachedSource(InFront):
    """Refs, summary and detached metadata are those of `source`; any other object may come out of a cache."""

    def __init__(self, source: Source, caches: Sequence[RepoSource]) -> None:
        """Closes them all."""
        super().__init__(source)
        self._caches = caches
        self._arrived_from: dict[ObjectName, RepoSource] = {}
        self._near = 0

    @property
    def near(self) -> int:
        return self._near

    def close(self) -> None:
        for source in self._source, *self._caches:
            source.close()

    def _cache(self, name: ObjectName) -> RepoSource | None:
        return next((cache for cache in self._caches if cache.has(name)), None)

    def request(self, name: ObjectName) -> None:
        cache = self._cache(name) if name.type != ObjectType.COMMIT_META else None
        if cache is None:
            self._source.request(name)
        else:
            cache.request(name)

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        yield from self._arrivals_from_caches()
        for arrived in self._source.arrivals():
            yield arrived
            yield from self._arrivals_from_caches()

    def _arrivals_from_caches(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        found = True
        while found:
            found = False
            for cache in self._caches:
                for name, data in cache.arrivals():
                    found = True
                    self._near += 1
                    self._arrived_from[name] = cache
                    yield name, data

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        source = self._arrived_from.pop(name, self._source)
        return source.link(name, transaction)

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        """Measure; what is near costs nothing on its way."""
        far, near = [], []
        for checksum in checksums:
            if cache := self._cache(ObjectName(checksum, ObjectType.FILE)):
                near += [size._replace(packed=0) for size in cache.measure([checksum])]
            else:
                far.append(checksum)
        return self._source.measure(far) + near

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        pulled = Pulled()
        wanted: dict[Source, list[Checksum]] = {}
        for checksum in checksums:
            cache = self._cache(ObjectName(checksum, ObjectType.FILE))
            wanted.setdefault(cache or self._source, []).append(checksum)
        for source, some in wanted.items():
            brought = source.bring(some, transaction)
            if source is not self._source:
                brought.content_near = brought.content
            pulled.add(brought)
        return pulled
