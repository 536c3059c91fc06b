"""Making a commit what boots: its deployment, the list it stands in, and the boot configuration."""

from dataclasses import replace
from typing import NamedTuple

from larix.formats.kargs import KernelArgs
from larix.formats.names import Stateroot
from larix.progress import NO_PROGRESS, Progress
from larix.sysroot.bootswap import Swap, write_deployments
from larix.sysroot.cleanup import undone_on_failure
from larix.sysroot.deployment import Deployment, Target
from larix.sysroot.etcplan import EtcPlan
from larix.sysroot.make import DeployOptions, make_deployment
from larix.sysroot.plan import plan_order
from larix.sysroot.sysroot import Sysroot


def find_source(sysroot: Sysroot, stateroot: str) -> Deployment | None:
    """Return the deployment whose /etc and kernel arguments a new one of the stateroot takes over: booted, else the
    first."""
    booted = sysroot.booted
    if booted is not None and booted.stateroot == stateroot:
        return booted
    return next((one for one in sysroot.deployments if one.stateroot == stateroot), None)


class Deployed(NamedTuple):
    """The new deployment, by what plan its /etc was made, how the boot configuration was changed."""

    deployment: Deployment
    plan: EtcPlan
    swap: Swap


def deploy(
    sysroot: Sysroot,
    stateroot: str,
    target: Target,
    kargs: KernelArgs,
    how: DeployOptions | None = None,
    *,
    progress: Progress = NO_PROGRESS,
) -> Deployed:
    """Deploy a commit that is in the sysroot's repo, and put it in the list. The sysroot must be locked.

    What left the list is there until the next cleanup. Raises NotFound for a stateroot that is not there, or a source
    that is in the list no longer, Invalid for a tree that cannot boot; then the list is as it was.
    """
    sysroot.check_locked()
    how = how or DeployOptions()
    source = sysroot.find(how.source) if how.source is not None else None
    with undone_on_failure(sysroot):
        new, plan = make_deployment(sysroot, Stateroot(stateroot), target, kargs, replace(how, source=source), progress)
        order = plan_order(sysroot.deployments, new, sysroot.booted, source, how.keep)
        swap = write_deployments(sysroot, order)
    return Deployed(sysroot.deployments[order.index(new)], plan, swap)
