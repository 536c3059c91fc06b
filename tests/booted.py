"""A machine that runs one of its deployments: a namespace in which that is /, as early boot would have left it."""

import os
import pickle
import subprocess
from pathlib import Path

from tests.faults import import_all
from tests.judge import Done, run_larix

# What the C tool asks of systemd when it stages.
SYSTEMCTL = "#!/bin/sh\nexit 0\n"
# The C tool wants to be in the mount namespace of process 1 when it looks at it.
IN_ITS_OWN = ["unshare", "--pid", "--mount", "--fork"]
MOUNT_PROC = "mount -t proc proc /proc && exec env PATH=/tmp/bin:/usr/bin:/usr/sbin "
TOP_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


class Machine:
    """To be made in `in_namespace`. Its programs are those of the host; /run is empty at first."""

    def __init__(self, sysroot: Path, deployment: str) -> None:
        """`deployment` is relative to the sysroot; its tree needs TOP_LINKS."""
        # Not mounted over: the sysroot stays as it is for whoever looks at it from outside.
        self.root = sysroot.parent / "running"
        self.root.mkdir()
        for kind, source, at in (
            (["--bind"], sysroot / deployment, ""),
            (["--bind"], sysroot, "sysroot"),
            (["--bind"], sysroot / "boot", "boot"),
            (["--rbind"], Path("/usr"), "usr"),
            (["-t", "tmpfs"], Path("run"), "run"),
            (["-t", "tmpfs"], Path("tmp"), "tmp"),
            (["-t", "proc"], Path("proc"), "proc"),
            (["--rbind"], Path("/dev"), "dev"),
        ):
            subprocess.run(["mount", *kind, source, self.root / at], check=True)
        (self.root / "run/ostree-booted").touch()
        (self.root / "tmp/bin").mkdir()
        (self.root / "tmp/bin/systemctl").write_text(SYSTEMCTL)
        (self.root / "tmp/bin/systemctl").chmod(0o755)

    def c_admin(self, *words: str) -> str:
        """Run the C tool there, which must succeed."""
        command: list[str | Path] = [
            *IN_ITS_OWN,
            "chroot",
            self.root,
            "sh",
            "-c",
            MOUNT_PROC + 'ostree admin "$@"',
            "sh",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def larix(self, *words: str) -> Done:
        """Run larix there, in a process of its own."""
        import_all()
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.close(reading)
                os.chroot(self.root)
                os.chdir("/")
                os.write(writing, pickle.dumps(run_larix("admin", *words)))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            said = stream.read()
        os.waitpid(pid, 0)
        done: Done = pickle.loads(said)
        return done
