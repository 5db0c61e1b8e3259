"""The iCalendar feed: a user's jobs to subscribe to, for people without Google."""
