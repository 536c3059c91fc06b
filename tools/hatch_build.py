"""Adds manual pages and completion to the wheel; they are made when it is built."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFiles(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path[:0] = [str(Path(self.root) / "src"), str(Path(self.root) / "tools")]
        import share

        self.made = tempfile.TemporaryDirectory(prefix="larix-share-")
        for path, text in share.shared_files().items():
            made = Path(self.made.name) / path.replace("/", "-")
            made.write_text(text)
            build_data["shared_data"][str(made)] = path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self.made.cleanup()
