"""Two releases of one Debian system, made once into the cache: as released, and with its updates."""

import os
import shutil
import subprocess
from pathlib import Path

from demo.releases import SUITE, arrange, machine, release

FULL = ["--variant=important", "--include=linux-image-amd64,systemd,python3,git,build-essential"]
SMALL = ["--variant=minbase", "--include=linux-image-cloud-amd64"]
# Takes the suites with the updates out of the sources that mmdebstrap is about to use.
AS_RELEASED = r"""--setup-hook=sed -i "/-security\|-updates/d" "$1/etc/apt/sources.list" """


def find_releases(cache: Path, *, small: bool) -> tuple[Path, Path]:
    """The trees of the older and the newer release."""
    size = "small" if small else "full"
    first, second = cache / f"{size}-a", cache / f"{size}-b"
    for number, tree in ("1", first), ("2", second):
        if not tree.exists():
            print(f"making {tree} …", flush=True)
            _make(tree, number, SMALL if small else FULL)
    return first, second


def _make(tree: Path, number: str, options: list[str]) -> None:
    new = tree.with_name(f"{tree.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    if os.geteuid() == 0:
        hook = [AS_RELEASED] if number == "1" else []
        # In namespaces of its own: no mount and no process of it outlives it.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        subprocess.run([*apart, "mmdebstrap", "--quiet", *options, *hook, SUITE, new], check=True)
    else:
        machine(new)
    arrange(new)
    release(new, number, {"demo/number": f"{number}\n"})
    new.rename(tree)
