"""What an operating system calls itself, by os-release(5) in its tree."""

import re

from larix.ops.tree.tree import Kind, Tree

PLACES = ("usr/lib/os-release", "etc/os-release")
MAX_SIZE = 1 << 16


def find_os_name(tree: Tree) -> str | None:
    """Return PRETTY_NAME, else ID, as one line."""
    for path in PLACES:
        if tree.kind(path) is not Kind.FILE or tree.size(path) > MAX_SIZE:
            continue
        text = b"".join(tree.pieces(path)).decode("utf-8", "replace")
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        for key in "PRETTY_NAME", "ID":
            if name := _unquoted(values.get(key, "")):
                return " ".join(name.split())
    return None


def _unquoted(value: str) -> str:
    """Return a value without its quotes, as os-release(5) has it: in quotes or not, with a backslash before what would
    end them."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["$`\\])', r"\1", value[1:-1])
    return re.sub(r"\\(.)", r"\1", value.strip("\"'"))
