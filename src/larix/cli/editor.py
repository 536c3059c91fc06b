"""Asking for a text with the editor that the user has chosen."""

import os
import tempfile

from larix.cli.options import read_text
from larix.errors import Failed, Invalid
from larix.linux.run import run_in_terminal

HELP = """
# Please enter the commit message for your changes. Its first line will
# become the subject, and those below it the body. Lines that begin
# with '#' are left out; an empty message makes no commit.
"""


def edit_message(subject: str, body: str) -> tuple[str, str]:
    """Subject and body as the user left them. Raises Invalid where the subject is empty."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if editor is None:
        if os.environ.get("TERM", "dumb") == "dumb":
            raise Invalid("No editor to write the message with: set EDITOR, or use --subject and --body")
        editor = "vi"
    with tempfile.NamedTemporaryFile("w+", prefix="larix-message-", suffix=".txt") as file:
        file.write(f"{subject}\n\n{body}\n{HELP}" if body else f"{subject}\n{HELP}")
        file.flush()
        # A command with options of its own, as in EDITOR="emacs -nw", which only a shell can take apart.
        status = run_in_terminal(["/bin/sh", "-c", f'{editor} "$1"', editor, file.name])
        if status != 0:
            raise Failed(f"The editor {editor!r} failed with status {status}; nothing was committed")
        written = read_text(file.name).splitlines()
        lines = [line.rstrip() for line in written if not line.startswith("#")]
    text = "\n".join(lines).strip()
    subject, _, body = text.partition("\n")
    if not subject:
        raise Invalid("Aborting commit due to empty commit subject.")
    return subject, body.strip("\n")
