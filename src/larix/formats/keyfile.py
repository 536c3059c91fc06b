"""The ini dialect of GLib's GKeyFile: `config`, remotes, origin files.

The text is kept line by line, so that what is not changed (comments, order, unknown keys) is written as it was read.
"""

import re
from itertools import pairwise
from typing import Self

from larix.errors import Corrupt, Invalid

GROUP = re.compile(r"\[([^\[\]\x00-\x1f\x7f]+)\]")
# No white space at its ends; in brackets, what GLib takes for a language.
KEY = re.compile(r"(?![#\s])[^=\[\]\x00-\x1f]*[^=\[\]\x00-\x1f\s](\[[-\w.@]+\])?")
# What GLib takes for white space.
SPACE = " \t\n\f\r"
ESCAPES = {"\\s": " ", "\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}


class KeyFile:
    """Groups of keys with text values."""

    def __init__(self, text: str = "", name: str = "key file") -> None:
        """Raises Corrupt, with `name` and the line's number."""
        self.name = name
        # Other ends of lines than these are part of a value.
        self._lines = text.removesuffix("\n").split("\n") if text else []
        self._values: dict[str, dict[str, str]] = {}
        group = None
        for number, line in enumerate(self._lines, 1):
            if line.strip(SPACE)[:1] in ("", "#"):
                continue
            if found := _group(line):
                group = self._values.setdefault(found[1], {})
            elif group is not None and (entry := _entry(line)):
                group[entry[0]] = entry[1]
            else:
                raise Corrupt(f"{name}, line {number}: neither a [group] nor key=value")

    @classmethod
    def decode(cls, data: bytes, name: str) -> Self:
        """Read a file's bytes. Raises Corrupt, with `name`."""
        if b"\0" in data:
            raise Corrupt(f"{name} has a NUL byte, and is no key file")
        try:
            return cls(data.decode(), name)
        except UnicodeDecodeError:
            raise Corrupt(f"{name} is not UTF-8 text") from None

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def groups(self) -> list[str]:
        return list(self._values)

    def keys(self, group: str) -> list[str]:
        return list(self._values.get(group, ()))

    def find(self, group: str, key: str) -> str | None:
        raw = self._values.get(group, {}).get(key)
        return None if raw is None else re.sub(r"\\[sntr\\]", lambda found: ESCAPES[found[0]], raw)

    def find_bool(self, group: str, key: str, default: bool) -> bool:
        """Raises Corrupt where the value is neither true nor false."""
        value = self.find(group, key)
        if value is None:
            return default
        try:
            return parse_bool(value)
        except ValueError:
            raise Corrupt(f"{self.name}: {group}.{key} is {value!r}; it must be true or false") from None

    def find_int(self, group: str, key: str, default: int) -> int:
        """Raises Corrupt where the value is no whole number."""
        value = self.find(group, key)
        if value is None:
            return default
        if not re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value, re.ASCII):
            raise Corrupt(f"{self.name}: {group}.{key} is {value!r}; it must be a whole number")
        return int(value)

    def set(self, group: str, key: str, value: str) -> None:
        """Raises Invalid for a name that would be read as another, or as none, and for what is not UTF-8."""
        if not GROUP.fullmatch(f"[{group}]"):
            raise Invalid(f"Invalid group name {group!r}: it has no brackets and no control characters")
        if not KEY.fullmatch(key):
            raise Invalid(f"Invalid key name {key!r}: it has no =, brackets or control characters, nor # before it")
        for text in group, key, value:
            if text.encode("utf-8", "replace").decode() != text:
                raise Invalid(f"{group}.{key}={value}: not UTF-8 text, as a key file must be")
        raw = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        if raw.startswith(" "):
            raw = "\\s" + raw[1:]
        line = f"{key}={raw}"
        values = self._values.setdefault(group, {})
        if found := self._find_lines(group, key):
            # Of several the last one counts.
            self._lines[found[-1]] = line
        elif spans := self._spans(group):
            end = spans[0][1]
            while not self._lines[end - 1].strip():
                end -= 1
            self._lines.insert(end, line)
        else:
            if self._lines:
                self._lines.append("")
            self._lines += [f"[{group}]", line]
        values[key] = raw

    def remove(self, group: str, key: str) -> bool:
        """Return whether it was there."""
        found = self._find_lines(group, key)
        for at in reversed(found):
            del self._lines[at]
        if found:
            del self._values[group][key]
        return bool(found)

    def remove_group(self, group: str) -> bool:
        """Return whether it was there."""
        for start, end in reversed(self._spans(group)):
            del self._lines[start:end]
        return self._values.pop(group, None) is not None

    def _spans(self, group: str) -> list[tuple[int, int]]:
        """Return the lines of the group: from each of its headers to before the next one."""
        headers = [(at, found[1]) for at, line in enumerate(self._lines) if (found := _group(line))]
        headers.append((len(self._lines), ""))
        return [(start, end) for (start, name), (end, _) in pairwise(headers) if name == group]

    def _find_lines(self, group: str, key: str) -> list[int]:
        return [
            at
            for start, end in self._spans(group)
            for at in range(start, end)
            if (found := _entry(self._lines[at])) and found[0] == key
        ]


def parse_bool(value: str) -> bool:
    """Return what GLib takes a value for. Raises ValueError for anything else."""
    if value.strip() not in ("true", "1", "false", "0"):
        raise ValueError(value)
    return value.strip() in ("true", "1")


def _group(line: str) -> re.Match[str] | None:
    return GROUP.fullmatch(line.strip(SPACE))


def _entry(line: str) -> tuple[str, str] | None:
    """Return key and value."""
    key, equals, value = line.partition("=")
    key = key.strip(SPACE)
    if not equals or key[:1] in ("", "#", "["):
        return None
    return key, value.lstrip(SPACE).removesuffix("\r")
