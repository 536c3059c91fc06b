"""What every boot loader's room does, whatever its configuration looks like."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from larix.linux import reading, writing
from larix.sysroot.bootloaders.base import BootLoader
from larix.sysroot.bootloaders.none import NoBootLoader
from larix.sysroot.bootloaders.syslinux import Syslinux
from larix.sysroot.bootloaders.uboot import UBoot
from larix.sysroot.deployment import Deployment
from larix.sysroot.sysroot import Sysroot
from tests.judge import admin, larix, picture


class FakeBootLoader:
    """Writes the titles, one in a line; what shows it is a file."""

    name = "fake"

    def is_active(self, boot_fd: int) -> bool:
        return "fake" in reading.names(".", boot_fd)

    def write(self, sysroot: Sysroot, deployments: Sequence[Deployment], bootversion: int, boot_fd: int) -> None:
        text = "".join(f"{one.entry.options} {one.entry.find('linux')}\n" for one in deployments)
        writing.replace(f"loader.{bootversion}/fake", text.encode(), boot_fd)


# With what makes it active in /boot, and the file that it writes.
LOADERS: dict[str, tuple[BootLoader, str | None, str | None]] = {
    "none": (NoBootLoader(), None, None),
    "syslinux": (Syslinux(), "syslinux/syslinux.cfg", "syslinux.cfg"),
    "uboot": (UBoot(), "loader/uEnv.txt", "uEnv.txt"),
    "fake": (FakeBootLoader(), "fake", "fake"),
}


@pytest.fixture
def sysroot(tmp_path: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sysroot]:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    larix(tmp_path / "ostree/repo", "pull-local", "--remote=origin", releases)
    for ref in "os/1", "os/3":
        admin(tmp_path, "deploy", "--os=test", "--karg=quiet", f"origin:{ref}")
    with Sysroot(str(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize("name", LOADERS)
def test_a_boot_loader(name: str, sysroot: Sysroot) -> None:
    loader, mark, file = LOADERS[name]
    assert loader.name == name
    boot = Path(sysroot.path, "boot")
    unused = f"loader.{1 - sysroot.bootversion}"
    (boot / unused).mkdir(exist_ok=True)
    with reading.closing(reading.open_directory(str(boot))) as fd:
        assert loader.is_active(fd) == (mark is None)
        if mark is not None:
            (boot / mark).parent.mkdir(exist_ok=True)
            (boot / mark).touch()
            assert loader.is_active(fd)
        before = picture(boot)
        for _ in range(2):
            # The same again, where it stands already.
            loader.write(sysroot, sysroot.deployments, 1 - sysroot.bootversion, fd)
        written = {path for path, value in picture(boot).items() if before.get(path) != value}
        assert {path for path in written if path != "."} - {unused} == ({f"{unused}/{file}"} if file else set())
        if file is None:
            return
        text = (boot / unused / file).read_text()
        places = [text.index(str(one.entry.find("linux"))) for one in sysroot.deployments]
        assert places == sorted(places)
        assert all(str(one.entry.options) in text for one in sysroot.deployments)
        loader.write(sysroot, sysroot.deployments[1:], 1 - sysroot.bootversion, fd)
        assert str(sysroot.deployments[0].entry.find("linux")) not in (boot / unused / file).read_text()
