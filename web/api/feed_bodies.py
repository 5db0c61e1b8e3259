"""What the API takes and gives about the iCalendar feed."""

from datetime import datetime

from pydantic import Field

from outbox.connections import JobFilter
from web.api.bodies import Answer, Request
from web.feed import feeds


class FeedRequest(Request):
    """What the feed is to show."""

    job_filter: JobFilter = Field(
        default="all",
        description="Which jobs the feed shows. Left out: those that it showed before, at first the connection's.",
        examples=["assigned"],
    )


class Feed(Answer):
    """The user's iCalendar feed, if there is one. Its address is told once, when it is made."""

    exists: bool
    job_filter: JobFilter | None = Field(
        description="Which jobs it shows. It follows the connection's filter whenever that is set."
    )
    created_at: datetime | None = Field(description="Since when its present address works.")
    last_fetched_at: datetime | None = Field(description="When it was fetched there last, to about ten minutes.")

    @classmethod
    def of(cls, feed: feeds.FeedView | None) -> "Feed":
        """The body for a feed, or for none."""
        if feed is None:
            return cls(exists=False, job_filter=None, created_at=None, last_fetched_at=None)
        return cls(
            exists=True,
            job_filter=feed.job_filter,
            created_at=feed.created_at,
            last_fetched_at=feed.last_fetched_at,
        )


class NewFeed(Answer):
    """A feed's new address. Whoever has it can read the feed, and it is not told again."""

    url: str
    webcal_url: str | None = Field(
        description="The same address, as calendar apps open it by themselves; null where it names a port."
    )
    job_filter: JobFilter
    created_at: datetime

    @classmethod
    def of(cls, made: feeds.NewFeed) -> "NewFeed":
        """The body for an address that was just made."""
        return cls(
            url=made.url,
            webcal_url=made.webcal_url,
            job_filter=made.feed.job_filter,
            created_at=made.feed.created_at,
        )
