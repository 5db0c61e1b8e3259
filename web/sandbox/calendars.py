"""Calendar v3 in memory: accounts, calendars, access and events. No I/O; not thread-safe, the caller holds one lock."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from web.sandbox.bodies import check_id, merge_patch, parse_write
from web.sandbox.errors import ApiError, invalid_parameter, not_found, precondition_failed
from web.sandbox.events import Content, Event, Resource, Write, deleted, made_id, rewritten
from web.sandbox.listing import Params, flag, list_page, page_size, parse_query
from web.sandbox.model import (
    HTML_LINK_BASE,
    Calendar,
    Member,
    Role,
    calendar_resource,
    event_resource,
    list_entry,
    writable,
)
from web.sandbox.times import rfc3339, zone_named

Clock = Callable[[], datetime]
"""Tells the time, aware."""


class Calendars:
    """Everything Google would hold about calendars. Bodies and answers are JSON objects in Google's form.

    Methods raise ApiError where Google refuses; a refused call has changed nothing.
    """

    def __init__(self, clock: Clock, link_base: str = HTML_LINK_BASE) -> None:
        self._clock = clock
        self._link_base = link_base
        self._calendars: dict[str, Calendar] = {}
        self._accounts: set[str] = set()
        self._version = 0
        self._ordinal = 0

    # Accounts, calendars and access

    def add_account(self, account: str, time_zone: str = "UTC", name: str = "") -> None:
        """Make an account (an e-mail address) with its primary calendar; an account that is there keeps what it has."""
        self._accounts.add(account)
        if account not in self._calendars:
            self.add_calendar(account, name or account, time_zone, owner=account)

    def add_calendar(self, calendar_id: str, summary: str, time_zone: str = "UTC", *, owner: str = "") -> None:
        """Make a calendar, empty of members but its owner; one that is there keeps all and takes the title and zone."""
        zone = zone_named(time_zone, "the calendar")
        calendar = self._calendars.get(calendar_id)
        if calendar is None:
            calendar = Calendar(calendar_id, summary, zone, self._next_ordinal(), data_owner=owner)
            self._calendars[calendar_id] = calendar
        calendar.summary, calendar.zone, calendar.version = summary, zone, self._next_version()
        if owner and owner not in calendar.members:
            self.share(calendar_id, owner, Role.OWNER)

    def share(
        self, calendar_id: str, account: str, role: Role, *, hidden: bool = False, summary_override: str = ""
    ) -> None:
        """Give `account` that role on the calendar and an entry in its calendar list."""
        member = Member(role, self._next_version(), hidden, summary_override)
        self._existing(calendar_id).members[account] = member

    def unshare(self, calendar_id: str, account: str) -> None:
        """Take the calendar from `account`."""
        self._existing(calendar_id).members.pop(account, None)

    def delete_calendar(self, calendar_id: str) -> None:
        """Remove the calendar with everything on it."""
        self._existing(calendar_id)
        del self._calendars[calendar_id]

    def has_account(self, account: str) -> bool:
        """Whether the account was made."""
        return account in self._accounts

    @property
    def version(self) -> int:
        """Rises with every change."""
        return self._version

    def accounts(self) -> list[str]:
        """The accounts, sorted."""
        return sorted(self._accounts)

    def __iter__(self) -> Iterator[Calendar]:
        """The calendars in the order they were made."""
        return iter(list(self._calendars.values()))

    def __contains__(self, calendar_id: object) -> bool:
        return calendar_id in self._calendars

    def role(self, account: str, calendar_id: str) -> Role:
        """The role of `account` on the calendar; 404 where it has none."""
        return self._open(account, calendar_id, Role.FREE_BUSY_READER)[1].role

    # calendarList and calendars

    def list_calendars(self, account: str, params: Params) -> Resource:
        """calendarList.list."""
        least = params.get("minAccessRole", [str(Role.FREE_BUSY_READER)])[-1]
        if least not in set(Role):
            raise invalid_parameter("minAccessRole", least)
        hidden = flag(params, "showHidden")
        token = params.get("pageToken", ["-1"])[-1]
        if not token.removeprefix("-").isdigit():
            raise invalid_parameter("pageToken", token)
        mine = [
            calendar
            for calendar in self._calendars.values()
            if (member := calendar.members.get(account))
            and member.role.allows(Role(least))
            and (hidden or not member.hidden)
        ]
        ahead = [calendar for calendar in mine if calendar.ordinal > int(token)]
        limit = page_size(params, 100, 250)
        answer: Resource = {
            "kind": "calendar#calendarList",
            "etag": f'"p{self._version:015d}"',
            "items": [list_entry(calendar, account) for calendar in ahead[:limit]],
        }
        if len(ahead) > limit:
            answer["nextPageToken"] = str(ahead[limit - 1].ordinal)
        return answer

    def get_list_entry(self, account: str, calendar_id: str) -> Resource:
        """calendarList.get."""
        return list_entry(self._open(account, calendar_id, Role.FREE_BUSY_READER)[0], account)

    def get_calendar(self, account: str, calendar_id: str) -> Resource:
        """calendars.get."""
        return calendar_resource(self._open(account, calendar_id, Role.FREE_BUSY_READER)[0])

    # events

    def insert(self, account: str, calendar_id: str, body: Resource) -> Resource:
        """events.insert."""
        calendar, member = self._open_to_write(account, calendar_id)
        chosen = check_id(body)
        write = parse_write(merge_patch({}, body), calendar.zone)
        self._check_private(member, write.content)
        ical_uid = str(body.get("iCalUID") or "")
        if chosen in calendar.events or (ical_uid and any(e.ical_uid == ical_uid for e in calendar.events.values())):
            raise ApiError(409, "duplicate")
        ordinal, now = self._next_ordinal(), self._now()
        event_id = chosen or made_id(calendar.id, ordinal)
        event = Event(
            id=event_id,
            ical_uid=ical_uid or f"{event_id}@google.com",
            ordinal=ordinal,
            creator=account,
            created=now.replace(microsecond=0),
            updated=now,
            version=self._version + 1,
            sequence=write.sequence or 0,
            content=write.content,
            reminders={account: write.reminders} if write.reminders else {},
        )
        return self._store(calendar, event, account)

    def get(self, account: str, calendar_id: str, event_id: str, time_zone: str = "") -> Resource:
        """events.get; a deleted event is answered too, `cancelled`."""
        calendar, _ = self._open(account, calendar_id, Role.FREE_BUSY_READER)
        zone = zone_named(time_zone, "timeZone") if time_zone else calendar.zone
        return event_resource(calendar, self._event(calendar, event_id), account, zone, self._link_base)

    def update(self, account: str, calendar_id: str, event_id: str, body: Resource, if_match: str = "") -> Resource:
        """events.update: the body replaces the whole event, revives a deleted one, and clears what it omits."""
        calendar, member, event = self._event_to_write(account, calendar_id, event_id, if_match)
        return self._rewrite(calendar, member, event, account, parse_write(merge_patch({}, body), calendar.zone))

    def patch(self, account: str, calendar_id: str, event_id: str, body: Resource, if_match: str = "") -> Resource:
        """events.patch: only what the body names changes."""
        calendar, member, event = self._event_to_write(account, calendar_id, event_id, if_match)
        merged = merge_patch(writable(event, account, calendar.zone), body)
        return self._rewrite(calendar, member, event, account, parse_write(merged, calendar.zone))

    def delete(self, account: str, calendar_id: str, event_id: str, if_match: str = "") -> Resource:
        """events.delete; answers the event as it is left behind. 410 where it was deleted before.

        Of a deleted event that is named with an old etag Google's answer is not known; 410 is answered before 412.
        """
        calendar, _ = self._open_to_write(account, calendar_id)
        if self._event(calendar, event_id).cancelled:
            raise ApiError(410, "deleted")
        calendar, _, event = self._event_to_write(account, calendar_id, event_id, if_match)
        return self._store(calendar, deleted(event, self._now(), self._version + 1), account)

    def list(self, account: str, calendar_id: str, params: Params) -> Resource:
        """events.list."""
        calendar, member = self._open(account, calendar_id, Role.FREE_BUSY_READER)
        query = parse_query(params)
        zone = zone_named(params["timeZone"][-1], "timeZone") if "timeZone" in params else calendar.zone
        page = list_page(calendar.events.values(), query, calendar.zone, self._version)
        events = (event_resource(calendar, event, account, zone, self._link_base) for event in page.events)
        answer: Resource = {
            "kind": "calendar#events",
            "etag": calendar.etag,
            "summary": calendar.summary,
            "updated": rfc3339(max((e.updated for e in calendar.events.values()), default=self._now()), "milliseconds"),
            "timeZone": zone.key,
            "accessRole": str(member.role),
            "defaultReminders": list_entry(calendar, account)["defaultReminders"],
            "items": list(events),
        }
        if page.next_page_token:
            answer["nextPageToken"] = page.next_page_token
        if page.next_sync_token:
            answer["nextSyncToken"] = page.next_sync_token
        return answer

    # How a write is made

    def _rewrite(self, calendar: Calendar, member: Member, event: Event, account: str, write: Write) -> Resource:
        self._check_private(member, write.content)
        return self._store(calendar, rewritten(event, write, account, self._now(), self._version + 1), account)

    def _store(self, calendar: Calendar, event: Event, account: str) -> Resource:
        calendar.events[event.id] = event
        self._version = max(self._version, event.version)
        calendar.version = max(calendar.version, event.version)
        return event_resource(calendar, event, account, calendar.zone, self._link_base)

    # Access

    def _existing(self, calendar_id: str) -> Calendar:
        if calendar_id not in self._calendars:
            raise not_found()
        return self._calendars[calendar_id]

    def _open(self, account: str, calendar_id: str, needed: Role) -> tuple[Calendar, Member]:
        calendar = self._existing(account if calendar_id == "primary" else calendar_id)
        member = calendar.members.get(account)
        if member is None:
            raise not_found()
        if not member.role.allows(needed):
            raise ApiError(403, "requiredAccessLevel")
        return calendar, member

    def _open_to_write(self, account: str, calendar_id: str) -> tuple[Calendar, Member]:
        return self._open(account, calendar_id, Role.WRITER_WITHOUT_PRIVATE_ACCESS)

    def _event(self, calendar: Calendar, event_id: str) -> Event:
        if event_id not in calendar.events:
            raise not_found()
        return calendar.events[event_id]

    def _event_to_write(
        self, account: str, calendar_id: str, event_id: str, if_match: str
    ) -> tuple[Calendar, Member, Event]:
        calendar, member = self._open_to_write(account, calendar_id)
        event = self._event(calendar, event_id)
        self._check_private(member, event.content)
        if if_match and not etag_matches(if_match, event.etag):
            raise precondition_failed()
        return calendar, member, event

    def _check_private(self, member: Member, content: Content) -> None:
        if content.is_private and not member.role.allows(Role.WRITER):
            raise ApiError(403, "requiredAccessLevel")

    def _now(self) -> datetime:
        now = self._clock().astimezone(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _next_ordinal(self) -> int:
        self._ordinal += 1
        return self._ordinal


def etag_matches(condition: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match header names the etag."""
    return condition.strip() == "*" or etag in [candidate.strip() for candidate in condition.split(",")]
