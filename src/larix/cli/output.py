"""How values are printed where several commands print them."""

import hashlib
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from larix.errors import Corrupt, printable
from larix.formats import checksum as checksums
from larix.formats.checksum import Checksum
from larix.formats.objects import COMMIT_TYPE, Commit, decode_commit
from larix.gvariant import decode
from larix.gvariant.text import byteswapped, to_text
from larix.repo.repo import Repo


def tell_passed_over(repo: Repo) -> Callable[[Corrupt], None]:
    """Say what lies among the refs and is none; what is returned says which of them could not be read, each once."""
    for path in repo.refs.strays():
        delete = f"larix refs --delete {shlex.quote(path)}"
        _note(f"{repo.path}/{path} cannot be a ref, and is passed over; `{delete}` removes it")
    told: set[str] = set()

    def tell(error: Corrupt) -> None:
        if str(error) not in told:
            told.add(str(error))
            _note(f"{error}; it is passed over")

    return tell


def _note(text: str) -> None:
    print(f"Note: {printable(text)}", file=sys.stderr)


def print_commit(checksum: Checksum, data: bytes, *, raw: bool = False, swap: bool = True) -> Commit:
    """Print one commit as `log` and `show` print it, or its GVariant when `raw`."""
    commit = decode_commit(data)
    print(f"commit {checksum}")
    if raw:
        print_variant(COMMIT_TYPE, data, swap=swap)
        return commit
    if commit.parent:
        print(f"Parent:  {commit.parent}")
    tree = checksums.to_bytes(commit.dirtree) + checksums.to_bytes(commit.dirmeta)
    print(f"ContentChecksum:  {hashlib.sha256(tree).hexdigest()}")
    print(f"Date:  {date(commit.timestamp)}")
    if (version := commit.metadata.find_string("version")) is not None:
        print(f"Version: {version}")
    print(f"\n{indented(commit.subject)}\n" if commit.subject else "(no subject)\n")
    if commit.body:
        print(f"{indented(commit.body)}\n")
    return commit


def print_variant(type_string: str, data: bytes, *, swap: bool = True) -> None:
    """`swap` shows numbers as they are meant in objects, which hold them big-endian."""
    value = decode(type_string, data)
    print(to_text(type_string, byteswapped(type_string, value) if swap else value))


def date(timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S +0000")
    except (ValueError, OverflowError, OSError):
        return f"@{timestamp}"


def size(count: int) -> str:
    """Return a number of bytes in decimal units, rounded."""
    if count < 1000:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {'kMGT'[power - 1]}B"


def indented(text: str) -> str:
    """Print the lines of a text, indented; a line end at its end begins none."""
    return "\n".join(f"    {line}" for line in text.removesuffix("\n").split("\n"))


def write_bytes(data: bytes | bytearray) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
