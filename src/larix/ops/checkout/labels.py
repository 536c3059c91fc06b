"""The SELinux policy that a command is to label by: of a directory, or of a commit."""

import os
import tempfile
from contextlib import suppress

from larix.errors import Invalid, NotFound
from larix.formats.checksum import Checksum
from larix.linux import reading, trees
from larix.linux.failures import doing
from larix.linux.selinux import POLICIES, Labels, find_policy, load_labels
from larix.ops.checkout.placing import CheckoutOptions
from larix.ops.checkout.verb import checkout
from larix.repo.repo import Repo


def labels_of(root: str, *, usr_etc_as_etc: bool = False) -> Labels | None:
    """Return the labels by the policy of the tree in a directory; None where it has none. Raises NotFound where nothing
    is there."""
    if not os.path.isdir(root):
        raise NotFound(f"No directory {root}, which is to have the SELinux policy")
    return _load(root, root, usr_etc_as_etc)


def _load(root: str, what: str, usr_etc_as_etc: bool) -> Labels | None:
    with doing(f"Reading the SELinux policy of {what}"):
        policy = find_policy(root, what)
    return load_labels(policy, usr_etc_as_etc=usr_etc_as_etc) if policy is not None else None


def labels_of_commit(repo: Repo, commit: Checksum, *, usr_etc_as_etc: bool = False) -> Labels | None:
    """Return the same of a commit. What its policy is read from is removed again; libselinux keeps it in memory."""
    root = tempfile.mkdtemp(prefix="larix-policy-")
    try:
        for place in POLICIES:
            options = CheckoutOptions(user_mode=True, subpath=place, allow_missing=True, cache=False)
            path = os.path.join(root, place)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # Where one of them leads through a file, it is the other.
            with suppress(Invalid):
                checkout(repo, commit, path, options)
        return _load(root, f"commit {commit}", usr_etc_as_etc)
    finally:
        # As deep as the commit has it.
        with reading.closing(reading.open_directory(os.path.dirname(root))) as fd:
            trees.remove_tree(os.path.basename(root), fd)
