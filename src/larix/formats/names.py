"""Names that come from people and from remotes: path parts, refs, remotes, collections.

All of them become parts of host paths, so they are checked before they are used for one.
"""

import re
from typing import NewType

from larix.errors import Corrupt, Invalid

# Checked, each by its function below. Who takes a text from a person or a remote takes a `str`.
Ref = NewType("Ref", str)
RemoteName = NewType("RemoteName", str)
Stateroot = NewType("Stateroot", str)

# A ref is one or more of these, joined by slashes; a remote's name is one. \w holds letters of every language.
FRAGMENT = r"\w[-.\w]*"
RULE = "; a ref is one or more names joined by /, each of letters, digits and . _ -, beginning with a letter or digit"
REF = re.compile(rf"{FRAGMENT}(/{FRAGMENT})*")
# Characters: after refs/heads/, no path of more bytes does the kernel take.
MAX_REF = 4084
REMOTE = re.compile(FRAGMENT)
# As names of interfaces of D-Bus.
COLLECTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
MAX_COLLECTION = 255


def check_part(name: str) -> str:
    """Check one name in a directory, from an object. Raises Corrupt where it could name something outside it."""
    if "/" in name:
        raise Corrupt(f"Invalid / in filename {name}")
    if not name or name in (".", "..") or "\0" in name:
        raise Corrupt(f"Invalid filename {name!r} in a directory")
    return name


def check_utf8(text: str, what: str) -> str:
    """Check a name or a target of this machine, which may be any bytes; `what` names it. Raises Invalid."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"Invalid UTF-8 in {what}; it cannot be committed") from None
    return text


def is_ref(name: str) -> bool:
    return REF.fullmatch(name) is not None


def check_ref(name: str) -> Ref:
    if len(name) > MAX_REF or not is_ref(name):
        raise Invalid(f"Invalid ref name {name[:200]!r}{RULE}")
    return Ref(name)


def check_remote(name: str) -> RemoteName:
    return RemoteName(_check_name(name, "remote"))


def check_stateroot(name: str) -> Stateroot:
    return Stateroot(_check_name(name, "stateroot"))


def _check_name(name: str, what: str) -> str:
    if not REMOTE.fullmatch(name):
        raise Invalid(
            f"Invalid {what} name {name!r}; it is letters, digits and . _ -, beginning with one of the first two"
        )
    return name


def check_collection(name: str) -> str:
    if not COLLECTION.fullmatch(name) or len(name) > MAX_COLLECTION:
        raise Invalid(f"Invalid collection ID {name}")
    return name


def parse_refspec(text: str) -> tuple[RemoteName | None, Ref]:
    """`REMOTE:REF` or `REF` -> (remote or None, ref). Raises Invalid."""
    remote, colon, ref = text.rpartition(":")
    if (colon and not REMOTE.fullmatch(remote)) or len(ref) > MAX_REF or not is_ref(ref):
        raise Invalid(f"Invalid refspec {text!r}{RULE}")
    return (RemoteName(remote) if colon else None), Ref(ref)


def refspec(remote: RemoteName | None, ref: Ref) -> str:
    return ref if remote is None else f"{remote}:{ref}"
