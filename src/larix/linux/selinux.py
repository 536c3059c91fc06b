"""SELinux labels by the policy of a tree. libselinux finds them: the only place that knows its binding for Python.

Distributions have that as a package, for their own Python; in a virtual environment it is looked for where they put it.
"""

import os
import stat
import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from typing import Any

from larix.errors import Invalid, Unsupported
from larix.linux import reading

LABEL = b"security.selinux"
# Below the root of a tree.
POLICIES = "etc/selinux", "usr/etc/selinux"
MAX_CONFIG_SIZE = 1 << 20
CONTEXTS = "contexts/files/file_contexts"
TYPE = "SELINUXTYPE="
PLACES = "/usr/lib/python3/dist-packages", "{platlib}"
MISSING = (
    "SELinux labels need libselinux's binding for the Python that runs larix, {version}: the package python3-selinux "
    "(Debian, openSUSE) or python3-libselinux (Fedora)"
)
# Path from the root and mode -> label, without what ends it; None where the policy has none.
Labels = Callable[[str, int], bytes | None]


def find_policy(root: str, what: str) -> str | None:
    """Return the directory of the policy that the configuration of a tree names; None where it names none, or turns it
    off.

    `what` the tree is, for messages. Symlinks lead where they do with the tree as the root. Raises Invalid where one
    leads nowhere, and where the policy is not there or is not made of files.
    """
    with reading.closing(reading.open_directory(root)) as root_fd:
        for place in POLICIES:
            try:
                with reading.closing(reading.open_in_root(place, root_fd)) as fd:
                    return _find_in(root_fd, place, fd, what)
            except (FileNotFoundError, NotADirectoryError):
                if reading.is_link(place, root_fd):
                    raise Invalid(f"SELinux in {what}: {place} is a symlink that leads nowhere") from None
    return None


def _find_in(root_fd: int, place: str, fd: int, what: str) -> str | None:
    """Return the policy of one place, with which, if it is there, the search ends."""
    if "config" not in os.listdir(fd):
        return None
    try:
        with reading.closing(reading.open_in_root(f"{place}/config", root_fd, os.O_RDONLY | os.O_NONBLOCK)) as config:
            if not stat.S_ISREG(os.fstat(config).st_mode):
                raise Invalid(f"SELinux in {what}: {place}/config is no file")
            if os.fstat(config).st_size > MAX_CONFIG_SIZE:
                raise Invalid(f"SELinux in {what}: {place}/config is larger than {MAX_CONFIG_SIZE} bytes")
            text = b"".join(reading.pieces(config)).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise Invalid(f"SELinux in {what}: {place}/config is a symlink that leads nowhere") from None
    # As the C tool reads it: no white space, and the first line that turns it on does.
    lines = text.splitlines()
    # (C 2026.4 looks for the beginning of a line, so that `SELINUX=enforcing # x` counts too.)
    is_on = any(line.startswith(("SELINUX=enforcing", "SELINUX=permissive")) for line in lines)
    kind = next((line.removeprefix(TYPE).strip() for line in reversed(lines) if line.startswith(TYPE)), "")
    if not is_on:
        return None
    if not kind:
        raise Invalid(f"SELinux in {what}: its config turns it on and names no policy")
    try:
        with reading.closing(reading.open_in_root(f"{place}/{kind}", root_fd)) as policy:
            directory = os.readlink(f"/proc/self/fd/{policy}")
        below = f"{place}/{kind}/{os.path.dirname(CONTEXTS)}"
        with reading.closing(reading.open_in_root(below, root_fd)) as contexts, os.scandir(contexts) as found:
            kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in found if entry.name != "media"}
    except (FileNotFoundError, NotADirectoryError):
        kinds = {}
    if os.path.basename(CONTEXTS) not in kinds:
        raise Invalid(f"SELinux in {what}: its config names the policy {kind!r}, and {kind}/{CONTEXTS} is not there")
    if odd := sorted(name for name, is_file in kinds.items() if not is_file):
        raise Invalid(f"SELinux in {what}: {kind}/{os.path.dirname(CONTEXTS)}/{odd[0]} is no file")
    return directory


def load_labels(policy: str, *, usr_etc_as_etc: bool = False) -> Labels:
    """Return the labels of a policy in a directory. `usr_etc_as_etc` has what is in /usr/etc labelled as what it is to
    become.

    Raises Unsupported without the binding.
    """
    binding = _import()
    binding.selinux_set_policy_root(policy)
    try:
        handle = binding.selabel_open(binding.SELABEL_CTX_FILE, None, 0)
    except OSError as error:
        raise Invalid(f"Reading the policy {policy}: {error.strerror}") from None
    if handle is None:
        raise Invalid(f"Reading the policy {policy}: libselinux does not understand it")

    def find(path: str, mode: int) -> bytes | None:
        if usr_etc_as_etc and (path == "/usr/etc" or path.startswith("/usr/etc/")):
            path = path.removeprefix("/usr")
        if path == "/proc":
            # Policies have labels for what is mounted there, none for the directory.
            path = "/mnt"
        try:
            return str(binding.selabel_lookup(handle, path, mode)[1]).encode() + b"\0"
        except FileNotFoundError:
            return None
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else "is one of its expressions broken?"
            raise Invalid(f"The SELinux policy {policy} has no answer for {path}: {why}") from None

    if find("/", stat.S_IFDIR | 0o755) is None:
        raise Invalid(f"The SELinux policy {policy} has no label for /, which no policy is without")
    return find


def _import() -> Any:
    try:
        return import_module("selinux")
    except ImportError:
        pass
    system = sysconfig.get_path("platlib", vars={"base": "/usr", "platbase": "/usr"})
    before = list(sys.path)
    sys.path += [place.format(platlib=system) for place in PLACES]
    try:
        return import_module("selinux")
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise Unsupported(MISSING.format(version=version)) from None
    finally:
        sys.path[:] = before
