"""What tests of sysroots share."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judge import NEWEST, admin, picture, release

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the C tool deploys only as root")


def skeleton(sysroot: Path) -> dict[str, object]:
    """A sysroot without what is in its repo."""
    found = {path: value for path, value in picture(sysroot).items() if not path.startswith("ostree/repo/")}
    return dict(comparable(found))


def comparable(found: dict[str, object]) -> Iterator[tuple[str, object]]:
    """What larix or a C tool made, without what not all of them make: a place for what is written to a transient root
    and a /var that is empty until something is deployed (the newest and larix do), an image of the tree for composefs,
    keys for Android's boot loader, a space where there are no kernel arguments."""
    for path, value in found.items():
        if re.match(r"ostree/deploy/[^/]+/deploy/[^/]+/\.ostree\.cfs$", path):
            continue
        if release() < NEWEST and re.match(r"ostree/deploy/[^/]+/(backing(/|$)|var/(lib|log|tmp|run|lock)$)", path):
            continue
        if path.startswith("boot/loader.") and isinstance(value, tuple) and isinstance(value[-1], bytes):
            *about, data = value
            kept = [line for line in data.splitlines(keepends=True) if not line.startswith((b"aboot ", b"abootcfg "))]
            yield path, (*about, re.sub(rb"(bootargs\d*=| ) ostree=", rb"\1ostree=", b"".join(kept)))
        else:
            yield path, value


def edit_etc(sysroot: Path) -> None:
    """What an administrator does, in the deployment that boots first."""
    lines = next(iter(sorted((sysroot / "boot/loader/entries").glob("*.conf"), reverse=True))).read_text()
    target = next(word for word in lines.split() if word.startswith("ostree=")).removeprefix("ostree=/")
    etc = (sysroot / target).resolve() / "etc"
    (etc / "changed").write_text("by admin")
    (etc / "sub/removed").unlink(missing_ok=True)
    (etc / "own/deep").mkdir(parents=True, exist_ok=True)
    (etc / "own").chmod(0o700)
    (etc / "own/deep/file").write_text("own")
    (etc / "own/link").unlink(missing_ok=True)
    (etc / "own/link").symlink_to("nowhere")
    (etc / "same").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(etc / "own/deep/file", 12, 34)
        os.setxattr(etc / "own/deep/file", "user.key", b"value")


def booting(sysroot: Path) -> dict[str, object]:
    """All that boots, but for what the C tool marks for SELinux; and the names of the objects."""
    objects = {name for name in picture(sysroot / "ostree/repo/objects") if "/" in name}
    found = {
        path: value
        for path, value in skeleton(sysroot).items()
        if not path.endswith((".ostree-selabeled", "ostree/lock", "ostree/boot"))
    }
    return {**found, "objects": objects}


def options_of(sysroot: Path) -> list[str]:
    """Of the entries, as they boot."""
    texts = [path.read_text() for path in sorted((sysroot / "boot/loader/entries").iterdir(), reverse=True)]
    return [next(line for line in text.splitlines() if line.startswith("options")) for text in texts]


def refs_of(sysroot: Path) -> list[str]:
    """The names of the deployments, as they boot."""
    found = json.loads(admin(sysroot, "status", "--json"))["deployments"]
    return [f"{one['checksum']}.{one['serial']}" for one in found]
