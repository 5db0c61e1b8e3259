"""Office users with Google accounts of their own, by short names, and the exact content of every calendar they see."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from outbox.pusher import LEASE_SECONDS
from tests.integration.conftest import Engine, World, job
from tests.integration.steps import InterruptedGoogle, choose, grant, lane_pusher, lease_one
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

Agenda = dict[str, dict[str, dict[str, Any]]]
"""By calendar and title: when, where, and what the user made of it."""

ADDRESS = "1201 Main St, Dallas"

USERS_FIELDS = ("attendees", "colorId", "visibility")


class Killed(BaseException):
    """The daemon dies here. No handler of the engine's may see it, so it is no Exception."""


def on(day: int, **users: Any) -> dict[str, Any]:
    """A job's event on that day of March, with what its user made of it."""
    return {"start": f"03-{day:02} 08:00", "end": f"03-{day:02} 18:00", "location": ADDRESS, **users}


def private(day: int) -> dict[str, Any]:
    """A user's own event on that day, as `Office.note` makes it."""
    when = f"03-{day:02} 12:00"
    return {"start": when, "end": when.replace("12:00", "13:00"), "busy": True}


def haul(number: int, day: int, **changes: Any) -> dict[str, Any]:
    """Job `J-<number>` from morning to evening of that day of March."""
    leg = {
        "dispatch_window": {"start": f"2027-03-{day:02}T08:00:00-06:00", "end": None},
        "delivery_window": {"start": None, "end": f"2027-03-{day:02}T18:00:00-06:00"},
        "stops": [{"kind": "pickup", "address": ADDRESS}],
    }
    return job(f"J-{number}", **{"legs": [leg], **changes})


class Office:
    """Users of one tenant. A user, the account and its primary calendar have one name; others have theirs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ids: dict[str, str] = {}
        self._accounts: list[str] = []

    def account(self, name: str, *calendars: str) -> None:
        """A Google account with its primary calendar and others; a name used twice is a shared calendar."""
        self._accounts.append(name)
        self._ids |= {each: f"{each}-{self.world.tenant}@example.com" for each in (name, *calendars)}
        specs = tuple(CalendarSpec(id=self._ids[calendar], summary=calendar) for calendar in calendars)
        self.world.google.add_account(AccountSpec(email=self._ids[name], calendars=specs))

    def id(self, name: str) -> str:
        """An account's address, or a calendar's id."""
        return self._ids[name]

    def connect(self, name: str, calendar: str | None = None) -> None:
        """Go through consent, and choose a calendar: the primary one unless another is named."""
        assert grant(self.world, name, self.id(name)) == "choose_calendar"
        self.choose(name, calendar or name)

    def choose(self, name: str, calendar: str) -> None:
        """Choose a calendar."""
        choose(self.world, name, self.id(calendar))

    def want(self, name: str, job_filter: str) -> None:
        """Set the filter."""
        self.world.caller(name).ask("PATCH", API, {"job_filter": job_filter})

    def disconnect(self, name: str, *, remove_events: bool) -> dict[str, Any]:
        """Disconnect; what the app answers."""
        return self.world.caller(name).ask("POST", f"{API}/disconnect", {"remove_events": remove_events})

    def sees(self, name: str, *fields: str) -> tuple[Any, ...]:
        """What the settings page tells the user of the connection."""
        told = self.world.caller(name).ask("GET", API)
        return tuple(told[field] for field in fields)

    def commit(self, number: int, day: int, **changes: Any) -> None:
        """The job is on that day now."""
        self.world.commit(f"job_{number}", haul(number, day, **changes))

    def cancel(self, number: int) -> None:
        """The job is off."""
        self.world.commit(f"job_{number}", {}, "job.cancelled")

    def note(self, name: str, calendar: str, title: str, day: int, **fields: Any) -> None:
        """The user puts an event of his own into a calendar."""
        body = {
            "summary": title,
            "start": {"dateTime": f"2027-03-{day:02}T12:00:00-06:00"},
            "end": {"dateTime": f"2027-03-{day:02}T13:00:00-06:00"},
            **fields,
        }
        self._google("POST", name, f"calendars/{self.id(calendar)}/events", body)

    def event(self, name: str, calendar: str, title: str) -> dict[str, Any]:
        """The event of that title."""
        [found] = [event for event in self._events(name, calendar) if event["summary"] == title]
        return found

    def edit(self, name: str, calendar: str, title: str, **patch: Any) -> None:
        """The user changes an event in Google."""
        self._in_google("user-edit", name, calendar, title, patch=patch)

    def delete(self, name: str, calendar: str, title: str) -> None:
        """The user deletes an event in Google."""
        self._in_google("user-delete", name, calendar, title)

    def share(self, calendar: str, name: str, role: str | None) -> None:
        """The account has another role on the calendar, or none."""
        body = {"account": self.id(name), "role": role}
        self.world.google.control("POST", f"calendars/{self.id(calendar)}/role", body)

    def delete_calendar(self, calendar: str) -> None:
        """The calendar's owner deletes it in Google, with everything on it."""
        self.world.google.control("POST", f"calendars/{self.id(calendar)}/delete")

    def agenda(self) -> Agenda:
        """Everything in every calendar of every account, our events and others alike."""
        names = {calendar_id: name for name, calendar_id in self._ids.items()}
        found: Agenda = {}
        for name in self._accounts:
            for entry in self._calendar_list(name):
                calendar = names[entry["id"]]
                if calendar not in found and entry["accessRole"] != "freeBusyReader":
                    found[calendar] = _by_title(self._events(name, calendar))
        return found

    def kill_daemon_after_first_write(self, engine: Engine) -> None:
        """A daemon takes up the one lane that is due and dies before it knows what came of its first write."""

        def die() -> None:
            raise Killed

        with (
            lane_pusher(self.world, engine, InterruptedGoogle(self.world, after=die)) as pusher,
            pytest.raises(Killed),
        ):
            pusher.push(lease_one(engine))

    def wake_next_daemon(self, engine: Engine) -> None:
        """The dead one's lease has run out, and nothing that it sent can still arrive."""
        self.world.advance(LEASE_SECONDS + 60)
        assert engine.janitor.expire_leases() == 1
        engine.sync()

    def _in_google(self, control: str, name: str, calendar: str, title: str, **more: Any) -> None:
        event = {"calendar": self.id(calendar), "event": self.event(name, calendar, title)["id"]}
        self.world.google.control("POST", control, {"account": self.id(name), **event, **more})

    def _calendar_list(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._google("GET", name, "users/me/calendarList")["items"]
        return found

    def _events(self, name: str, calendar: str) -> list[dict[str, Any]]:
        return self.world.events(self.id(calendar), self.id(name))

    def _google(self, method: str, name: str, path: str, body: object = None) -> dict[str, Any]:
        """What the user's own apps ask of Google."""
        url = f"{self.world.google.calendar_url}/{path}"
        token = self.world.google.user_token(self.id(name))
        answer = requests.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content


def _by_title(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {event["summary"]: _told(event) for event in events}
    assert len(found) == len(events), f"something stands twice: {sorted(event['summary'] for event in events)}"
    return found


def _told(event: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"start": _local(event["start"]), "end": _local(event["end"])}
    told |= {name: event[name] for name in ("location", *USERS_FIELDS) if event.get(name)}
    if event.get("transparency") != "transparent":  # Google leaves out what is its default
        told["busy"] = True
    if "overrides" in event["reminders"]:  # each reader's own; without any they say nothing
        told["reminders"] = event["reminders"]["overrides"]
    return told


def _local(bound: dict[str, Any]) -> str:
    return datetime.fromisoformat(bound["dateTime"]).astimezone(ZoneInfo("America/Chicago")).strftime("%m-%d %H:%M")
