"""larix: OSTree in Python. Its public names are those of `larix.api`, which is loaded when the first is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larix.api import *  # noqa: F403

__version__ = "0.1.0"

if not TYPE_CHECKING:
    # A command must not wait for what it does not need.
    def __getattr__(name: str) -> object:
        if name.startswith("_") or name not in (api := import_module("larix.api")).__all__:
            raise AttributeError(f"module 'larix' has no attribute {name!r}")
        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *import_module("larix.api").__all__])
