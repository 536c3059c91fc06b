"""The floors and doors that docs/architecture.md promises, held against the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "larix"
# Load what is asked for when it is.
LAZY = ("cli/main.py", "__init__.py")
FILES = sorted(SOURCE.rglob("*.py"))

# What may be named only in these places (a folder or a file below src/larix).
DOORS = {
    "subprocess": ["linux/run.py"],
    "ctypes": ["linux/syscalls.py"],
    "argparse": ["cli/"],
    "pycurl": ["remote/"],
    "http": ["remote/"],
    "socketserver": ["remote/"],
    "urllib.request": ["remote/"],
    "print": ["cli/"],
    "os.environ": ["cli/"],
    "os.getenv": ["cli/"],
    "sys.exit": ["cli/"],
}


def floors() -> dict[str, int]:
    """Room -> height, read from the document."""
    block = re.search(r"```floors\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert block
    lines = block[1].split("\n")[:-1]
    return {room: len(lines) - i for i, line in enumerate(lines) for room in line.split()}


def room_of(module: str) -> str:
    """larix.repo.refs -> repo; larix itself -> ''."""
    return ([*module.split("."), ""])[1]


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import, line {node.lineno}"
            assert node.module
            yield node, node.module


def names_of(statement: ast.ImportFrom) -> list[str]:
    return [alias.name for alias in statement.names]


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def check(path: str, source: str) -> list[str]:
    """What is wrong with one file, given its path below src/larix."""
    heights = floors()
    tree = ast.parse(source)
    wrong = []
    room = path.removesuffix(".py").split("/")[0]
    top = set(tree.body)
    for statement, module in imports(tree):
        where = f"{path}:{statement.lineno}"
        if statement not in top and path not in LAZY:
            wrong.append(f"{where}: import inside a block")
        if module == "larix" and isinstance(statement, ast.ImportFrom) and names_of(statement) != ["__version__"]:
            wrong.append(f"{where}: a name of larix itself, which loads all of it")
        if module.startswith("larix.") and room not in ("__init__", "__main__"):
            other = room_of(module)
            if room != other and heights[room] <= heights[other]:
                wrong.append(f"{where}: {room} imports {other}, which is not below it")
        for door, places in DOORS.items():
            if (module == door or module.startswith(door + ".")) and not path.startswith(tuple(places)):
                wrong.append(f"{where}: {door} belongs to {places}")
    for node in ast.walk(tree):
        name = dotted(node.func) if isinstance(node, ast.Call) else dotted(node)
        if name in DOORS and not path.startswith(tuple(DOORS[name])) and isinstance(node, ast.Call | ast.Attribute):
            wrong.append(f"{path}:{node.lineno}: {name} belongs to {DOORS[name]}")
    return wrong


def test_source_keeps_the_floors() -> None:
    assert FILES
    wrong = [line for file in FILES for line in check(file.relative_to(SOURCE).as_posix(), file.read_text())]
    assert not wrong, "\n".join(wrong)


def test_every_room_stands_in_the_document() -> None:
    rooms = {file.relative_to(SOURCE).as_posix().removesuffix(".py").split("/")[0] for file in FILES}
    assert rooms - {"__init__", "__main__"} <= floors().keys()


def test_the_check_bites() -> None:
    assert check("formats/x.py", "from larix.repo.refs import Ref")
    assert check("formats/x.py", "import larix.linux.files")
    assert check("repo/x.py", "def f():\n    import os")
    assert check("repo/x.py", "import subprocess")
    assert check("repo/x.py", "from larix import gvariant")
    assert check("repo/x.py", "print('x')")
    assert check("repo/x.py", "import os\nx = os.environ.get('HOME')")
    assert not check("repo/x.py", "from larix.formats.objects import Commit\nfrom larix.repo.refs import Ref")
    assert not check("cli/main.py", "def f():\n    import larix.repo.refs")
