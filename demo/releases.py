"""Two small releases of an operating system, laid out for OSTree."""

import platform
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

SUITE = "bookworm"
MMDEBSTRAP_SECONDS = 110
# Of the running machine: enough files to be worth sharing, few enough to be quick.
MAX_FILES, MAX_SIZE = 400, 1 << 20
# Made anew at each boot, or kept outside of the tree.
EMPTY = ["boot", "dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "sysroot", "tmp", "var"]


def make_releases(work: Path, why_no_debian: str) -> tuple[Path, Path, str]:
    """The trees of release 1 and 2, and a sentence on what they are made of: Debian, or this machine for a reason."""
    first, second = work / "tree1", work / "tree2"
    why = why_no_debian or debian(first)
    if why:
        shutil.rmtree(first, ignore_errors=True)
        machine(first)
        about = f"files of this machine ({why})"
    else:
        about = f"Debian {SUITE} minbase with a kernel, by mmdebstrap"
    arrange(first)
    release(first, "1", {"demo/welcome": "Welcome to release 1\n", "demo/port": "80\n", "demo/old": "old\n"})
    shutil.copytree(first, second, symlinks=True)
    release(second, "2", {"demo/welcome": "Welcome to release 2\n", "demo/port": "8080\n", "demo/new": "new\n"})
    (second / "usr/bin/demo-hello").write_text("#!/bin/sh\necho hello from release 2\n")
    (second / "usr/bin/demo-hello").chmod(0o755)
    return first, second, about


def debian(tree: Path) -> str:
    """Make a Debian tree; the reason where that cannot be done, else ''."""
    program = shutil.which("mmdebstrap")
    if program is None:
        return "mmdebstrap is not installed"
    kernel = {"x86_64": "linux-image-cloud-amd64", "aarch64": "linux-image-cloud-arm64"}.get(platform.machine())
    if kernel is None:
        return f"no kernel is known for {platform.machine()}"
    # In namespaces of its own: no mount and no process of it outlives it.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*apart, program, "--quiet", "--variant=minbase", f"--include={kernel}", SUITE, str(tree)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MMDEBSTRAP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "mmdebstrap took too long"
    return f"mmdebstrap failed: {done.stderr.strip().splitlines()[-1:]}" if done.returncode else ""


def machine(tree: Path) -> None:
    for top in "usr/bin", "usr/share/doc", "etc":
        copy(some(Path("/", top)), tree)
    kernels = [*Path("/boot").glob("vmlinuz-*"), *Path("/usr/lib/modules").glob("*/vmlinuz")]
    (tree / "boot").mkdir(exist_ok=True)
    try:
        shutil.copy(kernels[0], tree / "boot/vmlinuz-demo")
    except (IndexError, PermissionError):
        (tree / "boot/vmlinuz-demo").write_text("stands in for a kernel: this machine has none to read\n")
    (tree / "boot/initrd.img-demo").write_text("stands in for an initramfs: nothing is booted here\n")


def some(top: Path) -> list[Path]:
    found = []
    for path in sorted(top.rglob("*")):
        try:
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_SIZE:
                path.open("rb").close()
            elif not stat.S_ISLNK(status.st_mode):
                continue
        except OSError:
            continue
        found.append(path)
        if len(found) == MAX_FILES:
            break
    return found


def copy(paths: Iterable[Path], tree: Path) -> None:
    for path in paths:
        target = tree / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)


def arrange(tree: Path) -> None:
    """/etc becomes /usr/etc, the kernel goes to its modules, what is not part of the tree is emptied."""
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    modules = tree / "usr/lib/modules" / version
    modules.mkdir(parents=True, exist_ok=True)
    kernel.rename(modules / "vmlinuz")
    (tree / f"boot/initrd.img-{version}").rename(modules / "initramfs.img")
    (tree / "etc").rename(tree / "usr/etc")
    for name in EMPTY:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir(exist_ok=True)
    for link in "vmlinuz", "initrd.img", "vmlinuz.old", "initrd.img.old":
        (tree / link).unlink(missing_ok=True)
    (tree / "ostree").symlink_to("sysroot/ostree")


def release(tree: Path, version: str, defaults: dict[str, str]) -> None:
    shutil.rmtree(tree / "usr/etc/demo", ignore_errors=True)
    (tree / "usr/etc/demo").mkdir()
    for name, text in defaults.items():
        (tree / "usr/etc" / name).write_text(text)
    path = tree / "usr/lib/os-release"
    path.unlink(missing_ok=True)
    path.write_text(f'NAME=Demo\nID=demo\nVERSION_ID={version}\nPRETTY_NAME="Demo OS {version}"\n')
