"""Following an origin: is there a newer commit, or another branch to switch to; and bring it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from larix.errors import Invalid
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import Ref, RemoteName, check_ref, parse_refspec, refspec
from larix.progress import NO_PROGRESS, Progress
from larix.remote.pull import pull_remote
from larix.remote.puller import PullOptions, TooOld, check_age
from larix.repo.refs import unknown
from larix.repo.repo import Repo
from larix.sysroot.deployment import Deployment, Target
from larix.sysroot.held import check_list
from larix.sysroot.origin import ORIGIN, OVERRIDE, check_configured, inherited, load_refspec, origin_of
from larix.sysroot.sysroot import Sysroot

# In a commit's metadata: the branch that goes on where this one ends.
REBASE = "ostree.endoflife-rebase"


@dataclass(frozen=True, slots=True)
class UpgradeOptions:
    """`override` is a commit to take, not the newest of the ref. Without `fetching` only what is here counts."""

    override: Checksum | None = None
    allow_downgrade: bool = False
    fetching: bool = True


def find_upgrade(
    sysroot: Sysroot, source: Deployment, options: UpgradeOptions, *, progress: Progress = NO_PROGRESS
) -> Target | None:
    """Find what comes after the deployment, and bring it here; None where that is it already.

    Raises TooOld for what is older than the deployment: that guards against a server that offers an old release, with
    holes that were mended since.
    """
    with guarding_age():
        return _find_upgrade(sysroot, source, options, progress)


@contextmanager
def guarding_age() -> Iterator[None]:
    try:
        yield
    except TooOld as error:
        raise TooOld(f"{error}; --allow-downgrade takes it all the same") from None


def _find_upgrade(sysroot: Sysroot, source: Deployment, options: UpgradeOptions, progress: Progress) -> Target | None:
    check_configured(source)
    remote, ref = load_refspec(source)
    origin = inherited(source.origin)
    oldest = None if options.allow_downgrade else source.checksum
    if options.fetching:
        _Follow(remote, ref).fetch(sysroot, options.override, oldest, progress)
    commit = options.override or resolve_ref(sysroot.repo, remote, ref)
    if options.override is not None:
        origin.set(ORIGIN, OVERRIDE, options.override)
    else:
        rebase = sysroot.repo.load_commit(commit).metadata.find_string(REBASE)
        if rebase is not None:
            ref = check_ref(rebase)
            origin = inherited(source.origin, refspec(remote, ref))
            if options.fetching:
                _Follow(remote, ref).fetch(sysroot, None, oldest, progress)
            commit = resolve_ref(sysroot.repo, remote, ref)
    if commit == source.checksum:
        return None
    if not options.allow_downgrade:
        check_age(sysroot.repo, commit, source.checksum)
    return Target(commit, origin)


def find_switch(sysroot: Sysroot, source: Deployment, text: str, *, progress: Progress = NO_PROGRESS) -> Target:
    """Find the newest commit of another ref, and bring it here. `REF` alone keeps the remote, `REMOTE:` the ref.

    One that ends, and says where it goes on, is followed there. Raises Invalid where it is what the deployment follows
    already.
    """
    remote, ref = load_refspec(source)
    if text.endswith(":"):
        remote, _ = parse_refspec(f"{text}{ref}")
    elif ":" in text:
        remote, ref = parse_refspec(text)
    else:
        ref = check_ref(text)
    new = refspec(remote, ref)
    if new == source.refspec:
        raise Invalid(f"Old and new refs are equal: {new}")
    _Follow(remote, ref).fetch(sysroot, None, None, progress)
    commit = resolve_ref(sysroot.repo, remote, ref)
    rebase = sysroot.repo.load_commit(commit).metadata.find_string(REBASE)
    if rebase is not None:
        ref = check_ref(rebase)
        new = refspec(remote, ref)
        _Follow(remote, ref).fetch(sysroot, None, None, progress)
        commit = resolve_ref(sysroot.repo, remote, ref)
    return Target(commit, origin_of(new))


@dataclass(frozen=True, slots=True)
class _Follow:
    """A branch that deployments follow, of a remote or of the repo itself."""

    remote: RemoteName | None
    ref: Ref

    def fetch(self, sysroot: Sysroot, commit: Checksum | None, oldest: Checksum | None, progress: Progress) -> None:
        """Pull it at its newest commit or the one given, if it could be deployed; nothing where it is our own."""
        if self.remote is None:
            return
        check_list(sysroot)
        options = PullOptions(newer_than=oldest)
        pull_remote(sysroot.repo, self.remote, {self.ref: commit}, options, progress=progress)


def resolve_ref(repo: Repo, remote: RemoteName | None, ref: Ref) -> Checksum:
    """Return what was brought of it. Raises NotFound."""
    text = refspec(remote, ref)
    if is_checksum(ref):
        # What follows one commit has nothing newer.
        repo.load_commit(Checksum(ref))
        return Checksum(ref)
    found = repo.refs.find(text)
    if found is None:
        raise unknown(text, repo.path)
    return found
