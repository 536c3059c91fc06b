"""Kernel arguments: an ordered list of `name` and `name=value`, where a name may stand more than once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from larix.errors import Invalid, NotFound

# A space inside double quotes does not end an argument; the quotes belong to it, since the kernel takes them away.
ARGUMENT = re.compile(r'(?:"[^"]*"|[^\s"]|")+')


def name_of(argument: str) -> str:
    return argument.partition("=")[0]


def _check_text(argument: str) -> str:
    if argument.encode("utf-8", "replace").decode() != argument:
        raise Invalid(f"Kernel argument {argument!r} is not UTF-8 text, as a boot entry must be")
    return argument


@dataclass(frozen=True, slots=True)
class KernelArgs:
    """All changes give new ones."""

    arguments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(tuple(ARGUMENT.findall(text)))

    def __str__(self) -> str:
        return " ".join(self.arguments)

    def find(self, name: str) -> str | None:
        """Return the value of the first argument of this name, '' where it has none."""
        for argument in self.arguments:
            if name_of(argument) == name:
                return argument.partition("=")[2]
        return None

    def append(self, added: Iterable[str]) -> Self:
        """Raises Invalid for what is not UTF-8: a boot entry with it, other tools do not read."""
        return type(self)((*self.arguments, *map(_check_text, added)))

    def replace(self, argument: str) -> Self:
        """Return the arguments with this in place of the first of its name, without the others of that name; else at
        the end. Raises Invalid as `append`."""
        _check_text(argument)
        name = name_of(argument)
        kept = list(self.arguments)
        places = [i for i, other in enumerate(kept) if name_of(other) == name]
        if not places:
            return self.append([argument])
        kept[places[0]] = argument
        return type(self)(tuple(other for i, other in enumerate(kept) if i not in places[1:]))

    def delete(self, argument: str) -> Self:
        """Without this `name=value`, or without the only argument of this `name`. Raises NotFound."""
        found = [other for other in self.arguments if other == argument]
        if not found and "=" not in argument:
            found = [other for other in self.arguments if name_of(other) == argument]
        if not found:
            raise NotFound(f"No kernel argument {argument!r}; there are: {self}")
        kept = list(self.arguments)
        kept.remove(found[0])
        return type(self)(tuple(kept))

    def without(self, name: str) -> Self:
        return type(self)(tuple(argument for argument in self.arguments if name_of(argument) != name))
