"""SELinux labels by the policy of a tree. libselinux finds them: the only place that knows its binding for Python.

Distributions have that as a package, for their own Python; in a virtual environment it is looked for where they put it.
"""

import errno
import os
import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from typing import Any

from larix.errors import Invalid, Unsupported
from larix.linux import files

LABEL = b"security.selinux"
# Below the root of a tree.
POLICIES = "etc/selinux", "usr/etc/selinux"
MAX_CONFIG_SIZE = 1 << 20
CONTEXTS = "contexts/files/file_contexts"
PLACES = "/usr/lib/python3/dist-packages", "{platlib}"
MISSING = (
    "SELinux labels need libselinux's binding for the Python that runs larix, {version}: the package python3-selinux "
    "(Debian, openSUSE) or python3-libselinux (Fedora)"
)
# Path from the root and mode -> label, without what ends it; None where the policy has none.
Labels = Callable[[str, int], bytes | None]


def find_policy(root: str, what: str) -> str | None:
    """The directory of the policy that the configuration of a tree names; None where it names none, or turns it off.

    `what` the tree is, for messages. Raises Invalid where the policy is not there, or is not made of files: a symlink
    leads elsewhere here than where the tree is the root.
    """
    with files.closing(files.open_directory(root)) as root_fd:
        for place in POLICIES:
            try:
                with files.closing(files.open_below(root_fd, place)) as fd:
                    return _find_in(fd, os.path.join(root, place), what)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
    return None


def _find_in(fd: int, directory: str, what: str) -> str | None:
    text = files.read("config", fd, MAX_CONFIG_SIZE).decode("utf-8", "surrogateescape")
    settings = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    values = {key.strip(): value.strip() for key, _, value in settings}
    kind = values.get("SELINUXTYPE", "")
    if values.get("SELINUX") == "disabled" or not kind:
        return None
    try:
        below = f"{kind}/{os.path.dirname(CONTEXTS)}" if "/" not in kind else ""
        with files.closing(files.open_below(fd, below)) as contexts, os.scandir(contexts) as found:
            kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in found if entry.name != "media"}
    except (FileNotFoundError, NotADirectoryError):
        kinds = {}
    if os.path.basename(CONTEXTS) not in kinds:
        raise Invalid(f"SELinux in {what}: its config names the policy {kind!r}, and {kind}/{CONTEXTS} is not there")
    if odd := sorted(name for name, is_file in kinds.items() if not is_file):
        raise Invalid(f"SELinux in {what}: {kind}/{os.path.dirname(CONTEXTS)}/{odd[0]} is no file")
    return os.path.join(directory, kind)


def load_labels(policy: str, *, usr_etc_as_etc: bool = False) -> Labels:
    """Of a policy's directory. `usr_etc_as_etc` has what is in /usr/etc labelled as what it is to become.

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
