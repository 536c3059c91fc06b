"""The origin of a deployment: where it came from, and so what an upgrade follows; and whether it is pinned.

[origin]
refspec=REMOTE:REF, or REF of the sysroot's own repo
override-commit=CHECKSUM     the commit that was asked for, where that was not the newest of the ref
unconfigured-state=TEXT      why there is nothing to follow yet, and what to do
[libostree-transient]        what a deployment made from this one does not take over
pinned=true                  not removed to make room
"""

from larix.errors import Invalid
from larix.formats.keyfile import KeyFile
from larix.formats.names import Ref, RemoteName, parse_refspec
from larix.linux import writing
from larix.linux.failures import doing
from larix.sysroot.deployment import TRANSIENT, Deployment
from larix.sysroot.sysroot import Sysroot

ORIGIN = "origin"
OVERRIDE = "override-commit"


def origin_of(refspec: str) -> KeyFile:
    """Return the origin of a deployment that follows REF or REMOTE:REF."""
    origin = KeyFile()
    origin.set(ORIGIN, "refspec", refspec)
    return origin


def inherited(origin: KeyFile, refspec: str | None = None) -> KeyFile:
    """Return the origin for a deployment made from one of this origin; with another refspec where one is given."""
    copied = KeyFile(str(origin))
    copied.remove_group(TRANSIENT)
    copied.remove(ORIGIN, OVERRIDE)
    if refspec is not None:
        copied.set(ORIGIN, "refspec", refspec)
    return copied


def load_refspec(deployment: Deployment) -> tuple[RemoteName | None, Ref]:
    """Return what the deployment follows: remote (None for a branch of the sysroot's own repo) and ref. Raises
    Invalid."""
    if deployment.refspec is None:
        raise Invalid(
            f"No origin/refspec in the origin of deployment {deployment.name}, so it follows no ref; "
            "`admin set-origin` gives it one"
        )
    return parse_refspec(deployment.refspec)


def check_configured(deployment: Deployment) -> None:
    """Raises Invalid where its origin says that something is to be done first."""
    state = deployment.origin.find(ORIGIN, "unconfigured-state")
    if state is not None:
        raise Invalid(f"origin unconfigured-state: {state}")


def write_origin(sysroot: Sysroot, deployment: Deployment, origin: KeyFile) -> None:
    """Write an origin. The sysroot must be locked."""
    sysroot.check_locked()
    with doing(f"Writing the origin of {deployment.name}"):
        writing.replace(f"{deployment.path}.origin", str(origin).encode(), sysroot.fd)


def set_pinned(sysroot: Sysroot, deployment: Deployment, pinned: bool) -> bool:
    """Pin or unpin; return whether that changed it. The sysroot must be locked."""
    if deployment.is_pinned == pinned:
        return False
    origin = KeyFile(str(deployment.origin))
    if pinned:
        origin.set(TRANSIENT, "pinned", "true")
    else:
        origin.remove(TRANSIENT, "pinned")
    write_origin(sysroot, deployment, origin)
    return True
