"""Dates as people write them on the command line."""

import re
from contextlib import suppress
from datetime import datetime, timedelta

from larix.errors import Invalid

UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
UNITS |= {"fortnight": 14 * 86400}
WORDS = {"now": 0, "today": 0, "yesterday": 86400}
WRITTEN = ["%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y"]
AGO = re.compile(rf"(\d{{1,9}}|an?) ({'|'.join(UNITS)}|month|year)s? ago")


def parse_date(text: str, now: datetime | None = None) -> int:
    """Seconds since 1970, below 0 for a time before. A date without an offset is in local time.

    `2026-01-31 12:00:00 +0100`, `@SECONDS`, `yesterday`, `3 weeks ago`, `January 31 2026`. Raises Invalid.
    """
    if re.fullmatch(r"@-?\d{1,15}", text):
        return int(text[1:])
    words = " ".join(text.lower().split())
    now = now or datetime.now().astimezone()
    try:
        if words in WORDS:
            date = now - timedelta(seconds=WORDS[words])
        elif (ago := AGO.fullmatch(words)) is not None:
            date = _back(now, int(ago[1]) if ago[1].isdecimal() else 1, ago[2])
        elif (written := _written_out(words)) is not None:
            date = written
        else:
            date = datetime.fromisoformat(re.sub(r"\s+(?=[-+]\d|Z$|UTC$)", "", text.strip()).replace("UTC", "Z"))
        seconds = int(date.timestamp())
    except (ValueError, OverflowError):
        raise Invalid(
            f"Could not parse '{text}' as a date; write 2026-01-31 12:00:00 +0100, @SECONDS or '3 weeks ago'"
        ) from None
    return seconds


def _written_out(words: str) -> datetime | None:
    """With the name of the month, in the orders that people use."""
    for form in WRITTEN:
        for clock in "", " %H:%M", " %H:%M:%S", " %H:%M:%S %z":
            with suppress(ValueError):
                return datetime.strptime(words.replace(",", ""), form + clock)
    return None


def _back(now: datetime, count: int, unit: str) -> datetime:
    if unit in UNITS:
        return now - timedelta(seconds=count * UNITS[unit])
    months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
    # A day that the month has not is one of the month after, as GNU date has it.
    first = now.replace(year=months // 12, month=months % 12 + 1, day=1)
    return first + timedelta(days=now.day - 1)
