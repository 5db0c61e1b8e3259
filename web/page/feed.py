"""What the page says of the iCalendar feed. Pure."""

from dataclasses import dataclass

from outbox.connections import JobFilter
from web.feed.feeds import FeedView, NewFeed

SHOWS: dict[JobFilter, str] = {"all": "All jobs", "assigned": "Jobs assigned to me"}
"""Which jobs a feed shows, as the preferences put it."""


@dataclass(frozen=True, slots=True)
class FeedSection:
    """The section about the feed.

    Attributes:
        feed: the feed; None if there is none.
        new: the feed with its address, on the one page that shows it.
        shows: which jobs are in it.
        chooses_filter: the choice is made here, because the page has no preferences, which hold for the feed too.
    """

    feed: FeedView | None
    new: NewFeed | None
    shows: str
    chooses_filter: bool


def view_feed(feed: FeedView | None, new: NewFeed | None, *, preferences: bool) -> FeedSection:
    """The section; `preferences`: whether the page shows those of a connection."""
    known = feed if new is None else new.feed
    return FeedSection(
        feed=known,
        new=new,
        shows=SHOWS[known.job_filter] if known is not None else "",
        chooses_filter=not preferences,
    )
