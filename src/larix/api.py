"""The public names of larix, each of which is `larix.NAME`. docs/api.md shows how they go together."""

from larix.errors import (
    Busy,
    Corrupt,
    Error,
    Failed,
    FetchFailed,
    Invalid,
    Moved,
    NoSpace,
    NotFound,
    Unsupported,
    Untrusted,
)
from larix.formats.checksum import Checksum
from larix.formats.content import FileHeader
from larix.formats.kargs import KernelArgs
from larix.formats.keyfile import KeyFile
from larix.formats.objects import Commit, DirMeta, DirTree, Metadata, ObjectName, ObjectType
from larix.gvariant import Variant
from larix.ops.checkout.labels import labels_of, labels_of_commit
from larix.ops.checkout.placing import CheckoutOptions, Overwrite
from larix.ops.checkout.verb import checkout
from larix.ops.commit.scan import ReadOptions, lay_directory
from larix.ops.commit.untar import ArchiveOptions, lay_archive
from larix.ops.commit.verb import (
    CommitOptions,
    Committed,
    FromArchive,
    FromCommit,
    FromDirectory,
    Layer,
    TreeOptions,
    commit,
    commit_directory,
    commit_tree,
)
from larix.ops.diff import Changes, commit_as_tree, diff, directory_as_tree
from larix.ops.export import ExportOptions, export
from larix.ops.fsck import Finding, FsckOptions, Report, Stage, Uses, check, check_all, fsck
from larix.ops.prune import PruneOptions, PrunePlan, delete_commit, plan_prune, prune
from larix.ops.summary import update_summary
from larix.ops.tree.directory import Directory, Stored, add_tree, lay_over, open_stored
from larix.ops.tree.modify import Modification, Modifier, Override
from larix.ops.tree.reach import history, reach
from larix.ops.tree.walk import Entry, children, find_path, find_root, walk
from larix.ops.usage import Amount, RefUsage, Usage, measure_usage
from larix.progress import NO_PROGRESS, Counting, Progress, Step
from larix.remote.http import HttpOptions
from larix.remote.measure import Cost
from larix.remote.open import Access
from larix.remote.pull import pull, pull_local, pull_remote
from larix.remote.puller import WHOLE_TREE, PullOptions
from larix.remote.repair import Repaired, fsck_and_repair
from larix.remote.repo_source import RepoSource
from larix.remote.source import Pulled, Source
from larix.repo.exclusive import Exclusive
from larix.repo.incoming import Counts
from larix.repo.partial import has_whole, is_damaged, is_partial
from larix.repo.remotes import Remote, add_remote, delete_remote, load_remote
from larix.repo.repo import Repo, RepoOptions
from larix.repo.revisions import Refs
from larix.repo.transaction import Transaction
from larix.sysroot.bootswap import write_deployments
from larix.sysroot.cleanup import CleanupPlan, cleanup, execute_cleanup, plan_cleanup
from larix.sysroot.deploy import Deployed, deploy, find_source
from larix.sysroot.deployment import Deployment, Target
from larix.sysroot.etcmerge import plan_commit
from larix.sysroot.etcplan import EtcPlan
from larix.sysroot.forecast import Forecast, forecast_upgrade
from larix.sysroot.make import DeployOptions
from larix.sysroot.origin import origin_of
from larix.sysroot.plan import KeepOptions
from larix.sysroot.stateroot import init_stateroot, init_sysroot
from larix.sysroot.sysroot import Sysroot, SysrootOptions
from larix.sysroot.upgrade import UpgradeOptions, find_switch, find_upgrade

# In the order in which one meets them.
__all__ = [  # noqa: RUF022
    # Errors
    "Busy",
    "Corrupt",
    "Error",
    "Failed",
    "FetchFailed",
    "Invalid",
    "Moved",
    "NoSpace",
    "NotFound",
    "Unsupported",
    "Untrusted",
    # What bytes mean
    "Checksum",
    "FileHeader",
    "KernelArgs",
    "KeyFile",
    "Commit",
    "DirMeta",
    "DirTree",
    "Metadata",
    "ObjectName",
    "ObjectType",
    "Variant",
    # How far it is
    "NO_PROGRESS",
    "Counting",
    "Progress",
    "Step",
    # A repo
    "Repo",
    "RepoOptions",
    "Refs",
    "is_partial",
    "is_damaged",
    "has_whole",
    "Transaction",
    "Exclusive",
    "Remote",
    "add_remote",
    "delete_remote",
    "load_remote",
    # Verbs
    "Directory",
    "Stored",
    "add_tree",
    "lay_over",
    "open_stored",
    "labels_of",
    "labels_of_commit",
    "Modifier",
    "Override",
    "Modification",
    "ReadOptions",
    "lay_directory",
    "ArchiveOptions",
    "lay_archive",
    "FromDirectory",
    "FromArchive",
    "FromCommit",
    "Layer",
    "TreeOptions",
    "CommitOptions",
    "Committed",
    "Counts",
    "commit",
    "commit_directory",
    "commit_tree",
    "checkout",
    "CheckoutOptions",
    "Overwrite",
    "Entry",
    "children",
    "find_path",
    "find_root",
    "walk",
    "history",
    "reach",
    "Changes",
    "commit_as_tree",
    "diff",
    "directory_as_tree",
    "ExportOptions",
    "export",
    "FsckOptions",
    "Report",
    "Stage",
    "Uses",
    "fsck",
    "Finding",
    "check",
    "check_all",
    "PruneOptions",
    "PrunePlan",
    "delete_commit",
    "plan_prune",
    "prune",
    "update_summary",
    "Amount",
    "RefUsage",
    "Usage",
    "measure_usage",
    # The other end
    "PullOptions",
    "pull",
    "pull_remote",
    "pull_local",
    "Access",
    "HttpOptions",
    "WHOLE_TREE",
    "Repaired",
    "fsck_and_repair",
    "Pulled",
    "Cost",
    "Source",
    "RepoSource",
    # A machine
    "init_stateroot",
    "init_sysroot",
    "Sysroot",
    "SysrootOptions",
    "Deployment",
    "origin_of",
    "Target",
    "UpgradeOptions",
    "find_switch",
    "find_upgrade",
    "Forecast",
    "forecast_upgrade",
    "DeployOptions",
    "find_source",
    "KeepOptions",
    "Deployed",
    "deploy",
    "write_deployments",
    "CleanupPlan",
    "plan_cleanup",
    "execute_cleanup",
    "cleanup",
    "EtcPlan",
    "plan_commit",
]
