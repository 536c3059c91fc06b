"""larix df"""

import argparse

from larix.cli.json import print_json
from larix.cli.options import Parser, add_json, add_repo, open_repo
from larix.cli.output import size, tell_passed_over
from larix.cli.progress import add_progress, progress_of
from larix.ops.usage import Amount, RefUsage, Usage, measure_usage
from larix.repo.refs import unknown

TITLES = ("REF", "USED", "SHARED", "EXCLUSIVE")


def configure(parser: Parser) -> None:
    add_repo(parser)
    add_json(parser)
    add_progress(parser)
    parser.add_argument("refs", metavar="REF", nargs="*", default=[], help="Print only these (default: all)")


def run(args: argparse.Namespace) -> None:
    with open_repo(args) as repo, progress_of(args) as progress:
        usage = measure_usage(repo, pass_over=tell_passed_over(repo), progress=progress)
    known = {one.ref: one for one in usage.refs}
    for ref in args.refs:
        if ref not in known:
            raise unknown(ref, repo.path)
    chosen = [known[ref] for ref in args.refs] if args.refs else usage.refs
    if args.json:
        print_json(_json(usage, chosen))
    else:
        _print(usage, chosen)


def _json(usage: Usage, chosen: list[RefUsage]) -> dict[str, object]:
    refs = [
        {
            "ref": one.ref,
            "commit": one.commit,
            "used": _amount(one.used),
            "shared": _amount(one.shared),
            "exclusive": _amount(one.exclusive),
        }
        for one in chosen
    ]
    return {"total": _amount(usage.total), "dangling": _amount(usage.dangling), "refs": refs}


def _amount(amount: Amount) -> dict[str, int]:
    return {"objects": amount.objects, "bytes": amount.size}


def _print(usage: Usage, chosen: list[RefUsage]) -> None:
    rows = [TITLES]
    for one in sorted(chosen, key=lambda one: -one.exclusive.size):
        rows.append((one.ref, size(one.used.size), size(one.shared.size), size(one.exclusive.size)))
    width = max(len(row[0]) for row in rows)
    for ref, *amounts in rows:
        print(f"{ref:{width}}" + "".join(f"{amount:>12}" for amount in amounts))
    print(f"{usage.total.objects} objects, {size(usage.total.size)}")
    if usage.dangling.objects:
        dangling = f"{usage.dangling.objects} objects, {size(usage.dangling.size)}"
        print(f"No ref leads to {dangling}; `prune --refs-only` deletes them")
