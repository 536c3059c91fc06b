"""Dates as people write them on the command line."""

import re
import time
from contextlib import suppress
from datetime import datetime, timedelta

from larix.errors import Invalid

UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
UNITS |= {"fortnight": 14 * 86400}
WORDS = {"now": 0, "today": 0, "yesterday": 86400}
WRITTEN = ["%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y"]
# What `date` prints in English, with 12 hours or 24, and what RFC 2822 and `date -R` have.
MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
DAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun),? )?"
CLOCK = r"(?P<hour>\d\d):(?P<rest>\d\d(?::\d\d)?)(?: (?P<half>[ap])m)?"
ZONE = r"(?P<zone>[-+]\d{4}|[a-z]{1,5})"
PRINTED = re.compile(rf"{DAY}(?P<month>{MONTH}) (?P<day>\d\d?) {CLOCK} {ZONE} (?P<year>\d{{4}})")
RFC = re.compile(rf"{DAY}(?P<day>\d\d?) (?P<month>{MONTH}) (?P<year>\d{{4}}) {CLOCK} {ZONE}")
# Of RFC 2822.
ZONES = {"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500"}
ZONES |= {"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700"}
AGO = re.compile(rf"(\d{{1,9}}|an?) ({'|'.join(UNITS)}|month|year)s? ago")


def parse_date(text: str, now: datetime | None = None) -> int:
    """Return seconds since 1970, below 0 for a time before. A date without an offset is in local time.

    `2026-01-31 12:00:00 +0100`, `@SECONDS`, `yesterday`, `3 weeks ago`, `January 31 2026`, and what `date`
    and `date -R` print. Raises Invalid.
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
        elif (printed := PRINTED.fullmatch(words) or RFC.fullmatch(words)) is not None:
            date = _printed(printed)
        elif (written := _written_out(words)) is not None:
            date = written
        else:
            date = datetime.fromisoformat(re.sub(r"\s+(?=[-+]\d|Z$|UTC$)", "", text.strip()).replace("UTC", "Z"))
        seconds = int(date.timestamp())
    except (ValueError, KeyError, OverflowError):
        raise Invalid(
            f"Could not parse '{text}' as a date; write 2026-01-31 12:00:00 +0100, @SECONDS or '3 weeks ago'"
        ) from None
    return seconds


def _printed(found: re.Match[str]) -> datetime:
    """Raises ValueError, KeyError."""
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if found["half"] == "p" else 0)
    text, zone = f"{found['day']} {found['month']} {found['year']} {hour}:{found['rest']}", found["zone"].upper()
    clock = "%H:%M:%S" if ":" in found["rest"] else "%H:%M"
    if zone in time.tzname and zone not in ("UT", "UTC", "GMT"):
        # That of our own time, in winter or in summer, though another may be called so too.
        date = datetime.strptime(text, f"%d %b %Y {clock}")
        return datetime.fromtimestamp(time.mktime((*date.timetuple()[:8], time.tzname.index(zone)))).astimezone()
    if zone[0] not in "+-":
        zone = ZONES[zone]
    return datetime.strptime(f"{text} {zone}", f"%d %b %Y {clock} %z")


def _written_out(words: str) -> datetime | None:
    """Return a date with the name of the month, in the orders that people use."""
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
