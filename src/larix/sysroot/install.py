"""Making a commit what boots: its deployment, the list it stands in, and the boot configuration."""

from typing import NamedTuple

from larix.formats.checksum import Checksum
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.progress import NO_PROGRESS, Progress
from larix.sysroot.bootswap import Swap, write_deployments
from larix.sysroot.cleanup import undone_on_failure
from larix.sysroot.deploy import DeployOptions, deploy
from larix.sysroot.deployment import Deployment
from larix.sysroot.etcplan import EtcPlan
from larix.sysroot.plan import KeepOptions, plan_order
from larix.sysroot.sysroot import Sysroot


class Installed(NamedTuple):
    """The new deployment, by what plan its /etc was made, how the boot configuration was changed."""

    deployment: Deployment
    plan: EtcPlan
    swap: Swap


def install(
    sysroot: Sysroot,
    stateroot: str,
    commit: Checksum,
    origin: KeyFile,
    options: KernelArgs,
    how: DeployOptions | None = None,
    keep: KeepOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Installed:
    """Deploy a commit that is in the sysroot's repo, and put it in the list. The sysroot is locked meanwhile.

    What left the list is there until the next cleanup. Raises NotFound for a stateroot that is not there, Invalid for a
    tree that cannot boot; then the list is as it was.
    """
    how = how or DeployOptions()
    with undone_on_failure(sysroot):
        new, plan = deploy(sysroot, stateroot, commit, origin, options, how, progress=progress)
        order = plan_order(sysroot.deployments, new, sysroot.booted, how.source, keep or KeepOptions())
        swap = write_deployments(sysroot, order)
    return Installed(sysroot.deployments[order.index(new)], plan, swap)
