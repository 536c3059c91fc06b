"""Showing how far a command is: one line on a terminal, which is gone at the end, or JSON for programs.

Both go to stderr, for what a command prints on stdout is its result.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from larix.cli.options import Parser
from larix.cli.output import size as size_text
from larix.progress import NO_PROGRESS, Counting, Progress, Step

CLEAR = "\r\x1b[K"
KINDS = ("auto", "text", "json", "none")


def add_progress(parser: Parser) -> None:
    parser.add_argument(
        "--progress",
        choices=KINDS,
        default="auto",
        metavar="KIND",
        help="Tell on stderr how far it is: text, json (an object in each line) or none (default: text on a terminal)",
    )


@contextmanager
def progress_of(args: argparse.Namespace) -> Iterator[Progress]:
    """Show the progress of one command; with its end nothing of it is left on the terminal."""
    shown: Counting | None = None
    if args.progress == "json":
        shown = JsonLines()
    elif args.progress == "text" or (args.progress == "auto" and sys.stderr.isatty()):
        shown = Line()
    if shown is None:
        yield NO_PROGRESS
        return
    if (milliseconds := getattr(args, "update_frequency", None)) is not None:
        shown.interval = milliseconds / 1000
    try:
        yield shown
    finally:
        shown.end()


class Line(Counting):
    """Written over itself, no longer than the terminal is wide."""

    def show(self, step: Step, *, ended: bool) -> None:
        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except OSError:
            width = 80
        sys.stderr.write(CLEAR if ended else f"{CLEAR}{line_of(step)[: width - 1]}")
        sys.stderr.flush()


class JsonLines(Counting):
    """`left` is null, and totals are what is known so far, as long as `known` is false."""

    def show(self, step: Step, *, ended: bool) -> None:
        left = step.left
        value = {
            "step": step.what,
            "objects": step.objects,
            "objects_total": step.objects_total,
            "bytes": step.size,
            "bytes_total": step.size_total,
            "known": step.is_known,
            "seconds": round(step.seconds, 3),
            "bytes_per_second": round(step.rate),
            "seconds_left": None if left is None else round(left, 1),
            "ended": ended,
        }
        sys.stderr.write(json.dumps(value) + "\n")
        sys.stderr.flush()


def line_of(step: Step) -> str:
    if not step.objects and not step.objects_total:
        return f"{step.what}…"
    more = "" if step.is_known else "+"
    of = f"/{step.objects_total:,}{more}" if step.objects_total else ""
    parts = [f"{step.what} {step.objects:,}{of} objects"]
    if step.size:
        parts.append(size_text(step.size) + (f" of {size_text(step.size_total)}" if step.size_total else ""))
        if step.seconds >= 1:
            parts.append(f"{size_text(round(step.rate))}/s")
    if step.left is not None and step.seconds >= 1:
        parts.append(f"{duration(step.left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
