"""What names commits in a repo, and what a person may write for one."""

from typing import Protocol

from larix.errors import Invalid, NotFound
from larix.formats import checksum as checksums
from larix.formats import names
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.keyfile import KeyFile
from larix.formats.names import Ref, RemoteName
from larix.formats.objects import Commit
from larix.linux import reading
from larix.linux.failures import doing
from larix.repo import refs
from larix.repo.refs import PassOver


class Home(Protocol):
    """The repo that has them."""

    path: str
    fd: int
    objects_fd: int
    config: KeyFile
    collection_id: str | None

    @property
    def above(self) -> "Refs | None":
        """Those of its parent."""
        ...

    def load_commit(self, checksum: Checksum) -> Commit: ...


class Refs:
    """The refs of an open repo, as they are at each call. Transactions change them."""

    def __init__(self, repo: Home) -> None:
        self._repo = repo

    def all(self, pass_over: PassOver = None) -> dict[tuple[RemoteName | None, Ref], Checksum]:
        """Return (remote or None, ref) -> commit. Raises NotFound where the directories of refs are not there, Corrupt
        where one does not hold a commit; with `pass_over` that is called with the error."""
        with doing(f"Listing refs of {self._repo.path}: opendir"):
            return refs.list_refs(self._repo.fd, pass_over)

    def strays(self) -> list[str]:
        """Return paths in the repo of what lies among the refs and cannot be one, by its name."""
        with doing(f"Listing refs of {self._repo.path}: opendir"):
            return refs.list_strays(self._repo.fd)

    def names(self) -> list[tuple[RemoteName | None, Ref]]:
        """Return (remote or None, ref), also of those that are damaged. Raises NotFound as `all`."""
        with doing(f"Listing refs of {self._repo.path}: opendir"):
            return refs.list_names(self._repo.fd)

    def of_collections(self, pass_over: PassOver = None) -> dict[tuple[str, str], Checksum]:
        """Return (collection, ref) -> commit: branches made here and of remotes whose collections are known, and
        mirrors."""
        found: dict[tuple[str, str], Checksum] = {}
        for (remote, ref), checksum in self.all(pass_over).items():
            group = f'remote "{remote}"'
            collection = self._repo.collection_id if remote is None else self._repo.config.find(group, "collection-id")
            if collection:
                found[collection, ref] = checksum
        return dict(sorted({**found, **self.mirrors(pass_over)}.items()))

    def mirrors(self, pass_over: PassOver = None) -> dict[tuple[str, str], Checksum]:
        """Return (collection, ref) -> commit, of branches of other repos that are kept here under their collections."""
        return refs.list_mirrors(self._repo.fd, pass_over)

    def mirror_names(self) -> list[tuple[str, str]]:
        """Return (collection, ref), also of those that are damaged."""
        return refs.list_mirror_names(self._repo.fd)

    def aliases(self) -> dict[str, str]:
        """Alias -> the branch that it means; or the path it leads to, where that is no branch."""
        with doing(f"Listing refs of {self._repo.path}: opendir"):
            return refs.list_aliases(self._repo.fd)

    def named_commits(self, pass_over: PassOver = None) -> list[tuple[str, Checksum]]:
        """Return all that keeps a commit, with the commit: `REF`, `REMOTE:REF`, and `COLLECTION/REF` of mirrors."""
        named = [(names.refspec(*key), checksum) for key, checksum in self.all(pass_over).items()]
        mirrors = self.mirrors(pass_over)
        return named + [(f"{collection}/{ref}", checksum) for (collection, ref), checksum in mirrors.items()]

    def find(self, refspec: str) -> Checksum | None:
        """Return the commit of `REF`, `REMOTE:REF` or `COLLECTION:REF`; a REF that is no branch here is looked for in
        all remotes, then among what is kept of other collections.

        A colon may also be a slash. What is not found is looked for in the parent. Raises Invalid where several
        collections have different commits of a REF.
        """
        remote, ref = names.parse_refspec(refspec)
        found = refs.find_ref(self._repo.fd, remote, ref)
        if found is None and remote is None:
            for (_, other), checksum in self.all(lambda error: None).items():
                if other == ref:
                    return checksum
            above, slash, below = ref.partition("/")
            if slash:
                found = refs.find_ref(self._repo.fd, above, below)
        if found is None:
            found = self._find_mirror(remote, ref)
        if found is None and self._repo.above is not None:
            return self._repo.above.find(refspec)
        return found

    def _find_mirror(self, collection: str | None, ref: str) -> Checksum | None:
        found = {
            checksum: f"{of}:{name}"
            for (of, name), checksum in self.mirrors(lambda error: None).items()
            if (name == ref and collection in (of, None)) or (collection is None and f"{of}/{name}" == ref)
        }
        if len(found) > 1:
            raise Invalid(f"Ref {ref} is of several collections; say which: {', '.join(sorted(found.values()))}")
        return next(iter(found), None)

    def resolve(self, rev: str) -> Checksum:
        """Return the commit that `rev` means: a checksum, also as ANYNAME:CHECKSUM, the beginning of one, or a refspec;
        each ^ at the end is a parent.

        Raises NotFound; Invalid where a beginning has several ends.
        """
        base = rev.rstrip("^")
        named = base.rpartition(":")[2]
        if is_checksum(named) and (named == base or names.parse_refspec(base)):
            # Whatever remote is named with it: programs say `sha256:CHECKSUM`.
            checksum = Checksum(named)
        elif (found := self.find(base) if names.is_ref(named) else None) is not None:
            checksum = found
        elif (started := self._find_beginning(base)) is not None:
            checksum = started
        else:
            # Raises Invalid where it is no refspec at all.
            names.parse_refspec(base)
            raise refs.unknown(base, self._repo.path)
        for _ in range(len(rev) - len(base)):
            parent = self._repo.load_commit(checksum).parent
            if parent is None:
                raise NotFound(f"Commit {checksum} has no parent")
            checksum = parent
        return checksum

    def _find_beginning(self, text: str) -> Checksum | None:
        if not 2 <= len(text) < 64 or text.strip("0123456789abcdef"):
            return None
        found = reading.names(text[:2], self._repo.objects_fd)
        commits = [text[:2] + end[:-7] for end in found if end.startswith(text[2:]) and end.endswith(".commit")]
        if len(commits) > 1:
            raise Invalid(f"Refspec {text} is not unique: {len(commits)} commits begin with it")
        if not commits and self._repo.above is not None:
            return self._repo.above._find_beginning(text)
        return checksums.parse_checksum(commits[0]) if commits else None
