"""Who wants a job on which calendar decides where it stands, and each user's trouble is his own."""

from tests.integration.conftest import World, job
from tests.integration.steps import choose, connection, grant, pair, pending, reconnect, revoke, shared_calendar
from web.sandbox.specs import AccountSpec

TITLE = "J-1 · Dallas → Memphis"


def want_assigned(world: World, name: str) -> None:
    """The user wants only the jobs that are assigned to him."""
    world.execute("UPDATE calendar_sync.calendar_connection SET job_filter = 'assigned' WHERE user_id = %s", name)


def past_job() -> dict[str, object]:
    """A job whose event is over."""
    window = {"start": "2020-03-01T08:00:00-06:00", "end": "2020-03-01T10:00:00-06:00"}
    return job("J-past", legs=[{"summary": "Over", "dispatch_window": window, "delivery_window": window}])


def test_the_assigned_filter_shows_a_user_only_his_own_jobs(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    want_assigned(world, "u_ana")
    world.commit("job_1", job("J-1", assigned_user_ids=["u_ana"]))
    world.commit("job_2", job("J-2", assigned_user_ids=["u_bo"]))
    world.commit("job_3", job("J-3"))
    world.sync()
    assert world.titles(ana) == [TITLE]
    assert len(world.titles(bo)) == 3


def test_a_reassigned_job_moves_to_the_other_calendar(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    want_assigned(world, "u_ana")
    want_assigned(world, "u_bo")
    world.commit("job_1", job(assigned_user_ids=["u_ana"]))
    world.sync()
    assert (world.titles(ana), world.titles(bo)) == ([TITLE], [])
    world.commit("job_1", job(assigned_user_ids=["u_bo"]))
    world.sync()
    assert (world.titles(ana), world.titles(bo)) == ([], [TITLE])


def test_two_users_on_one_calendar_share_one_lane_and_one_event(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    world.commit("job_1", job())
    world.sync()
    assert world.titles(calendar, reader) == [TITLE]
    assert world.calls(calendar) == [("POST", 200)]
    assert world.execute("SELECT count(*) FROM calendar_sync.lane") == [(1,)]


def test_an_event_on_a_shared_calendar_stays_while_one_user_wants_it(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
        want_assigned(world, name)
    for assigned, titles in ((["u_ana", "u_bo"], [TITLE]), (["u_bo"], [TITLE]), ([], []), (["u_ana"], [TITLE])):
        world.commit("job_1", job(assigned_user_ids=assigned))
        world.sync()
        assert world.titles(calendar, reader) == titles


def test_a_dead_grant_on_a_shared_calendar_leaves_the_work_to_the_other_user(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    revoke(world, "u_ana")
    world.commit("job_1", job())
    world.sync()
    assert world.titles(calendar, reader) == [TITLE]
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "revoked")
    assert connection(world, "u_bo", "state") == ("active",)
    assert pending(world) == []


def test_what_a_user_with_a_dead_grant_wants_stays_on_the_shared_calendar(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
        want_assigned(world, name)
    revoke(world, "u_ana")
    for number in ("J-1", "J-2"):
        world.commit("job_1", job(number, assigned_user_ids=["u_ana"]))
        world.sync()
        assert world.titles(calendar, reader) == [f"{number} · Dallas → Memphis"]


def test_a_calendar_lost_to_one_user_is_lost_to_nobody_else(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    [ana] = connection(world, "u_ana", "account_email")
    world.google.control("POST", f"calendars/{calendar}/role", {"account": ana, "role": "reader"})
    world.commit("job_1", job())
    world.sync()
    assert world.titles(calendar, reader) == [TITLE]
    assert connection(world, "u_ana", "state") == ("calendar_lost",)
    assert connection(world, "u_bo", "state") == ("active",)


def test_an_id_given_up_by_one_user_is_removed_before_the_next_user_writes_the_new_one(world: World) -> None:
    calendar, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    world.commit("job_1", job())
    world.sync()
    first = pair(world, calendar).event_id
    [ana] = connection(world, "u_ana", "account_email")
    world.fault(kind="refuse", method="PUT", account=ana, status=403, reason="forbidden", count=1)
    world.fault(kind="refuse", method="DELETE", account=ana, status=403, reason="insufficientPermissions", count=1)
    world.commit("job_1", job("J-1b"))
    world.sync()
    [event] = world.events(calendar, reader)
    assert event["summary"] == "J-1b · Dallas → Memphis"
    assert event["id"] != first
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "missing_scope")


def test_one_users_dead_grant_does_not_hold_up_another_calendar(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    revoke(world, "u_ana")
    world.commit("job_1", job())
    world.sync()
    assert (world.titles(ana), world.titles(bo)) == ([], [TITLE])


def test_connecting_fills_the_calendar_with_upcoming_jobs_and_no_others(world: World) -> None:
    world.commit("job_1", job("J-1"))
    world.commit("job_2", past_job())
    world.commit("job_3", job("J-3", legs=[]))
    world.commit("job_4", job("J-4"))
    world.commit("job_4", {}, "job.cancelled")
    world.sync()
    calendar = world.connect("u_ana")
    world.sync()
    assert world.titles(calendar) == [TITLE]


def test_a_new_row_of_a_past_job_is_delivered_all_the_same(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", past_job())
    world.sync()
    assert world.titles(calendar) == ["J-past · Over"]


def test_reconnecting_the_same_account_pushes_what_waited(world: World) -> None:
    calendar = world.connect("u_ana")
    revoke(world, "u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.commit("job_2", job("J-2"))
    world.sync()
    assert world.titles(calendar) == []
    assert reconnect(world, "u_ana") == "active"
    world.sync()
    assert world.titles(calendar) == [TITLE, "J-2 · Dallas → Memphis"]
    assert pending(world) == []


def test_another_account_has_to_choose_its_calendar_and_leaves_the_first_one_alone(world: World) -> None:
    first = world.connect("u_ana")
    other = f"other-{first}"
    world.google.add_account(AccountSpec(email=other))
    assert grant(world, "u_ana", other) == "choose_calendar"
    world.commit("job_1", job())
    world.sync()
    assert (world.calls(first), world.calls(other)) == ([], [])
    choose(world, "u_ana", other)
    world.sync()
    assert (world.titles(first), world.titles(other)) == ([], [TITLE])


def test_a_calendar_chosen_again_shows_what_changed_while_nobody_was_on_it(world: World) -> None:
    first = world.connect("u_ana")
    other = f"other-{first}"
    world.google.add_account(AccountSpec(email=other))
    for number in (1, 2, 3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.sync()
    for calendar in (other, first):
        assert grant(world, "u_ana", calendar) == "choose_calendar"
        world.commit("job_1", {}, "job.cancelled")
        world.commit("job_2", job("J-2b"))
        world.sync()
        choose(world, "u_ana", calendar)
    world.sync()
    assert world.titles(first) == ["J-2b · Dallas → Memphis", "J-3 · Dallas → Memphis"]
