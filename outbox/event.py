"""What a job looks like in a calendar: the same job gives the same event, character by character."""

from collections.abc import Iterator
from decimal import Context, Decimal
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from outbox.payload import Item, Job
from outbox.schedule import AllDay, Moment, Schedule, schedule
from outbox.text import clean_line, clean_lines, clip

SUMMARY_LIMIT = 300
"""Characters of a title; Google documents no limit."""

LOCATION_LIMIT = 500
"""Characters of a location; Google documents no limit."""

DESCRIPTION_LIMIT = 8000
"""Characters of a description with its markup; about 8,192 is where Google is said to cut."""

NOTES_LIMIT = 500
"""Characters of the manifest's notes before they are escaped."""

ITEMS_SHOWN = 10
"""Lines of the manifest that are listed; the rest is counted."""

_TWENTY_DIGITS = Context(prec=20)

_WIDENED_TIMES = "Note: the delivery ends before it starts; shown with one hour from the start."
_WIDENED_DAYS = "Note: the last day is before the first; shown on the first day."


class CalendarEvent(NamedTuple):
    """An event as people see it, in no provider's terms.

    `job_number`, `summary` and `location` are plain single lines, `description` is HTML, `url` leads to the job. `text`
    is what the description says, plain and without its link.
    """

    job_number: str
    summary: str
    description: str
    location: str | None
    start: Moment
    end: Moment
    url: str
    text: str = ""


def render(job: Job, *, job_url: str) -> CalendarEvent | None:
    """The job's event; None if the job is unscheduled.

    The description always ends with the link; a `job_url` of up to 6,000 characters, escaped, leaves it
    within its limit.
    """
    when = schedule(job)
    return None if when is None else render_at(job, when, job_url=job_url)


def render_at(job: Job, when: Schedule, *, job_url: str) -> CalendarEvent:
    """The job's event, as `render`, at the times that are known already."""
    text, description = _description(job, when, job_url)
    return CalendarEvent(
        job_number=clean_line(job.job_number),
        summary=_summary(job),
        description=description,
        location=_location(job),
        start=when.start,
        end=when.end,
        url=job_url,
        text=text,
    )


def job_url(template: str, job_id: str) -> str:
    """The deep link: the template with `{job_id}` replaced by the percent-encoded id."""
    return template.replace("{job_id}", quote(job_id, safe=""))


def _summary(job: Job) -> str:
    parts = [clean_line(job.job_number), *(clean_line(leg.summary) for leg in job.legs)]
    return clip(" · ".join(filter(None, parts)), SUMMARY_LIMIT)


def _location(job: Job) -> str | None:
    first = next((stop for leg in job.legs for stop in leg.stops), None)
    return clip(clean_line(first.address), LOCATION_LIMIT) or None if first else None


def _description(job: Job, when: Schedule, url: str) -> tuple[str, str]:
    """The fullest text that fits, and with markup and link: items give way first, then the notes, the link never."""
    link = f'<a href="{escape(url)}">Open job {escape(clean_line(job.job_number))}</a>'
    lines = [line for item in job.manifest.items if (line := _item_line(item))]
    notes = clean_lines(job.manifest.notes)
    remark = _remark(when)
    for shown, notes_limit in _concessions(len(lines)):
        text = "\n".join(line for line in (*_listed(lines, shown), clip(notes, notes_limit), remark) if line)
        description = f"{escape(text)}\n\n{link}" if text else link
        if len(description) <= DESCRIPTION_LIMIT:
            return text, description
    return "", link


def _concessions(items: int) -> Iterator[tuple[int, int]]:
    """How many items to list and how many characters of notes to keep: all that is wanted, then ever less."""
    for shown in range(min(items, ITEMS_SHOWN), -1, -1):
        yield shown, NOTES_LIMIT
    for notes_limit in range(NOTES_LIMIT - 1, 0, -1):
        yield 0, notes_limit


def _listed(lines: list[str], shown: int) -> list[str]:
    rest = len(lines) - shown
    if not rest:
        return lines
    noun = "item" if rest == 1 else "items"
    return [*lines[:shown], f"• and {rest} more {noun}" if shown else f"• {rest} {noun}"]


def _item_line(item: Item) -> str:
    """An item as a line; empty if nothing of it is known."""
    parts = (_number(item.quantity), clean_line(item.unit), clean_line(item.description))
    weight = f"{_number(item.weight_kg)} kg" if item.weight_kg is not None else ""
    line = ", ".join(filter(None, (" ".join(filter(None, parts)), weight)))
    return f"• {line}" if line else ""


def _number(number: Decimal | None) -> str:
    """The number as it was sent, without a fraction of zero; with an exponent only where the digits fill no line."""
    if number is None:
        return ""
    number = _TWENTY_DIGITS.create_decimal(number)
    if not -10 < number.adjusted() < 20:
        return str(number)
    digits = f"{number:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _remark(when: Schedule) -> str:
    if not when.widened:
        return ""
    return _WIDENED_DAYS if isinstance(when.end, AllDay) else _WIDENED_TIMES
