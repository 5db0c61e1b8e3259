"""What the settings page decides to say, without a template, a database or Google."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import get_args

import falcon
import pytest
from falcon.testing import create_req

import web.consent
import web.limits
import web.operations
import web.refusals
from outbox.connection_view import ConnectionView, LastDisconnect, LeavingCalendar, Progress
from outbox.event import render as render_event
from outbox.grants import Revocation
from outbox.payload import parse_payload
from outbox.trouble import RestReason
from tests.integration.page_states import ACTIVE, CLIENT_ID, NOTHING, NOW, STATES, facts, rehearsal
from web.outcomes import OUTCOMES
from web.page import wording
from web.page.asks import Ask, asks_of
from web.page.forms import InvalidFormError, choose, read_form
from web.page.goodbye import goodbye_of
from web.page.notices import NOTICES, Notice, choose_notice, notice_of
from web.page.progress import SCRIPT_WORDS, STEP_LABELS, view_test_push
from web.page.rendering import render, time_element
from web.page.view import PageView, view_page, wants_calendars

FORM = "application/x-www-form-urlencoded"


def view(connection: ConnectionView, **more: object) -> PageView:
    return view_page(facts(connection, **more))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (0, "Nothing is waiting."),
        (1, "1 change is waiting."),
        (3, "3 changes are waiting."),
        (12000, "12,000 changes are waiting."),
    ],
)
def test_what_waits_is_said_in_plain_words(number: int, sentence: str) -> None:
    assert wording.waiting(number) == sentence


def test_times_are_readable_without_the_script_and_exact_for_it() -> None:
    time = datetime(2026, 11, 2, 14, 5, 9, tzinfo=UTC)
    assert wording.moment(time) == "2 Nov 2026, 14:05 UTC"
    assert (
        str(time_element(time, "clock")) == '<time datetime="2026-11-02T14:05:09Z" data-style="clock">14:05 UTC</time>'
    )


@pytest.mark.parametrize(
    ("connection", "badge"),
    [
        (NOTHING, "Not connected"),
        (replace(ACTIVE, state="choose_calendar"), "One step left"),
        (ACTIVE, "Up to date"),
        (replace(ACTIVE, pending=1), "Syncing"),
        (replace(ACTIVE, problems=1), "Needs a look"),
        (replace(ACTIVE, pending=1, resting_until=NOW + timedelta(seconds=1)), "Waiting for Google"),
        (
            replace(ACTIVE, pending=1, resting_until=NOW + timedelta(seconds=1), resting_reason="ours"),
            "Waiting for us",
        ),
        (replace(ACTIVE, pending=1, resting_until=NOW), "Syncing"),
        (replace(ACTIVE, state="paused"), "Paused"),
        (replace(ACTIVE, state="needs_reconnect"), "Needs you"),
        (replace(ACTIVE, state="calendar_lost"), "Needs you"),
        (replace(ACTIVE, state="disconnecting"), "Disconnecting"),
    ],
)
def test_the_state_is_named_beside_the_heading(connection: ConnectionView, badge: str) -> None:
    assert view(connection).badge.text == badge


def test_a_rest_names_its_end_and_what_waits() -> None:
    until = NOW + timedelta(minutes=9)
    status = view(replace(ACTIVE, pending=1200, resting_until=until, resting_reason="limit")).status
    assert status is not None
    assert (status.headline, status.until) == ("Google asked us to slow down", until)
    assert status.detail == "1,200 changes are waiting."


@pytest.mark.parametrize("reason", [*get_args(RestReason), None])
def test_only_a_rest_that_google_asked_for_is_said_to_be_one(reason: RestReason | None) -> None:
    status = view(replace(ACTIVE, resting_until=NOW + timedelta(minutes=9), resting_reason=reason)).status
    assert status is not None
    assert ("Google asked us" in status.headline) == (reason == "limit")


def test_a_pause_says_that_changes_are_kept() -> None:
    status = view(replace(ACTIVE, state="paused", paused=True, pending=14)).status
    assert status is not None
    assert status.detail == "14 changes are waiting. Changes are kept and delivered when you resume."


@pytest.mark.parametrize("reason", ["revoked", "missing_scope", "blocked_by_admin", "key_lost", None])
def test_a_broken_connection_says_why_and_that_nothing_is_lost(reason: str | None) -> None:
    banner = view(replace(ACTIVE, state="needs_reconnect", reconnect_reason=reason, pending=7)).banner  # type: ignore[arg-type]
    assert banner is not None
    assert banner.reconnect
    assert banner.text.endswith("Nothing is lost: 7 changes are waiting and will be delivered then.")
    assert banner.client_id == (CLIENT_ID if reason == "blocked_by_admin" else None)


def test_a_lost_calendar_asks_for_another_one_instead_of_a_new_consent() -> None:
    page = view(replace(ACTIVE, state="calendar_lost"), calendars=[])
    assert page.banner is not None
    assert page.banner.title == "We can no longer write to “Jobs”"
    assert not page.banner.reconnect
    assert page.picker is not None
    assert page.picker.first_choice


@pytest.mark.parametrize(
    ("state", "asked", "wanted"),
    [
        ("choose_calendar", False, True),
        ("calendar_lost", False, True),
        ("active", False, False),
        ("active", True, True),
        ("paused", True, True),
        ("not_connected", True, False),
        ("needs_reconnect", True, False),
        ("disconnecting", True, False),
    ],
)
def test_google_is_asked_for_calendars_only_where_they_are_shown(state: str, asked: bool, wanted: bool) -> None:
    assert wants_calendars(state, asked=asked) is wanted


def test_calendars_that_cannot_be_listed_leave_their_reason_in_their_place() -> None:
    picker = view(ACTIVE, calendars="Google does not answer right now.").picker
    assert picker is not None
    assert (list(picker.calendars), picker.unavailable) == ([], "Google does not answer right now.")


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        (LeavingCalendar("Old", 12), "“Old” with 12 events is emptied when the new calendar is filled."),
        (
            LeavingCalendar("Old", 1, shared=True),
            "“Old” with 1 event: what only you wanted there is removed when the new calendar is filled.",
        ),
        (LeavingCalendar("Old", 56, 87), "31 of 87 events removed from “Old”."),
        (LeavingCalendar("Old", 1, 1), "0 of 1 event removed from “Old”."),
        (LeavingCalendar("Old", 1000, 2400, shared=True), "1,400 of 2,400 events looked at in “Old”."),
    ],
)
def test_a_calendar_being_left_shows_what_becomes_of_it(left: LeavingCalendar, sentence: str) -> None:
    page = view(replace(ACTIVE, leaving=(left, LeavingCalendar("Empty by now", 0), LeavingCalendar("Done", 0, 3))))
    [course] = page.courses
    assert (course.sentence, course.progress) == (sentence, left.progress)
    assert page.live


@pytest.mark.parametrize(
    ("filling", "sentence"),
    [
        (Progress(184, 412), "184 of 412 jobs are up to date in “Jobs”."),
        (Progress(0, 1), "0 of 1 job is up to date in “Jobs”."),
        (Progress(1999, 2000), "1,999 of 2,000 jobs are up to date in “Jobs”."),
    ],
)
def test_a_calendar_being_filled_shows_how_far_it_is(filling: Progress, sentence: str) -> None:
    page = view(replace(ACTIVE, pending=filling.total - filling.done, filling=filling))
    [course] = page.courses
    assert (course.sentence, course.progress) == (sentence, filling)
    assert page.status is not None
    assert page.status.headline == "Your calendar is being brought up to date"
    assert page.live


def test_what_is_filled_is_told_before_what_is_emptied() -> None:
    moving = replace(ACTIVE, filling=Progress(1, 2), leaving=(LeavingCalendar("Old", 2),))
    assert [course.progress for course in view(moving).courses] == [Progress(1, 2), None]


def test_how_far_something_is_can_be_read_without_the_script_and_is_named_for_those_who_do_not_see_the_bar() -> None:
    shown = text_in(view(replace(ACTIVE, pending=228, filling=Progress(184, 412))))
    assert '<p id="course-1">184 of 412 jobs are up to date in “Jobs”.</p>' in shown
    assert '<progress value="184" max="412" aria-labelledby="course-1"></progress>' in shown
    assert "<progress" not in text_in(view(replace(ACTIVE, pending=3, leaving=(LeavingCalendar("Old", 1),))))


@pytest.mark.parametrize("state", ["paused", "needs_reconnect"])
def test_a_filling_that_is_held_up_still_shows_how_far_it_is(state: str) -> None:
    connection = replace(ACTIVE, state=state, pending=228, filling=Progress(184, 412))  # type: ignore[arg-type]
    page = view(connection)
    assert [course.progress for course in page.courses] == [Progress(184, 412)]
    assert not page.live


def test_a_disconnect_under_way_shows_all_that_is_still_to_be_removed() -> None:
    left = (LeavingCalendar("Jobs", 1, 4), LeavingCalendar("Old", 2, 2))
    page = view(replace(ACTIVE, state="disconnecting", pending=1, leaving=left))
    assert [course.sentence for course in page.courses] == [
        "3 of 4 events removed from “Jobs”.",
        "0 of 2 events removed from “Old”.",
    ]
    assert page.live
    assert page.leave is None


@pytest.mark.parametrize(
    ("connection", "may_remove"),
    [
        (ACTIVE, True),
        (replace(ACTIVE, state="paused"), True),
        (replace(ACTIVE, state="choose_calendar"), False),
        (replace(ACTIVE, state="choose_calendar", leaving=(LeavingCalendar("Old", 1),)), True),
        (replace(ACTIVE, state="needs_reconnect"), False),
        (replace(ACTIVE, state="calendar_lost"), False),
    ],
)
def test_removing_events_is_offered_only_where_google_still_lets_us(
    connection: ConnectionView, may_remove: bool
) -> None:
    leave = view(connection).leave
    assert leave is not None
    assert leave.may_remove is may_remove


@pytest.mark.parametrize("revocation", Revocation)
def test_every_end_of_a_connection_has_its_words(revocation: Revocation) -> None:
    said = goodbye_of(LastDisconnect(revocation, 0))
    assert said is not None
    assert said.title.startswith("Disconnected")
    assert said.by_hand is (revocation in {Revocation.UNANSWERED, Revocation.REFUSED})


def test_events_left_behind_are_counted_after_a_disconnect() -> None:
    said = goodbye_of(LastDisconnect(Revocation.REVOKED, 1))
    assert said is not None
    assert said.text.endswith("1 event that we added is still in your calendar and no longer kept up to date.")


DATED = {"schema_version": 1, "job_number": "J-1", "legs": [{"dispatch_window": {"start": "2027-03-01"}}]}


@pytest.mark.parametrize(("events_left", "told"), [(0, False), (1, True), (184, True)])
def test_events_left_behind_come_with_a_way_to_remove_them(events_left: int, told: bool) -> None:
    last = LastDisconnect(Revocation.DEAD, events_left)
    shown = text_in(view(replace(NOTHING, last_disconnect=last)))
    assert ("choose the same calendar, then disconnect and choose “Remove them”" in shown) is told
    assert ("search for “Open job”, which stands in every event of ours" in shown) is told
    event = render_event(parse_payload(DATED), job_url="https://app.example.com/jobs/job_1")
    assert event is not None
    assert "Open job" in event.description


def test_the_goodbye_ends_with_the_next_connection() -> None:
    assert view(replace(ACTIVE, last_disconnect=LastDisconnect(Revocation.REVOKED, 0))).goodbye is None


STATE_NAMES = (
    "not_connected",
    "choose_calendar",
    "active",
    "paused",
    "needs_reconnect",
    "calendar_lost",
    "disconnecting",
)


@pytest.mark.parametrize(
    ("code", "state", "text"),
    [
        ("calendar_chosen", "active", "Your jobs are on their way to it."),
        ("calendar_chosen", "paused", "Your jobs go there when you resume syncing."),
        ("preferences_saved", "paused", "Your calendar is brought in line with them when you resume syncing."),
        (
            "preferences_saved",
            "needs_reconnect",
            "Your calendar is brought in line with them once you have reconnected your Google account.",
        ),
        ("paused", "paused", "Changes are kept and delivered when you resume."),
        ("resumed", "active", "Whatever changed in the meantime is delivered now."),
        (
            "resumed",
            "needs_reconnect",
            "Whatever changed is delivered once you have reconnected your Google account.",
        ),
        ("resumed", "calendar_lost", "Whatever changed is delivered once you have chosen another calendar."),
        ("retrying", "paused", "That is done when you resume syncing."),
        ("retrying", "needs_reconnect", "That is done once you have reconnected your Google account."),
        ("not_active", "paused", "Resume syncing first, then try again."),
        ("not_active", "needs_reconnect", "Reconnect your Google account first, then try again."),
        ("not_connected", "disconnecting", "Connect again first, then try again."),
    ],
)
def test_a_notice_is_true_in_the_state_in_which_it_is_read(code: str, state: str, text: str) -> None:
    notice = notice_of(code, state)
    assert notice is not None
    assert notice.text == text


@pytest.mark.parametrize("state", STATE_NAMES)
def test_nothing_is_said_to_be_under_way_while_nothing_can_be_pushed(state: str) -> None:
    said = [notice for code in NOTICES if (notice := notice_of(code, state)) is not None]
    claims = ("on their way", "being brought in line", "delivered now", "pushed again", "goes on")
    under_way = [notice for notice in said if any(claim in f"{notice.title} {notice.text}" for claim in claims)]
    assert bool(under_way) is (state == "active")
    assert not any("{" in f"{notice.title}{notice.text}" for notice in said)


@pytest.mark.parametrize("state", STATE_NAMES)
def test_other_jobs_are_said_to_go_on_only_while_they_do(state: str) -> None:
    connection = replace(ACTIVE, state=state, problems=1)  # type: ignore[arg-type]
    page = view(connection, problems=STATES["active-problems"].problems, calendars=[])
    shown = render("page.html", page=page)
    assert ("All other jobs go on as usual." in shown) is (state == "active")


def test_what_waits_for_a_reconnect_waits_for_the_end_of_the_pause_too() -> None:
    banner = view(replace(ACTIVE, state="needs_reconnect", paused=True, pending=7)).banner
    assert banner is not None
    assert banner.text.endswith("7 changes are waiting and will be delivered once you have resumed syncing too.")


def text_in(page: PageView) -> str:
    return " ".join(render("page.html", page=page).split())


@pytest.mark.parametrize("state", ["active", "paused", "needs_reconnect", "calendar_lost"])
def test_a_shared_calendar_is_not_promised_to_stay_or_to_be_emptied(state: str) -> None:
    connection = replace(ACTIVE, state=state)  # type: ignore[arg-type]
    shared, alone = text_in(view(connection, colleague=True)), text_in(view(connection))
    assert "that your colleague wants stay and are kept up to date" in shared
    assert "only you wanted" in shared
    for untrue in ("no longer kept up to date", "We remove the events that we added", "Keep them", "Remove them"):
        assert untrue not in shared
    assert "colleague" not in alone.partition('id="disconnect"')[2]


def test_while_a_shared_calendar_is_left_the_colleagues_events_are_not_said_to_go() -> None:
    left = LeavingCalendar("Jobs", 3, 4, shared=True)
    page = view(replace(ACTIVE, state="disconnecting", pending=3, leaving=(left,)), colleague=True)
    assert page.status is not None
    assert page.status.headline == "Events that only you wanted are being removed"
    assert [course.sentence for course in page.courses] == ["1 of 4 events looked at in “Jobs”."]


def test_a_removal_can_be_cut_short() -> None:
    shown = text_in(view(replace(ACTIVE, state="disconnecting", pending=3)))
    assert "Stop removing and disconnect now" in shown
    assert '<input type="hidden" name="remove_events" value="no">' in shown
    assert "Stop removing" not in text_in(view(ACTIVE))


def test_whoever_reconnects_may_choose_another_account() -> None:
    shown = text_in(view(replace(ACTIVE, state="needs_reconnect")))
    assert "Reconnect Google Calendar" in shown
    assert '<input type="hidden" name="other_account" value="yes">' in shown


SCOPE = "https://www.googleapis.com/auth/calendar"


@pytest.mark.parametrize(
    ("scopes", "allows"),
    [
        (
            [f"{SCOPE}.events", f"{SCOPE}.readonly"],
            ["See and download any calendar you can access", "View and edit events on all your calendars"],
        ),
        (
            [f"{SCOPE}.events.owned", f"{SCOPE}.calendarlist.readonly"],
            ["See the list of your calendars", "See and change events on the calendars that you own"],
        ),
        ([SCOPE], ["See, edit, share and permanently delete all your calendars"]),
        (["openid", f"{SCOPE}.events"], ["View and edit events on all your calendars", "openid"]),
    ],
)
def test_what_google_asks_for_is_told_by_the_scopes(scopes: list[str], allows: list[str]) -> None:
    assert [ask.allows for ask in asks_of(scopes)] == allows
    for page in (
        render("page.html", page=view(NOTHING, scopes=scopes)),
        render("to_google.html", authorize_url="https://example.com/", asks=asks_of(scopes)),
    ):
        assert all(ask in page for ask in allows)
        assert ("tick every box" in page) is (len(scopes) > 1)
        assert "box ticked" not in page


def test_a_permission_to_read_everything_is_not_made_small() -> None:
    [reading] = [ask for ask in asks_of([f"{SCOPE}.readonly"]) if "download" in ask.allows]
    assert "read every event" in reading.use
    assert "only the list of your calendars" in reading.use
    assert "every event" not in asks_of([f"{SCOPE}.calendarlist.readonly"])[0].use


def test_problems_lead_to_the_job_and_say_how_many_are_not_listed() -> None:
    page = view_page(STATES["active-problems"])
    assert page.problems[0].url == "https://app.example.com/jobs/job_8f3a"
    assert page.more_problems == 3
    assert view_page(replace(STATES["active-problems"], job_url_template=None)).problems[0].url is None


@pytest.mark.parametrize("state", ["not_connected", "choose_calendar", "paused", "needs_reconnect", "disconnecting"])
def test_checks_are_offered_only_while_something_can_be_pushed(state: str) -> None:
    page = view(replace(ACTIVE, state=state), test_push=rehearsal(6))  # type: ignore[arg-type]
    assert (page.checks, page.test_push) == (False, None)


def test_a_failed_test_push_keeps_the_reason_at_its_step() -> None:
    shown = view_test_push(rehearsal(3, "failed", "You may only read it."))
    assert [step.state for step in shown.steps] == ["done", "done", "done", "failed", "waiting", "waiting"]
    assert (shown.steps[3].label, shown.steps[3].detail) == ("Event written", "You may only read it.")
    assert shown.summary.tone == "bad"


def test_the_script_has_words_for_every_state_of_a_test_push() -> None:
    assert {step.state for done in range(7) for step in rehearsal(done).steps} | {"failed"} == set(
        SCRIPT_WORDS["steps"]
    )
    assert set(SCRIPT_WORDS["summaries"]) == {"running", "succeeded", "failed", "slow", "lost"}
    assert list(STEP_LABELS) == [step.name for step in rehearsal(0).steps]


@pytest.mark.parametrize("code", OUTCOMES)
def test_every_outcome_of_a_consent_is_shown(code: str) -> None:
    notice = choose_notice(notice=None, error=code, connected=False, state="not_connected", client_id=CLIENT_ID)
    assert notice is not None
    assert (notice.tone, notice.text) == ("info" if code == "still_connecting" else "bad", OUTCOMES[code].detail)
    assert notice.client_id == (CLIENT_ID if code == "blocked_by_admin" else None)


@pytest.mark.parametrize("code", ["", "unknown", "<script>", "calendar_chosen"])
def test_an_unknown_error_says_nothing(code: str) -> None:
    assert choose_notice(notice=None, error=code, connected=False, state="active", client_id=CLIENT_ID) is None


@pytest.mark.parametrize("code", ["", "unknown", "access_denied", "<script>"])
def test_an_unknown_notice_says_nothing(code: str) -> None:
    assert choose_notice(notice=code, error=None, connected=False, state="active", client_id=CLIENT_ID) is None


@pytest.mark.parametrize(("state", "shown"), [("active", True), ("choose_calendar", True), ("not_connected", False)])
def test_a_connection_is_announced_only_while_there_is_one(state: str, shown: bool) -> None:
    notice = choose_notice(notice=None, error=None, connected=True, state=state, client_id=CLIENT_ID)
    assert (notice is not None) is shown


def codes_of_problems(module: ModuleType) -> Iterator[str]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            code = node.args[1]
            assert isinstance(code, ast.Constant), "a code is written out where it is raised"
            yield str(code.value)


@pytest.mark.parametrize("module", [web.operations, web.consent, web.limits, web.refusals])
def test_every_refusal_of_an_operation_has_a_notice(module: ModuleType) -> None:
    assert set(codes_of_problems(module)) <= set(NOTICES)


def form(body: bytes, content_type: str | None = FORM) -> falcon.Request:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return create_req(method="POST", body=body, headers=headers)


def test_a_form_is_read_as_text() -> None:
    assert dict(read_form(form(b"calendar_id=team%40example.com&x=a+b"))) == {
        "calendar_id": "team@example.com",
        "x": "a b",
    }
    assert dict(read_form(form(b"", None))) == {}


@pytest.mark.parametrize(
    "request_",
    [
        form(b'{"paused": "yes"}', "application/json"),
        form(b"paused=yes&paused=no"),
        form("paused=jä".encode()),
        form(b"paused=yes", "multipart/form-data; boundary=x"),
    ],
    ids=["json", "twice", "not ascii", "multipart"],
)
def test_what_no_form_of_ours_sends_is_refused(request_: falcon.Request) -> None:
    with pytest.raises(InvalidFormError):
        choose(read_form(request_), "paused", {"yes": True})


@pytest.mark.parametrize("fields", [{}, {"paused": "maybe"}, {"paused": ""}])
def test_a_choice_that_is_not_offered_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidFormError):
        choose(fields, "paused", {"yes": True})


@pytest.mark.parametrize("name", STATES)
def test_every_state_renders_without_anything_that_the_policy_forbids(name: str) -> None:
    html = render("page.html", page=view_page(STATES[name]))
    assert "<style" not in html
    assert " style=" not in html
    assert " on" + "click" not in html
    assert html.count("<script") == html.count(
        '<script type="module" src="/settings/integrations/google-calendar/static/'
    )
    assert html.count("<h1>") == 1


def test_whatever_stands_in_a_name_is_shown_as_text() -> None:
    attack = '"><script>alert(1)</script>'
    connection = replace(ACTIVE, calendar_name=attack, account_email=attack, leaving=(LeavingCalendar(attack, 1),))
    page = view(connection, notice=Notice("good", attack, attack, attack), calendars=attack)
    assert "<script>alert" not in render("page.html", page=page)
    assert "<script>alert" not in render("to_google.html", authorize_url=attack, asks=[Ask(attack, attack)])
