"""A commit, or a part of one, becomes a directory.

Files are hard links into the repo where its layout allows it, else copies. A directory gets its owner, mode and times
when all in it is written, so that a read-only one can be filled. In user mode everything belongs to whoever runs
larix, without set-uid bits and extended attributes.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from larix.errors import Error, Invalid
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.objects import DirMeta, ObjectName, ObjectType
from larix.linux import files, xattr
from larix.ops.walk import MAX_DEPTH, Entry, find_path, find_root
from larix.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class CheckoutOptions:
    """`copy`: never link. `require_links`: rather fail than copy."""

    user_mode: bool = False
    copy: bool = False
    require_links: bool = False
    subpath: str = "/"


def checkout(repo: Repo, commit: Checksum, destination: Path, options: CheckoutOptions | None = None) -> None:
    """Make `destination`, which must not exist, and fill it. A `subpath` that is a file is put into it."""
    options = options or CheckoutOptions()
    entry = find_path(repo, find_root(repo, commit), options.subpath)
    with files.doing(f"Checking out to {destination}"):
        parent_fd = files.open_directory(str(destination.parent))
        try:
            if entry.dirmeta is not None:
                _directory(repo, entry, destination.name, parent_fd, options, 0)
                return
            files.make_directory(destination.name, parent_fd, 0o700)
            fd = files.open_directory(destination.name, parent_fd, follow=False)
            try:
                _file(repo, entry.checksum, entry.name, fd, options)
            finally:
                os.close(fd)
        finally:
            os.close(parent_fd)


def _directory(repo: Repo, entry: Entry, name: str, dir_fd: int, options: CheckoutOptions, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid(f"{entry.path[:80]}…: nested more than {MAX_DEPTH} directories")
    assert entry.dirmeta is not None
    meta = repo.load_dirmeta(entry.dirmeta)
    tree = repo.load_dirtree(entry.checksum)
    # Nobody else looks in before owner and mode are right.
    if not files.make_directory(name, dir_fd, 0o700):
        raise FileExistsError(errno.EEXIST, "File exists", name)
    fd = files.open_directory(name, dir_fd, follow=False)
    try:
        for file, checksum in tree.files.items():
            _file(repo, checksum, file, fd, options)
        for sub, (dirtree, dirmeta) in tree.dirs.items():
            _directory(repo, Entry(f"{entry.path.rstrip('/')}/{sub}", dirtree, dirmeta), sub, fd, options, depth + 1)
        _set_directory(fd, meta, options)
    finally:
        os.close(fd)


def _set_directory(fd: int, meta: DirMeta, options: CheckoutOptions) -> None:
    if not options.user_mode:
        files.set_owner(fd, meta.uid, meta.gid)
        for key, value in meta.xattrs:
            xattr.set_on(fd, key, value)
    files.set_mode(fd, stat.S_IMODE(meta.mode))
    files.set_mtime(fd, 0)


def _file(repo: Repo, checksum: Checksum, name: str, dir_fd: int, options: CheckoutOptions) -> None:
    with repo.open_file(checksum) as stored:
        header = stored.header
        # An empty file costs nothing to copy, and its object would soon have as many links as there can be.
        worth = header.is_symlink or stored.size > 0
        if not options.copy and worth and repo.layout.links(header, user_mode=options.user_mode):
            path = repo.object_path(ObjectName(checksum, ObjectType.FILE))
            try:
                files.link(path, repo.objects_fd, name, dir_fd)
                return
            except OSError as error:
                # Another file system, or an object with as many links as there can be.
                if error.errno not in (errno.EXDEV, errno.EMLINK) or options.require_links:
                    raise
        elif options.require_links and stored.size:
            mode = "user mode" if options.user_mode else "this mode of checkout"
            raise Error(f"A repo of mode {repo.layout.mode} cannot hard link in {mode}")
        if header.is_symlink:
            _symlink(header, name, dir_fd, options)
            return
        fd = files.create(name, dir_fd)
        try:
            for piece in stored.content:
                files.write_all(fd, piece)
            _set_file(fd, header, options)
        finally:
            os.close(fd)


def _symlink(header: FileHeader, name: str, dir_fd: int, options: CheckoutOptions) -> None:
    files.symlink(header.target, name, dir_fd)
    if not options.user_mode:
        files.set_link_owner(name, dir_fd, header.uid, header.gid)
        for key, value in header.xattrs:
            xattr.set_on_link(name, dir_fd, key, value)


def _set_file(fd: int, header: FileHeader, options: CheckoutOptions) -> None:
    if options.user_mode:
        files.set_mode(fd, stat.S_IMODE(header.mode) & ~(stat.S_ISUID | stat.S_ISGID))
        return
    # The owner first: to change it takes the set-uid bit and the capabilities away.
    files.set_owner(fd, header.uid, header.gid)
    for key, value in header.xattrs:
        xattr.set_on(fd, key, value)
    files.set_mode(fd, stat.S_IMODE(header.mode))
