"""The C `ostree`, which judges what we write and writes what we must read; and a tree with something of everything."""

import functools
import io
import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from larix.cli.main import main

# The oldest C tool that judges here; what newer ones do otherwise, and larix does not yet, is in docs/compatibility.md.
OLDEST = (2022, 7)
NEWEST = (2026, 4)


@functools.cache
def release() -> tuple[int, ...]:
    """Of the C tool, as (year, number)."""
    return tuple(int(part) for part in re.findall(r"Version: '(\d+)\.(\d+)'", run_c("--version").stdout)[0])


def run_c(*args: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["ostree", *args], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ostree {args}: {done.stderr}"
    return done


def ostree(repo: Path, *args: str | Path) -> str:
    """Run the C tool on a repo; its stdout without the last newline."""
    return run_c(f"--repo={repo}", *args).stdout.rstrip("\n")


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def run_larix(*args: str | Path) -> Done:
    """Run larix's command line in this process."""
    old = sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    sys.stdout, sys.stderr = out, err
    try:
        status = main([str(arg) for arg in args])
    finally:
        sys.stdout, sys.stderr = old
    out.seek(0)
    err.seek(0)
    return Done(status, out.read(), err.read())


def larix(repo: Path, *args: str | Path) -> str:
    """Run larix on a repo, which must succeed; its stdout without the last newline."""
    done = run_larix(f"--repo={repo}", *args)
    assert done.status == 0, f"larix {args}: {done.err}"
    return done.out.rstrip("\n")


def fails(*args: str | Path) -> str:
    """Run larix, which must fail with one clear line; that line. Usage stands before it for an unknown command."""
    done = run_larix(*args)
    assert done.status == 1, done
    line = done.err.rpartition("\n\n")[2] if done.err.startswith("Usage:") else done.err
    assert line.startswith("error: "), done.err
    assert line.count("\n") == 1, done.err
    return line


def everything(root: Path) -> list[Path]:
    """All below a directory. Not `rglob`: it follows symlinks, and fails on a target that is too long a path."""
    return [Path(top, name) for top, directories, files in os.walk(root) for name in directories + files]


def picture(root: Path) -> dict[str, object]:
    """All that a tree is: path -> type, mode, owner, extended attributes, content or target."""
    found: dict[str, object] = {}
    for path in [root, *sorted(everything(root))]:
        status = path.lstat()
        keys = os.listxattr(path, follow_symlinks=False)
        pairs = {key: os.getxattr(path, key, follow_symlinks=False) for key in sorted(keys)}
        data: object = None
        if stat.S_ISLNK(status.st_mode):
            data = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            data = path.read_bytes()
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, pairs, data)
    return found


def c_admin(sysroot: Path, *args: str | Path) -> str:
    """Run the C tool on a sysroot, without the immutable bit; its stdout without the last newline."""
    environment = {**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments", "TZ": "UTC"}
    command = ["ostree", "admin", *args, f"--sysroot={sysroot}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"ostree admin {args}: {done.stderr}"
    return done.stdout.rstrip("\n")


def admin(sysroot: Path, *args: str | Path) -> str:
    """Run larix on a sysroot, which must succeed; its stdout without the last newline."""
    done = run_larix("admin", *args, f"--sysroot={sysroot}")
    assert done.status == 0, f"larix admin {args}: {done.err}"
    return done.out.rstrip("\n")


def make_os_tree(root: Path, version: str, kernel: str) -> Path:
    """The smallest tree that can be deployed: a kernel, an initramfs, defaults of /etc."""
    modules = root / f"usr/lib/modules/{kernel}"
    for name in "usr/etc/sub", "usr/bin", "var", "sysroot", "boot", "dev", "proc", "run", "sys", "tmp":
        (root / name).mkdir(parents=True, exist_ok=True)
    modules.mkdir(parents=True)
    (modules / "vmlinuz").write_text(f"kernel {kernel}")
    (modules / "initramfs.img").write_text(f"initramfs of {kernel}")
    (root / "usr/lib/os-release").write_text(f'NAME=Test\nPRETTY_NAME="Test OS {version}"\nID=test\n')
    (root / "usr/etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "ostree").symlink_to("sysroot/ostree")
    (root / "usr/bin/tool").write_text(f"tool {version}")
    for name in "same", "changed", "sub/removed", "sub/kept":
        (root / "usr/etc" / name).write_text("default 1")
    (root / "usr/etc/new").write_text(f"default {version}")
    return root


def by_c(path: Path, releases: Path) -> Path:
    """A sysroot that the C tool made, without deployments."""
    path.mkdir()
    c_admin(path, "init-fs", path)
    c_admin(path, "os-init", "test")
    ostree(path / "ostree/repo", "remote", "add", "--no-gpg-verify", "origin", f"file://{releases}")
    ostree(path / "ostree/repo", "pull", "origin", "os/1", "os/2", "os/3", "os/4", "os/stable")
    return path


def make_tree(root: Path) -> Path:
    """Files, symlinks and directories with all metadata an object can hold, as far as the running user may make it."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/share/empty").mkdir(parents=True)
    (root / "usr/share/ünïcode €").mkdir()
    (root / "usr/bin/tool").write_bytes(b"#!/bin/sh\nexit 0\n")
    (root / "usr/bin/tool").chmod(0o755)
    (root / "usr/bin/su").write_bytes(b"set uid")
    (root / "usr/bin/su").chmod(0o4755)
    (root / "usr/bin/sticky").mkdir(0o700)
    (root / "usr/bin/sticky").chmod(0o1777)
    (root / "usr/share/none").touch()
    (root / "usr/share/secret").write_text("secret")
    (root / "usr/share/secret").chmod(0o600)
    (root / "usr/share/ünïcode €/𝄞").write_text("clef")
    (root / ("n" * 255)).write_text("longest name")
    (root / "large").write_bytes(bytes(range(256)) * 40_000)
    (root / "link").symlink_to("usr/bin/tool")
    (root / "dangling").symlink_to("../../" + "x" * 1000)
    os.link(root / "usr/bin/tool", root / "usr/bin/tool2")
    os.setxattr(root / "usr/share/none", "user.b", b"\0\xff binary")
    os.setxattr(root / "usr/share/none", "user.a", b"")
    os.setxattr(root / "usr/share", "user.dir", b"of a directory")
    if os.geteuid() == 0:
        os.setxattr(root / "usr/bin/tool", "security.capability", b"\1\0\0\2\0\4" + bytes(14))
        os.chown(root / "usr/share/secret", 1234, 4321)
        os.chown(root / "link", 12, 34, follow_symlinks=False)
        os.chown(root / "usr/share/empty", 70000, 70000)
    return root
