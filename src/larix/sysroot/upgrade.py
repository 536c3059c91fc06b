"""Following an origin: is there a newer commit, and bring it."""

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.formats.names import parse_refspec
from larix.remote.open import open_source
from larix.remote.pull import PullOptions, pull
from larix.remote.trust import check_policy
from larix.repo.remotes import load_remote
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot


def load_refspec(deployment: Deployment) -> tuple[str | None, str]:
    """What the deployment follows: remote (None for a branch of the sysroot's own repo) and ref. Raises Invalid."""
    if deployment.refspec is None:
        raise Invalid(f"Deployment {deployment.name} follows no ref: its origin has no refspec")
    return parse_refspec(deployment.refspec)


def fetch(sysroot: Sysroot, deployment: Deployment, override: Checksum | None = None) -> None:
    """Pull what the deployment follows, or another commit in its place; nothing where that is a branch of our own."""
    name, ref = load_refspec(deployment)
    if name is None:
        return
    remote = load_remote(sysroot.repo, name)
    check_policy(remote)
    source = open_source(sysroot.repo, remote)
    try:
        pull(sysroot.repo, source, {ref: override}, name, PullOptions(collection=remote.collection))
    finally:
        source.close()


def find_target(sysroot: Sysroot, deployment: Deployment, *, allow_downgrade: bool = False) -> Checksum | None:
    """The commit to upgrade to, from what is here; None where the deployment has it. Raises Invalid where it is older.

    The check guards against a server that offers an old release, with holes that were mended since.
    """
    assert deployment.refspec is not None
    target = sysroot.repo.find_ref(deployment.refspec)
    if target is None:
        raise NotFound(f"Refspec '{deployment.refspec}' not found in {sysroot.repo.path}")
    if target == deployment.checksum:
        return None
    if not allow_downgrade:
        old, new = (sysroot.repo.load_commit(checksum).timestamp for checksum in (deployment.checksum, target))
        if new < old:
            raise Invalid(
                f"Upgrade target {target} (timestamp {new}) is older than what is deployed ({old}); "
                "--allow-downgrade takes it all the same"
            )
    return target
