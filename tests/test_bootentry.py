"""Text that ends up in boot entries: whatever it is, it stays one value of one key."""

import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from larix.errors import Invalid
from larix.formats.bootentry import BootCsum, BootEntry, check_word
from larix.formats.checksum import Checksum
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.formats.names import Stateroot
from larix.sysroot.bootloaders import syslinux, uboot
from larix.sysroot.deployment import Deployment
from larix.sysroot.origin import origin_of
from tests.judge import admin, c_admin, fails, larix, make_os_tree
from tests.sysroots import as_root, options_of, refs_of

INJECTED = "1\noptions x"
KEYS = ["title", "version", "options", "linux", "initrd", "devicetree", "fdtdir", "own"]


@given(st.lists(st.text(), min_size=len(KEYS), max_size=len(KEYS)))
@example([INJECTED] * len(KEYS))
@example(["\r", "\x85a", "\u2028", "a\0b", "#", " ", "\t", "\x1cx\x1d"])
def test_any_text_is_one_value(texts: list[str]) -> None:
    entry = BootEntry()
    for key, text in zip(KEYS, texts, strict=True):
        entry = entry.set(key, text)
    assert [key for key, _ in entry.pairs] == KEYS
    assert BootEntry.decode(entry.encode()) == entry
    # As each reader of lines sees them.
    for lines in str(entry).splitlines(), str(entry).rstrip("\n").split("\n"):
        assert [line.partition(" ")[0] for line in lines] == KEYS
    words = [line.split(None, 1)[0] for line in syslinux.label(entry)]
    assert words == ["LABEL", "KERNEL", "INITRD", "DEVICETREE", "FDTDIR", "APPEND"]
    names = [line.partition("=")[0] for line in uboot.variables(entry, "")]
    assert names == ["kernel_image", "ramdisk_image", "fdt_file", "fdtdir", "bootargs"]
    for line in *syslinux.label(entry), *uboot.variables(entry, ""):
        assert len(line.splitlines()) == 1


@given(st.text(), st.text())
@example("[a]\nb=c", "\r\n")
def test_any_text_is_one_value_of_an_origin(refspec: str, other: str) -> None:
    origin = origin_of(refspec)
    origin.set("origin", "override-commit", other)
    lines = str(origin).rstrip("\n").split("\n")
    assert [line.partition("=")[0] for line in lines] == ["[origin]", "refspec", "override-commit"]
    again = KeyFile(str(origin))
    assert (again.groups(), again.keys("origin")) == (["origin"], ["refspec", "override-commit"])


@given(st.binary())
def test_bytes_of_kernel_arguments_are_kept(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    entry = BootEntry().set("options", text)
    assert BootEntry.decode(entry.encode()) == entry
    assert entry.find("options") == entry.set("options", text).find("options")


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    entry = BootEntry.parse("title a\noptions x\ninitrd /a\nversion 1\noptions y ostree=z\ninitrd /b\nown 1\nown 2\n")
    assert entry.options.arguments == ("y", "ostree=z")
    assert str(entry) == "title a\ninitrd /a\nversion 1\noptions y ostree=z\ninitrd /b\nown 1\nown 2\n"
    twice = BootEntry((("own", "1"), ("a", "2"), ("own", "3")))
    assert twice.set("own", "4").pairs == (("own", "4"), ("a", "2"))
    assert twice.add("own", "5").pairs[-1] == ("own", "5")


@pytest.mark.parametrize("text", ["", " ", "a b", "a\n", "\na", "a\0", "a\x85", "a\tb", "a\u2028b", "a\xa0b"])
def test_what_is_no_word(text: str) -> None:
    with pytest.raises(Invalid, match="boot entry"):
        check_word(text, "It")
    assert check_word("6.1.0-18-amd64", "It") == "6.1.0-18-amd64"


@as_root
@pytest.mark.parametrize("name", ["none", "syslinux", "uboot"])
def test_a_version_of_two_lines(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTREE_SYSROOT_DEBUG", "mutable-deployments")
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    tree = make_os_tree(tmp_path / "tree", "1", "6.1.0")
    (tree / "usr/lib/os-release").write_text('PRETTY_NAME="Test\r\\nKERNEL /x"\n')
    repo = tmp_path / "ostree/repo"
    larix(repo, "config", "set", "sysroot.bootloader", name)
    larix(repo, "commit", "-b", "a", f"--tree=dir={tree}", f"--add-metadata-string=version={INJECTED}\x85linux /x")
    admin(tmp_path, "deploy", "--os=test", "--karg=a=1\nlinux /y", "--karg=b\rinitrd /z", "a")
    assert len(options_of(tmp_path)) == 1
    assert options_of(tmp_path)[0].startswith("options a=1 linux /y b initrd /z ostree=/")
    entry = next((tmp_path / "boot/loader/entries").iterdir()).read_text()
    assert [line.split()[0] for line in entry.splitlines()] == ["title", "version", "options", "linux", "initrd"]
    for path in (tmp_path / "boot/loader").glob("*.*"):
        text = path.read_text()
        assert len(text.splitlines()) == {"syslinux.cfg": 5, "uEnv.txt": 3}[path.name]
    admin(tmp_path, "deploy", "--os=test", "a")
    assert len(refs_of(tmp_path)) == 2
    assert [name in c_admin(tmp_path, "status") for name in refs_of(tmp_path)] == [True, True]


def test_a_kernel_with_a_name_of_two_words_is_refused(tmp_path: Path) -> None:
    admin(tmp_path, "init-fs", tmp_path)
    admin(tmp_path, "os-init", "test")
    for i, version in enumerate(["6.1\noptions init=x", "6.1 init=x"]):
        tree = make_os_tree(tmp_path / f"tree{i}", "1", version)
        larix(tmp_path / "ostree/repo", "commit", "-b", "a", f"--tree=dir={tree}")
        shutil.rmtree(tree)
        said = fails("admin", "deploy", "--os=test", "a", f"--sysroot={tmp_path}")
        assert "cannot stand in a boot entry" in said
        assert not list((tmp_path / "ostree/deploy/test/deploy").iterdir())


def test_deployments_are_what_they_are_called() -> None:
    stateroot, checksum = Stateroot("os"), Checksum("a" * 64)
    one = Deployment(stateroot, checksum, 0, BootCsum("b"), 0, BootEntry(), KeyFile())
    entry = BootEntry().set("options", str(KernelArgs()))
    same = Deployment(stateroot, checksum, 0, BootCsum("c"), 1, entry, origin_of("x"))
    assert one == same
    assert len({one, same}) == 1
    assert one != Deployment(stateroot, checksum, 1, BootCsum("b"), 0, BootEntry(), KeyFile())
