"""Where things are."""

from web.return_to import PAGE

__all__ = ["API", "DESCRIPTION", "FEED", "FEEDS", "PAGE"]

API = "/api/v1/integrations/google-calendar"
"""The prefix of the user's connection."""

FEED = "/api/v1/calendar-feed"
"""The user's iCalendar feed, to make and to end."""

FEEDS = "/calendar-feeds"
"""The prefix of the feeds themselves."""

DESCRIPTION = "/api/v1/openapi.json"
"""The description of the API."""
