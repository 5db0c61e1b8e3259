"""What a user can do with the connection, over the real app, a real Postgres and the sandbox."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from outbox.grants import Revocation
from outbox.statements import statement
from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.web_client import Site, acting, open_site
from web.capacity import GooglePlaces
from web.limits import LIMITS, Limit
from web.operations import Operations, PickerCalendar
from web.problem import Problem
from web.sandbox.model import Role
from web.sandbox.specs import AccountSpec, CalendarSpec

UUID = "7ada2c43-c0bc-4df3-bc3c-a3fff8977cb9"
"""Of no test push."""


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as opened:
        opened.app.services.stop.set()  # nobody waits to try again
        yield opened


@pytest.fixture
def operations(site: Site) -> Operations:
    return acting(site.app.services.operations)


@pytest.fixture
def ana(site: Site) -> User:
    return site.user("ana")


@pytest.fixture
def email() -> str:
    return f"ana-{uuid4().hex[:8]}@example.com"


def calendar(title: str, role: Role = Role.OWNER, *, override: str = "") -> CalendarSpec:
    return CalendarSpec(
        id=f"c_{uuid4().hex}@group.calendar.google.com", summary=title, role=role, summary_override=override
    )


def connect(site: Site, user: User, email: str, *calendars: CalendarSpec) -> None:
    """Connect with that account; no calendar is chosen yet."""
    site.world.google.add_account(AccountSpec(email=email, calendars=calendars))
    assert site.consent(user, email).endswith("connected=1")


def refused(operation: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Problem) as refusal:
        operation()
    assert refusal.value.title
    return refusal.value.status_code, refusal.value.code


def ids(calendars: list[PickerCalendar]) -> list[str]:
    return [calendar.id for calendar in calendars]


def test_writable_calendars_are_offered_by_the_users_own_names(
    site: Site, operations: Operations, ana: User, email: str
) -> None:
    renamed, shared = calendar("Zebra", override="Aardvark"), calendar("Board", Role.WRITER)
    holidays, half = calendar("Holidays", Role.READER), calendar("Half", Role.WRITER_WITHOUT_PRIVATE_ACCESS)
    connect(site, ana, email, shared, renamed, holidays, half)
    offered = operations.calendars(ana)
    assert [(one.id, one.name) for one in offered if one.id != half.id] == [
        (email, offered[0].name),
        (renamed.id, "Aardvark"),
        (shared.id, "Board"),
    ]
    assert [one.primary for one in offered].index(True) == 0
    assert not any(one.chosen or one.colleagues for one in offered)


def test_more_calendars_than_a_page_holds_are_all_offered(
    site: Site, operations: Operations, ana: User, email: str
) -> None:
    many = [calendar(f"Truck {number:03}") for number in range(260)]
    connect(site, ana, email, *many)
    assert ids(operations.calendars(ana)) == [email, *(one.id for one in many)]


def test_a_new_calendar_appears_without_a_reconnect(site: Site, operations: Operations, ana: User, email: str) -> None:
    connect(site, ana, email)
    fresh = calendar("Fresh")
    site.world.google.add_account(AccountSpec(email=f"colleague-{email}", calendars=(fresh,)))
    role = {"account": email, "role": "writer"}
    site.world.google.control("POST", f"calendars/{fresh.id}/role", role)
    assert ids(operations.calendars(ana)) == [email, fresh.id]
    assert operations.change(ana, calendar_id=fresh.id).calendar_name == "Fresh"


def test_the_picker_tells_what_is_chosen_and_what_colleagues_have(
    site: Site, operations: Operations, ana: User, email: str
) -> None:
    board = calendar("Board")
    connect(site, ana, email, board)
    bob, stranger = site.user("bob"), site.user("bob", tenant="another")
    connect(site, bob, f"bob-{email}", board)
    connect(site, stranger, f"stranger-{email}", board)
    operations.change(stranger, calendar_id=board.id)
    assert not any(one.colleagues for one in operations.calendars(ana))
    operations.change(bob, calendar_id=board.id)
    operations.change(ana, calendar_id=email)
    assert [(one.chosen, one.colleagues) for one in operations.calendars(ana)] == [(True, False), (False, True)]


def test_primary_is_stored_by_its_real_id(site: Site, operations: Operations, ana: User, email: str) -> None:
    connect(site, ana, email)
    assert operations.change(ana, calendar_id="primary").calendar_id == email


def test_the_name_is_googles_and_is_refreshed_by_choosing_again(
    world: World, site: Site, operations: Operations, ana: User, email: str
) -> None:
    board = calendar("Board")
    connect(site, ana, email, board)
    assert operations.change(ana, calendar_id=board.id).calendar_name == "Board"
    world.execute("UPDATE calendar_sync.calendar_connection SET calendar_name = 'Old'")
    assert operations.change(ana, calendar_id=board.id).calendar_name == "Board"


def test_a_lost_calendar_is_taken_again_by_choosing_it(
    world: World, site: Site, operations: Operations, ana: User
) -> None:
    chosen = site.connect(ana)
    world.execute("UPDATE calendar_sync.calendar_connection SET state = 'calendar_lost'")
    assert chosen in ids(operations.calendars(ana))
    assert operations.change(ana, calendar_id=chosen).state == "active"


@pytest.mark.parametrize(
    "foreign",
    [
        "nobody@example.com",
        "",
        ".",
        "..",
        "a/../b",
        "a b",
        "a\x00b",
        "\ud800",
        "x" * 1025,
        "x" * 1024,
        "../events",
        "?",
    ],
)
def test_an_id_that_is_not_in_the_users_list_is_unknown(
    site: Site, operations: Operations, ana: User, foreign: str
) -> None:
    chosen = site.connect(ana)
    assert refused(lambda: operations.change(ana, calendar_id=foreign, paused=True)) == (404, "unknown_calendar")
    now = operations.connection(ana)
    assert (now.calendar_id, now.paused) == (chosen, False)


def test_a_colleagues_calendar_that_is_not_shared_is_unknown(site: Site, operations: Operations, ana: User) -> None:
    site.connect(ana)
    theirs = site.connect(site.user("bob"))
    assert refused(lambda: operations.change(ana, calendar_id=theirs)) == (404, "unknown_calendar")


def test_a_calendar_to_read_only_cannot_be_chosen(site: Site, operations: Operations, ana: User, email: str) -> None:
    holidays = calendar("Holidays", Role.READER)
    connect(site, ana, email, holidays)
    assert refused(lambda: operations.change(ana, calendar_id=holidays.id)) == (422, "calendar_not_writable")
    assert operations.connection(ana).state == "choose_calendar"


def test_preferences_change_alone_and_together(site: Site, operations: Operations, ana: User) -> None:
    chosen = site.connect(ana)
    assert operations.change(ana, job_filter="assigned").job_filter == "assigned"
    paused = operations.change(ana, paused=True)
    assert (paused.state, paused.job_filter, paused.calendar_id) == ("paused", "assigned", chosen)
    resumed = operations.change(ana, paused=False, job_filter="all", calendar_id="primary")
    assert (resumed.state, resumed.job_filter, resumed.calendar_id) == ("active", "all", chosen)


def test_nothing_works_before_a_connection(operations: Operations, ana: User) -> None:
    assert operations.connection(ana).state == "not_connected"
    assert refused(lambda: operations.calendars(ana)) == (409, "not_connected")
    assert refused(lambda: operations.change(ana, calendar_id="primary")) == (409, "not_connected")
    assert refused(lambda: operations.change(ana, paused=True)) == (409, "not_connected")
    assert refused(lambda: operations.start_test_push(ana)) == (409, "not_active")
    assert refused(lambda: operations.resync(ana)) == (409, "not_active")
    assert operations.problems(ana) == []
    assert operations.latest_test_push(ana) is None
    assert operations.disconnect(ana, remove_events=True) is Revocation.NOTHING


def test_a_grant_taken_away_needs_a_reconnect(world: World, site: Site, operations: Operations, ana: User) -> None:
    chosen = site.connect(ana)
    world.google.control("POST", "revoke", {"account": chosen})
    assert refused(lambda: operations.calendars(ana)) == (409, "reconnect_needed")
    broken = operations.connection(ana)
    assert (broken.state, broken.reconnect_reason, broken.calendar_id) == ("needs_reconnect", "revoked", chosen)
    assert refused(lambda: operations.change(ana, calendar_id=chosen)) == (409, "reconnect_needed")
    assert site.consent(ana, chosen).endswith("connected=1")
    assert operations.calendars(ana)[0].chosen


def test_a_token_that_ended_early_is_renewed(world: World, site: Site, operations: Operations, ana: User) -> None:
    chosen = site.connect(ana)
    world.google.control("POST", "tokens/expire", {"account": chosen})
    assert ids(operations.calendars(ana)) == [chosen]


def test_a_grant_that_changed_while_google_was_asked_is_noticed(
    world: World, site: Site, operations: Operations, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = site.connect(ana)
    calendars = site.app.services.calendar_list
    get = calendars.get

    def get_while_somebody_reconnects(token: str, calendar_id: str) -> object:
        world.execute("UPDATE calendar_sync.calendar_connection SET grant_version = grant_version + 1")
        return get(token, calendar_id)

    monkeypatch.setattr(calendars, "get", get_while_somebody_reconnects)
    assert refused(lambda: operations.change(ana, calendar_id=chosen)) == (409, "grant_changed")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "status": 503},
        {"kind": "refuse", "status": 403, "reason": "rateLimitExceeded"},
        {"kind": "refuse", "status": 429, "reason": "rateLimitExceeded", "retry_after": 90},
        {"kind": "refuse", "status": 403, "reason": "quotaExceeded"},
        {"kind": "html"},
        {"kind": "garbage"},
        {"kind": "cut"},
    ],
)
def test_google_out_of_order_costs_nobody_a_connection(
    world: World, site: Site, operations: Operations, ana: User, fault: dict[str, object]
) -> None:
    chosen = site.connect(ana)
    world.fault(path="calendarList", account=chosen, **fault)
    assert refused(lambda: operations.calendars(ana)) == (503, "google_unavailable")
    with pytest.raises(Problem) as refusal:
        operations.change(ana, calendar_id=chosen)
    assert refusal.value.code == "google_unavailable"
    asked = int(dict(refusal.value.headers or {})["Retry-After"])
    assert asked == (90 if "retry_after" in fault else 15)
    assert operations.connection(ana).state == "active"


def test_a_missing_permission_needs_a_reconnect(world: World, site: Site, operations: Operations, ana: User) -> None:
    chosen = site.connect(ana)
    world.fault(kind="refuse", status=403, reason="insufficientPermissions", path="calendarList", account=chosen)
    assert refused(lambda: operations.calendars(ana)) == (409, "reconnect_needed")
    assert operations.connection(ana).reconnect_reason == "missing_scope"


def test_a_disconnect_ends_the_grant_at_google(world: World, site: Site, operations: Operations, ana: User) -> None:
    chosen = site.connect(ana)
    assert operations.disconnect(ana, remove_events=False) is Revocation.REVOKED
    assert operations.connection(ana).state == "not_connected"
    assert refused(lambda: operations.calendars(ana)) == (409, "not_connected")
    entries = world.google.control("GET", "requests")["entries"]
    assert any(entry["path"] == "/revoke" and entry["status"] == 200 for entry in entries)
    assert site.consent(ana, chosen).endswith("connected=1")


@pytest.mark.parametrize(
    "unknown",
    ["", "x", "%00", "\x00", "\ud800", UUID, UUID.upper(), f"{{{UUID}}}", UUID.replace("-", ""), "1" * 5000],
)
def test_a_test_that_is_not_the_users_is_unknown(operations: Operations, ana: User, unknown: str) -> None:
    assert refused(lambda: operations.test_push(ana, unknown)) == (404, "unknown_test_push")


@pytest.mark.parametrize("unknown", ["", "x", "-1", "0", "1", "9" * 20, "9" * 21, "1" * 5000, "١", "1\n", "\x00"])
def test_a_problem_that_is_not_the_users_is_unknown(
    site: Site, operations: Operations, ana: User, unknown: str
) -> None:
    site.connect(ana)
    assert refused(lambda: operations.retry_problem(ana, unknown)) == (404, "unknown_problem")


def test_a_test_push_is_the_users_own(site: Site, operations: Operations, ana: User) -> None:
    site.connect(ana)
    started = operations.start_test_push(ana)
    assert started.state == "running"
    assert operations.test_push(ana, started.id).id == started.id
    latest = operations.latest_test_push(ana)
    assert latest is not None
    assert latest.id == started.id
    for other in (site.user("bob"), site.user("ana", tenant="another")):
        assert refused(partial(operations.test_push, other, started.id)) == (404, "unknown_test_push")
        assert operations.latest_test_push(other) is None


def test_problems_can_be_read_and_tried_again_by_their_user_alone(
    world: World, site: Site, operations: Operations, ana: User
) -> None:
    site.connect(ana)
    world.commit("job-1", job("J-77"))
    world.sync()
    world.execute(
        "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, problem)"
        " SELECT tenant_id, calendar_id, 'job-1', calendar_sync.now(), 'Too long.'"
        " FROM calendar_sync.calendar_connection"
    )
    [problem] = operations.problems(ana)
    assert (problem.job_id, problem.job_number, problem.reason) == ("job-1", "J-77", "Too long.")
    stranger = site.user("ana", tenant="another")
    assert operations.problems(stranger) == []
    assert refused(lambda: operations.retry_problem(stranger, problem.id)) == (404, "unknown_problem")
    operations.retry_problem(ana, problem.id)
    assert operations.problems(ana) == []
    assert refused(lambda: operations.retry_problem(ana, problem.id)) == (404, "unknown_problem")


def test_a_resync_counts_what_it_marks_and_is_rationed(
    world: World, site: Site, operations: Operations, ana: User
) -> None:
    site.connect(ana)
    world.commit("job-1", job())
    world.sync()
    assert [operations.resync(ana) for _ in range(3)] == [1, 1, 1]
    assert refused(lambda: operations.resync(ana)) == (429, "too_many_requests")


def test_work_for_every_job_is_rationed_and_what_is_as_it_was_costs_nothing(
    world: World, site: Site, operations: Operations, ana: User, email: str
) -> None:
    board = calendar("Board")
    connect(site, ana, email, board)
    assert operations.change(ana, calendar_id=board.id).state == "active"
    for _ in range(LIMITS["change"].burst + 1):
        operations.change(ana, job_filter="all", calendar_id=board.id)
        operations.change(ana, job_filter="all", paused=False)
    filters: list[Literal["all", "assigned"]] = ["assigned", "all"]
    for turn in range(LIMITS["change"].burst - 1):
        operations.change(ana, job_filter=filters[turn % 2])
    assert refused(lambda: operations.change(ana, job_filter="all")) == (429, "too_many_requests")
    assert refused(lambda: operations.change(ana, calendar_id="primary")) == (429, "too_many_requests")
    assert operations.change(ana, job_filter="assigned", paused=True).state == "paused"
    world.execute("UPDATE calendar_sync.calendar_connection SET state = 'calendar_lost'")
    assert refused(lambda: operations.change(ana, calendar_id=board.id)) == (429, "too_many_requests")


def test_questions_to_google_are_rationed(
    site: Site, operations: Operations, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = site.connect(ana)
    monkeypatch.setitem(cast("dict[str, Limit]", LIMITS), "calendars", Limit(burst=3, period=600))
    operations.calendars(ana)
    operations.change(ana, calendar_id=chosen)
    asked = len(site.world.google.control("GET", "requests")["entries"])
    assert refused(lambda: [operations.calendars(ana) for _ in range(3)]) == (429, "too_many_requests")
    assert len(site.world.google.control("GET", "requests")["entries"]) <= asked + 3


def test_disconnects_are_rationed(operations: Operations, ana: User) -> None:
    for _ in range(LIMITS["disconnect"].burst):
        operations.disconnect(ana, remove_events=False)
    assert refused(lambda: operations.disconnect(ana, remove_events=False)) == (429, "too_many_requests")


def test_who_finds_everybody_waiting_for_google_is_refused_quickly(
    site: Site, operations: Operations, ana: User
) -> None:
    chosen = site.connect(ana)
    places = GooglePlaces(1)
    operations._places = places
    with places.place():
        assert refused(lambda: operations.calendars(ana)) == (503, "google_unavailable")
        assert refused(lambda: operations.change(ana, calendar_id=chosen)) == (503, "google_unavailable")
        assert refused(lambda: operations.disconnect(ana, remove_events=False)) == (503, "google_unavailable")
        assert operations.change(ana, paused=True).state == "paused"
    assert ids(operations.calendars(ana)) == [chosen]


def test_an_account_that_somebody_else_holds_is_busy(
    site: Site, operations: Operations, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = site.connect(ana)
    monkeypatch.setattr("outbox.grants.TURN_SECONDS", 0.1)
    with site.app.services.pool.connection() as other:
        assert other.execute(statement("connection/lock_account"), {"account_id": chosen}).fetchone() == (True,)
        with pytest.raises(Problem) as refusal:
            operations.disconnect(ana, remove_events=False)
        other.execute(statement("connection/unlock_account"), {"account_id": chosen})
    assert (refusal.value.status_code, refusal.value.code) == (503, "account_busy")
    assert dict(refusal.value.headers or {})["Retry-After"] == "5"
    assert operations.disconnect(ana, remove_events=False) is Revocation.REVOKED


def test_a_missing_key_is_the_operators_matter(world: World, site: Site, operations: Operations, ana: User) -> None:
    site.connect(ana)
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET access_token = set_byte(access_token, 2, ascii('x')),"
        " refresh_token = set_byte(refresh_token, 2, ascii('x'))"
    )
    with capture_logs() as logs:
        assert refused(lambda: operations.calendars(ana)) == (503, "not_configured")
    assert "TOKEN_ENCRYPTION_KEYS" in next(entry["reason"] for entry in logs if entry["event"] == "operator_needed")
    assert operations.connection(ana).state == "active"


def test_a_colleague_on_the_calendar_is_known(site: Site, operations: Operations, ana: User, email: str) -> None:
    board = calendar("Board")
    bob, stranger = site.user("bob"), site.user("bob", tenant="another")
    for user in (ana, bob, stranger):
        connect(site, user, f"{user.tenant_id}-{user.user_id}-{email}", board)
    assert not operations.colleague_on_calendar(ana)
    for user in (ana, stranger):
        operations.change(user, calendar_id=board.id)
    assert not operations.colleague_on_calendar(ana)
    operations.change(bob, calendar_id=board.id)
    assert operations.colleague_on_calendar(ana)
    operations.change(ana, calendar_id="primary")
    assert not operations.colleague_on_calendar(ana)
    operations.change(ana, calendar_id=board.id)
    operations.disconnect(bob, remove_events=True)
    assert not operations.colleague_on_calendar(ana)


def test_test_pushes_are_rationed(site: Site, operations: Operations, ana: User) -> None:
    site.connect(ana)
    for _ in range(6):
        operations.start_test_push(ana)
    assert refused(lambda: operations.start_test_push(ana)) == (429, "too_many_requests")
