"""A stored tree laid over another with changes: of owners, modes and attributes, and with paths left out.

Objects whose header stays as it was are taken as they are; the others are read, and added anew by workers.
"""

from dataclasses import dataclass

from larix.errors import Invalid
from larix.formats.checksum import Checksum
from larix.linux.workers import start_workers
from larix.ops.tree.directory import Directory, Stored, open_stored
from larix.ops.tree.modify import Modification
from larix.ops.tree.walk import Descent, descend
from larix.repo.incoming import Handed
from larix.repo.transaction import Transaction

# Files that one worker is given at once.
BATCH = 128


def lay_changed(transaction: Transaction, under: Directory, over: Stored, modification: Modification) -> None:
    """Lay a stored tree over another, changed by a modification. Raises Error."""
    _Reworker(transaction, modification).run(under, over)


@dataclass(frozen=True, slots=True)
class _FilesOfTree:
    """Files of one directory, which is given by its number and its path below the top."""

    number: int
    below: str
    files: list[tuple[str, Checksum]]


@dataclass(frozen=True, slots=True)
class _FilesChanged:
    number: int
    files: list[tuple[str, Checksum]]
    # Those that are objects already.
    unchanged: int
    new: Handed


class _Reworker:
    def __init__(self, transaction: Transaction, modification: Modification) -> None:
        self._transaction = transaction
        self._repo = transaction.repo
        self._modification = modification
        self._workers = start_workers(self._add, self._take, threads=self._repo.options.threads)
        self._directories: list[Directory] = []

    def run(self, under: Directory, over: Stored) -> None:
        if self._modification.skips("/"):
            raise Invalid("Can't commit an empty tree: a list leaves out its top directory")
        with self._workers:
            descend(self._lay(under, over, ""))

    def _lay(self, under: Directory, over: Stored, below: str) -> Descent[None]:
        found = open_stored(self._repo, over)
        assert found.meta is not None
        under.meta = self._modification.directory(f"/{below}", found.meta)
        number = len(self._directories)
        self._directories.append(under)
        inside = f"{below}/" if below else ""
        files = [entry for entry in found.files.items() if not self._modification.skips(f"/{inside}{entry[0]}")]
        for i in range(0, len(files), BATCH):
            self._workers.submit(_FilesOfTree(number, below, files[i : i + BATCH]))
        for name, stored in found.dirs.items():
            assert isinstance(stored, Stored)
            if not self._modification.skips(f"/{inside}{name}"):
                yield f"/{inside}{name}", self._lay(under.enter(name), stored, f"{inside}{name}")

    def _add(self, batch: _FilesOfTree) -> _FilesChanged:
        """Change and add files, in a worker."""
        inside = f"/{batch.below}/" if batch.below else "/"
        changed = [(name, self._change(inside + name, checksum)) for name, checksum in batch.files]
        unchanged = sum(before == after for before, after in zip(batch.files, changed, strict=True))
        return _FilesChanged(batch.number, changed, unchanged, self._transaction.hand_over())

    def _change(self, path: str, checksum: Checksum) -> Checksum:
        with self._repo.open_file(checksum) as stored:
            header = self._modification.file(path, stored.header)
            if header == stored.header:
                return checksum
            return self._transaction.add_file(header, stored.size, stored.content)

    def _take(self, added: _FilesChanged) -> None:
        self._transaction.take_over(added.new, added.unchanged)
        for name, checksum in added.files:
            self._directories[added.number].put_file(name, checksum)
