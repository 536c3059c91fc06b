"""Reading the /etc of trees, and carrying out what was planned for a new one.

The new /etc begins as a copy of its own defaults. The old one is only read.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import Piece
from larix.linux import reading, trees, writing, xattr
from larix.linux.failures import doing
from larix.ops.checkout.placing import user_mode
from larix.ops.diff import Changes
from larix.ops.tree.walk import Descent, Entry, descend, find_path, find_root, walk
from larix.repo.repo import Repo
from larix.sysroot.copying import is_directory, unused_name
from larix.sysroot.deployment import Deployment
from larix.sysroot.etcplan import EtcPlan, Item, Items, compare, plan_merge
from larix.sysroot.sysroot import Sysroot

# Where a commit has them; those at etc are moved to usr/etc when it is deployed.
DEFAULTS = "usr/etc", "etc"
LABEL = b"security.selinux"


def find_changes(sysroot: Sysroot, deployment: Deployment) -> Changes:
    """Return what makes the /etc of a deployment another than its tree's."""
    return compare(*(_read_of(sysroot, deployment, name) for name in ("usr/etc", "etc")))


def plan_commit(sysroot: Sysroot, source: Deployment, commit: Checksum) -> EtcPlan:
    """Return what becomes of the /etc of a deployment in one of the commit. Raises Invalid for a commit without
    /usr/etc."""
    old, etc = (_read_of(sysroot, source, name) for name in ("usr/etc", "etc"))
    return plan_merge(old, etc, read_defaults(sysroot.repo, commit))


def find_made_from(sysroot: Sysroot, deployment: Deployment) -> Deployment | None:
    """Find whose /etc that of a deployment which is still to boot was made from, as far as the disk tells.

    That is the booted one, where the deployment comes before it and is younger; where none is booted the youngest but
    one, for the youngest of its stateroot. The order in the list alone says nothing: a rollback changes it.
    """
    kin = [one for one in sysroot.deployments if one.stateroot == deployment.stateroot]
    made = {one: time for one in kin if (time := _time_made(sysroot, one)) is not None}
    if deployment not in made:
        return None
    older = [one for one in made if made[one] < made[deployment]]
    booted = sysroot.booted
    if booted is not None:
        order = sysroot.deployments
        return booted if booted in older and order.index(deployment) < order.index(booted) else None
    if max(made.values()) > made[deployment]:
        return None
    return max(older, key=lambda one: made[one], default=None)


def _time_made(sysroot: Sysroot, deployment: Deployment) -> int | None:
    """Return when a tree was made, in nanoseconds; None where it is gone. Modification times in a tree are those of its
    commit, and /usr is never changed afterwards."""
    try:
        with doing(f"Looking at {deployment.name}"):
            return os.stat(f"{deployment.path}/usr", dir_fd=sysroot.fd).st_ctime_ns
    except NotFound:
        return None


def plan_deployment(sysroot: Sysroot, source: Deployment, target: Deployment) -> EtcPlan:
    """Return what became of the /etc of `source` when `target` was made, if nobody changed either since."""
    trees = (source, "usr/etc"), (source, "etc"), (target, "usr/etc")
    return plan_merge(*(_read_of(sysroot, deployment, name) for deployment, name in trees))


def _read_of(sysroot: Sysroot, deployment: Deployment, name: str) -> Items:
    with (
        doing(f"Reading /{name} of {deployment.name}"),
        reading.closing(reading.open_directory(f"{deployment.path}/{name}", sysroot.fd, follow=False)) as fd,
    ):
        return read_tree(fd)


def read_tree(fd: int) -> Items:
    """Read all below an open directory, which is an etc or a usr/etc."""
    found: dict[str, Item] = {}
    descend(_read_directory(fd, "", found))
    return found


def _read_directory(top_fd: int, below: str, found: dict[str, Item]) -> Descent[None]:
    directories = []
    # What went meanwhile is not there: /etc is in use.
    with suppress(FileNotFoundError), reading.closing(reading.open_below(top_fd, below)) as fd:
        for name in sorted(os.listdir(fd)):
            path = f"{below}/{name}" if below else name
            with suppress(FileNotFoundError):
                item = found[path] = _read_item(name, fd)
                if item.is_directory:
                    directories.append(path)
    for path in directories:
        yield path, _read_directory(top_fd, path, found)


def _read_item(name: str, dir_fd: int) -> Item:
    about = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    owner = about.st_mode, about.st_uid, about.st_gid
    if stat.S_ISLNK(about.st_mode):
        pairs = _without_label(xattr.get_all_of_link(name, dir_fd))
        return Item(*owner, pairs, os.fsencode(os.readlink(name, dir_fd=dir_fd)))
    if stat.S_ISDIR(about.st_mode):
        with reading.closing(reading.open_directory(name, dir_fd, follow=False)) as fd:
            return Item(*owner, _without_label(xattr.get_all(fd)))
    if stat.S_ISREG(about.st_mode):
        with reading.closing(os.open(name, reading.READ, dir_fd=dir_fd)) as fd:
            content = _digest(reading.pieces(fd))
            return Item(*owner, _without_label(xattr.get_all(fd)), content)
    return Item(*owner)


def read_defaults(repo: Repo, commit: Checksum) -> Items:
    """Return the defaults that a commit brings, as they are when this user deploys it."""
    top = _find_defaults(repo, commit)
    below = (entry for entry in walk(repo, top) if entry != top)
    return {entry.path.removeprefix(f"{top.path}/"): _read_entry(repo, entry) for entry in below}


def _find_defaults(repo: Repo, commit: Checksum) -> Entry:
    root = find_root(repo, commit)
    for name in DEFAULTS:
        try:
            found = find_path(repo, root, name)
        except NotFound:
            continue
        if found.dirmeta is not None:
            return found
    raise Invalid(f"{commit} has no /usr/etc, which holds the defaults of /etc")


def _read_entry(repo: Repo, entry: Entry) -> Item:
    is_root = os.geteuid() == 0
    if entry.dirmeta is not None:
        meta = repo.load_dirmeta(entry.dirmeta)
        mode, owner, pairs, content = meta.mode, (meta.uid, meta.gid), meta.xattrs, b""
    else:
        with repo.open_file(entry.checksum) as stored:
            header = stored.header
            mode, owner, pairs = header.mode, (header.uid, header.gid), header.xattrs
            content = header.target.encode() if header.is_symlink else _digest(stored.content)
            if not is_root and not header.is_symlink:
                mode = user_mode(mode)
    if not is_root:
        owner, pairs = (os.geteuid(), os.getegid()), ()
    return Item(mode, *owner, _without_label(pairs), content)


def _without_label(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(sorted(pair for pair in pairs if pair[0] != LABEL))


def _digest(content: Iterable[Piece]) -> bytes:
    found = hashlib.sha256()
    for piece in content:
        found.update(piece)
    return found.digest()


def merge(plan: EtcPlan, etc_fd: int, target_fd: int) -> None:
    """Carry out a plan on a copy of the new defaults. What vanished from /etc since is left out.

    A directory of either may belong to someone who puts a symlink in its place: none is followed.
    """
    for path in plan.removals:
        above, _, name = path.rpartition("/")
        with reading.closing(reading.open_below(target_fd, above)) as fd:
            trees.remove_tree(name, fd)
    gone: set[str] = set()
    for path, old_path in plan.placed.items():
        above, _, name = path.rpartition("/")
        if above in gone:
            gone.add(path)
            continue
        with reading.closing(reading.open_below(target_fd, above)) as target:
            try:
                _copy(old_path, etc_fd, name, target)
            except FileNotFoundError:
                gone.add(path)


def _copy(old_path: str, etc_fd: int, name: str, target: int) -> None:
    """Raises FileNotFoundError where it is not there any more."""
    above, _, old_name = old_path.rpartition("/")
    with reading.closing(reading.open_below(etc_fd, above)) as source:
        if is_directory(old_name, source):
            writing.make_directory(name, target, 0o700)
            _copy_directory_metadata(old_name, source, name, target)
        else:
            writing.copy(old_name, source, name, target, temporary=unused_name())


def _copy_directory_metadata(source_name: str, source_fd: int, name: str, target_fd: int) -> None:
    with (
        reading.closing(reading.open_directory(source_name, source_fd, follow=False)) as source,
        reading.closing(reading.open_directory(name, target_fd, follow=False)) as target,
    ):
        writing.copy_metadata(source, target)
