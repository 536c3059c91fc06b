"""Copies of trees that belong to a machine, and share nothing with the repo: /etc, and the first /var."""

import os
import stat

from larix.linux import reading, writing
from larix.ops.tree.walk import Descent, descend


def copy_tree(source_fd: int, target_fd: int) -> None:
    """Fill an open, empty directory with copies of what is in another, and give it its owner, mode and times."""
    descend(_copy_directory(source_fd, target_fd, ""))


def _copy_directory(source_fd: int, target_fd: int, below: str) -> Descent[None]:
    directories = []
    with (
        reading.closing(reading.open_below(source_fd, below)) as source,
        reading.closing(reading.open_below(target_fd, below)) as target,
    ):
        for name in sorted(os.listdir(source)):
            if is_directory(name, source):
                writing.make_directory(name, target, 0o700)
                directories.append(f"{below}/{name}" if below else name)
            else:
                writing.copy(name, source, name, target, temporary=unused_name())
    for path in directories:
        yield path, _copy_directory(source_fd, target_fd, path)
    with (
        reading.closing(reading.open_below(source_fd, below)) as source,
        reading.closing(reading.open_below(target_fd, below)) as target,
    ):
        writing.copy_metadata(source, target)


def is_directory(name: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def unused_name() -> str:
    """Return a name that no directory has: one may have any, and none of it is to be lost."""
    return f".{os.urandom(12).hex()}"
