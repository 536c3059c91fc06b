"""What can go wrong, as kinds a caller can act on.

Every failure that larix foresees is an `Error`; foreign exceptions are turned into one where they come in. The message
is one line for a person: what failed, which thing, and what to do when that is known. The command line prints it and
exits with 1.
"""

import re


def printable(message: str) -> str:
    """Return one line of a text, that a terminal takes no commands from: names may have any bytes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", lambda found: ascii(found[0])[1:-1], message)


class Error(Exception):
    """Base of all foreseen failures."""


class NotFound(Error):
    """A ref, an object, a file, a repo is not there."""


class Invalid(Error):
    """Something given to us (an argument, a name, a value) is not well-formed."""


class Corrupt(Error):
    """Bytes that were read are not what they must be: malformed, truncated, or of another checksum."""


class Busy(Error):
    """Another process holds the lock, or changes what is being read."""


class Moved(Error):
    """A ref has another commit than the one that it was to be changed from; nothing was changed."""


class NoSpace(Error):
    """The file system is full."""


class Untrusted(Error):
    """A signature that is required is missing, or cannot be checked."""


class FetchFailed(Error):
    """The other end of a pull could not be reached, or broke off."""


class Unsupported(Error):
    """Something that OSTree has and larix does not, yet; or that a repo of this mode cannot do."""


class Failed(Error):
    """A program that was run, or a process of larix's, ended without having done its work."""
