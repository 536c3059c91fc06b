"""What the admin commands share; apart from the others, which start without it."""

import argparse
import os
import sys
from collections.abc import Sequence

from larix.cli.options import Parser, add_missing, repo_options
from larix.cli.progress import progress_of
from larix.errors import Invalid, NotFound, Unsupported
from larix.formats.kargs import KernelArgs
from larix.linux import reading
from larix.sysroot.bootswap import Swap, write_deployments
from larix.sysroot.cleanup import cleanup
from larix.sysroot.deploy import deploy, find_source
from larix.sysroot.deployment import Deployment, Target
from larix.sysroot.etcplan import Conflict, EtcPlan, Reason
from larix.sysroot.held import Claim, Held
from larix.sysroot.make import DeployOptions
from larix.sysroot.sysroot import Sysroot, SysrootOptions


def add_sysroot(parser: Parser) -> None:
    parser.add_argument("--sysroot", metavar="PATH", help="The sysroot (default: $OSTREE_SYSROOT, else /)")
    parser.add_argument(
        "--lock-timeout",
        type=float,
        default=-1,
        metavar="SECONDS",
        help="Wait no longer than this while another process changes the sysroot (default: for ever)",
    )


def tell_holder(who: str) -> None:
    print(f"Waiting for sysroot lock, which {who} holds...", file=sys.stderr)


def open_sysroot(args: argparse.Namespace) -> Sysroot:
    debug = os.environ.get("OSTREE_SYSROOT_DEBUG", "").split(",")
    how = SysrootOptions(
        mutable="mutable-deployments" in debug,
        with_dtb="no-dtb" not in debug,
        aborting_freeze="test-fifreeze" in debug,
        older_names="bootloader-naming-1" in os.environ.get("OSTREE_SYSROOT_OPTS", "").split(","),
        lock_timeout=args.lock_timeout,
        tell_holder=tell_holder,
        repo=repo_options(),
    )
    return Sysroot(args.sysroot or os.environ.get("OSTREE_SYSROOT") or "/", how)


def add_stateroot(parser: Parser) -> None:
    parser.add_argument("--os", "--stateroot", dest="os", metavar="STATEROOT", help="Default: that of the booted one")


def stateroot_of(args: argparse.Namespace, sysroot: Sysroot) -> str:
    if args.os is not None:
        return str(args.os)
    if sysroot.booted is None:
        raise Invalid(f"No deployment of {sysroot.path} is booted here; name a stateroot with --os=STATEROOT")
    return sysroot.booted.stateroot


def find_source_of(args: argparse.Namespace, sysroot: Sysroot) -> Deployment:
    """Return the deployment that a new one of the stateroot in question begins from."""
    stateroot = stateroot_of(args, sysroot)
    source = find_source(sysroot, stateroot)
    if source is None:
        raise NotFound(f"No previous deployment for stateroot '{stateroot}'; `larix admin deploy` makes the first")
    return source


def no_deployment(sysroot: Sysroot) -> NotFound:
    return NotFound(f"Unable to find a deployment in sysroot {sysroot.path}; `larix admin deploy` makes the first")


def find_index(sysroot: Sysroot, text: str) -> int:
    count = len(sysroot.deployments)
    if not count:
        raise no_deployment(sysroot)
    if not text.isascii() or not text.isdigit() or int(text) >= count:
        if not text.isascii() or not text.isdigit():
            raise Invalid(f"Invalid index: {text}; `admin status` counts deployments from 0")
        raise Invalid(f"Out of range deployment index {text}, expected < {count}; `admin status` counts them from 0")
    return int(text)


def running_kernel_args() -> KernelArgs:
    found = KernelArgs.parse(reading.read_whole("/proc/cmdline").decode("utf-8", "surrogateescape"))
    # What the boot loader added for that boot alone.
    return KernelArgs().append(found.arguments).without("BOOT_IMAGE").without("initrd")


def print_plan(plan: EtcPlan) -> None:
    """Print what was carried over of /etc; and on stderr, since the C tool says nothing of it, what met a new
    default."""
    # What cannot be carried over the C tool counts, too.
    modified, added = (len(plan.kept.modified + plan.left_out.modified), len(plan.kept.added + plan.left_out.added))
    counts = modified, len(plan.kept.removed), added
    print("Copying /etc changes: {} modified, {} removed, {} added".format(*counts))
    for conflict in plan.conflicts:
        print(f"Note: {describe_conflict(conflict)}", file=sys.stderr)
    for path in paths_left_out(plan):
        print(f"Note: /etc/{path} is not carried over: a FIFO, socket or device", file=sys.stderr)


def paths_left_out(plan: EtcPlan) -> list[str]:
    return sorted(plan.left_out.modified + plan.left_out.added)


def describe_conflict(conflict: Conflict) -> str:
    path, reason, yours, _ = conflict
    there = f"the new default is /usr/etc/{path}"
    if reason is Reason.BELOW_FILE:
        return f"/etc/{path}: no directory in the new tree; what you changed in it is now in /etc/{yours}"
    if reason is Reason.FILE_OVER_DIRECTORY:
        kept = f"is kept, and {there}" if yours == path else f"is now /etc/{yours}"
        return f"/etc/{path}: a directory in the new tree, which yours is not; yours {kept}"
    if reason is Reason.DIRECTORY_OVER_FILE:
        return f"/etc/{path}: no directory in the new tree, which yours is; yours is kept with all in it, and {there}"
    if reason is Reason.DEFAULT_REMOVED:
        return f"/etc/{path}: changed by you, and not in the new tree; yours is kept"
    if reason is Reason.REMOVED:
        return f"/etc/{path}: removed by you, and changed in the new tree; it stays away, and {there}"
    return f"/etc/{path}: changed by you and in the new tree; yours is kept, the other is /usr/etc/{path}"


def conflict_to_json(conflict: Conflict) -> dict[str, object]:
    """`yours` and `default` are where each side's lies, from the root of the deployment; null for what is not there."""
    path, reason, yours, default = conflict
    return {
        "path": path,
        "reason": reason,
        "yours": None if yours is None else f"/etc/{yours}",
        "default": f"/usr/etc/{path}" if default else None,
    }


def put_in_place(sysroot: Sysroot, deployments: Sequence[Deployment]) -> None:
    """Make this the list, say so, and clean up after it."""
    before = len(sysroot.deployments)
    print_swap(sysroot, write_deployments(sysroot, deployments), before)
    clean(sysroot)


def print_swap(sysroot: Sysroot, swap: Swap, before: int) -> None:
    """Print what became of the boot configuration; `before` is how many deployments there were."""
    print(
        f"{'Bootloader updated' if swap.with_config and not swap.has_bootloader else 'Transaction complete'}; "
        f"bootconfig swap: {'yes' if swap.with_config else 'no'}; "
        f"bootversion: boot.{sysroot.bootversion}.{sysroot.subbootversion}, "
        f"deployment count change: {len(sysroot.deployments) - before}"
    )


def clean(sysroot: Sysroot, *, prune: bool = True) -> None:
    done = cleanup(sysroot, prune=prune)
    for held in done.held:
        print(f"Note: {describe_held(held)}", file=sys.stderr)


def describe_held(held: Held) -> str:
    if held.claim is Claim.STAGED:
        about = "staged by another tool, and becomes the default when this machine goes down"
    elif held.claim is Claim.RUNNING:
        about = "what this machine runs, though no boot entry leads to it"
    else:
        about = "pinned, though no boot entry leads to it; to have it removed take `pinned` out of its .origin file"
    return f"{held.path} is kept: it is {about}"


def deploy_target(sysroot: Sysroot, source: Deployment, target: Target, args: argparse.Namespace) -> None:
    """Deploy in the stateroot of `source`, with its /etc and kernel arguments, as the default."""
    deploy_and_tell(sysroot, source.stateroot, target, source.entry.options, DeployOptions(source), args)


def deploy_and_tell(
    sysroot: Sysroot,
    stateroot: str,
    target: Target,
    kargs: KernelArgs,
    how: DeployOptions,
    args: argparse.Namespace,
) -> None:
    """Deploy, say what became of it, and clean up after it."""
    before = len(sysroot.deployments)
    with progress_of(args) as progress:
        made = deploy(sysroot, stateroot, target, kargs, how, progress=progress)
    if how.source is not None:
        print_plan(made.plan)
    print_swap(sysroot, made.swap, before)
    clean(sysroot, prune=not getattr(args, "no_prune", False))


def add_restart(parser: Parser) -> None:
    for names in "-r --reboot", "-k --kexec":
        add_missing(parser, names, "larix cannot restart the machine yet", value=False)


def refuse_to_stage(sysroot: Sysroot) -> None:
    if sysroot.booted is None:
        raise Invalid("Cannot stage deployment: Not currently booted into an OSTree system")
    raise Unsupported("--stage: larix puts deployments in place at once, and cannot stage them yet")
