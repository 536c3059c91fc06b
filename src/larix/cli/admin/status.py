"""larix admin status"""

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress

from larix.cli.admin.options import add_sysroot, conflict_to_json, open_sysroot
from larix.cli.json import print_json
from larix.cli.options import Parser, add_missing
from larix.errors import Error, Invalid
from larix.linux import reading
from larix.sysroot.deployment import Deployment
from larix.sysroot.etcmerge import find_made_from, plan_deployment
from larix.sysroot.etcplan import Conflict
from larix.sysroot.sysroot import Sysroot


def configure(parser: Parser) -> None:
    add_sysroot(parser)
    parser.add_argument("-J", "--json", action="store_true", help="Print JSON")
    add_missing(parser, "-V --verify", "larix cannot check signatures yet", value=False)
    parser.add_argument("-S", "--skip-signatures", action="store_true", help="Accepted: larix prints none yet")
    parser.add_argument(
        "-D",
        "--is-default",
        action="store_true",
        help="Print `default` where the first one is booted, else `not-default`",
    )


def run(args: argparse.Namespace) -> None:
    with open_sysroot(args) as sysroot:
        if args.is_default:
            if sysroot.booted is None:
                raise Invalid("Not in a booted OSTree system: no deployment here is the root of this machine")
            print("default" if sysroot.booted == sysroot.deployments[0] else "not-default")
            return
        if args.json:
            found = [
                {
                    **deployment_to_json(sysroot, i),
                    "etc_conflicts": [conflict_to_json(one) for one in find_conflicts(sysroot, i)],
                }
                for i in range(len(sysroot.deployments))
            ]
            print_json({"deployments": found})
            return
        if not sysroot.deployments:
            print("No deployments.")
        for i, deployment in enumerate(sysroot.deployments):
            about = deployment_to_json(sysroot, i)
            mark = "*" if about["booted"] else " "
            note = "pending" if about["pending"] else "rollback" if about["rollback"] else ""
            print(f"{mark} {deployment.stateroot} {deployment.name}{f' ({note})' if note else ''}")
            if about["missing"]:
                print(f"    Missing: {sysroot.path}/{deployment.path}")
            if about["version"] is not None:
                print(f"    Version: {about['version']}")
            if conflicts := find_conflicts(sysroot, i):
                print(f"    Conflicts in /etc, where yours was kept: {', '.join(map(place_of, conflicts))}")
            if about["pinned"]:
                print("    Pinned: yes")
            if about["refspec"] is not None:
                print(f"    origin refspec: {about['refspec']}")
            else:
                print(f"    origin: {'<unknown origin type>' if deployment.origin.groups() else 'none'}")
            if about["source_title"] is not None:
                print(f"    `- {about['source_title']}")


def deployment_to_json(sysroot: Sysroot, index: int) -> dict[str, object]:
    deployment = sysroot.deployments[index]
    booted = sysroot.booted
    at = sysroot.deployments.index(booted) if booted is not None else None
    of_booted = booted is not None and booted.stateroot == deployment.stateroot
    return {
        "checksum": deployment.checksum,
        "stateroot": deployment.stateroot,
        "serial": deployment.serial,
        "index": index,
        "booted": deployment == booted,
        "pending": of_booted and at is not None and index == at - 1,
        "rollback": of_booted and at is not None and index == at + 1,
        "missing": sysroot.inode(deployment.path) is None,
        "pinned": deployment.is_pinned,
        "version": _find(sysroot, deployment, "version"),
        "refspec": deployment.refspec,
        "source_title": _find(sysroot, deployment, "ostree.source-title"),
    }


def find_conflicts(sysroot: Sysroot, index: int) -> Sequence[Conflict]:
    """Return those of the deployment that was made last with the one it was made from; the others' /etc has been in use
    since."""
    deployment = sysroot.deployments[index]
    try:
        source = find_made_from(sysroot, deployment)
        conflicts = plan_deployment(sysroot, source, deployment).conflicts if source is not None else ()
        # What was kept beside may have been dealt with.
        return [one for one in conflicts if one.yours is None or _has(sysroot, deployment, one.yours)]
    except Error:
        # As below.
        return ()


def _has(sysroot: Sysroot, deployment: Deployment, path: str) -> bool:
    above, _, name = path.rpartition("/")
    with (
        suppress(OSError),
        reading.closing(reading.open_directory(f"{deployment.path}/etc", sysroot.fd, follow=False)) as etc,
        reading.closing(reading.open_below(etc, above)) as fd,
    ):
        os.stat(name, dir_fd=fd, follow_symlinks=False)
        return True
    return False


def place_of(conflict: Conflict) -> str:
    return conflict.path if conflict.yours in (conflict.path, None) else f"{conflict.path} (as {conflict.yours})"


def _find(sysroot: Sysroot, deployment: Deployment, key: str) -> str | None:
    """Return a text in the metadata of its commit."""
    try:
        return sysroot.repo.load_commit(deployment.checksum).metadata.find_string(key)
    except Error:
        # A status is asked for when something is broken, too.
        return None
