"""What an operator is told when somebody was forgotten."""

from typing import get_args

from outbox.grants import Revocation
from outbox.verbs.forgotten import GRANTS, WHY_LEFT, EventsLeft, Forgotten, Whose, WhyLeft, count_ends

ANA = Whose("acme", "u_ana")


def test_every_end_and_every_reason_has_its_words() -> None:
    assert WHY_LEFT.keys() == set(get_args(WhyLeft))
    assert GRANTS.keys() == {end.value for end in Revocation} - {"nothing", "pending"}


def test_what_went_and_what_stays_is_told_in_numbers() -> None:
    left = (EventsLeft("a@example.com", 2, "no_access"), EventsLeft("team@example.com", 38, "shared"))
    forgotten = Forgotten(412, left, {"revoked": 1, "shared": 2}, {"lane": 1, "pushed_event": 450}, 0)
    assert list(forgotten.told(ANA)) == [
        "events removed: 412",
        "events left: 40, in 2 calendars",
        "  2 in a@example.com: Google no longer accepts our access",
        "  38 in team@example.com: colleagues use this calendar",
        "  besides those of jobs long over (JOB_RETENTION_DAYS), which are not on record any more and stay",
        "grants: 3",
        "  1 revoked at Google",
        "  2 kept at Google, because somebody else is connected with the same account",
        "rows erased: 451",
        "  1 lane",
        "  450 pushed_event",
    ]


def test_nothing_is_told_as_nothing_and_jobs_that_come_back_as_what_they_are() -> None:
    assert list(Forgotten(0, (), {}, {}, 0).told(ANA)) == ["nothing was stored about user u_ana of tenant acme"]
    assert list(Forgotten(0, (), {}, {}, 3).told(Whose("acme"))) == [
        "nothing was stored about tenant acme",
        "jobs are written again: 3 rows since; stop what writes them into the outbox, then repeat this",
    ]


def test_a_grant_kept_for_another_of_the_forgotten_ended_as_his_did() -> None:
    assert count_ends([("a", "shared"), ("a", "revoked"), ("b", "shared"), ("c", "dead")]) == {
        "dead": 1,
        "revoked": 2,
        "shared": 1,
    }
    assert count_ends([("a", "shared"), ("b", "shared"), ("a", "dead"), (None, "refused")]) == {
        "dead": 2,
        "refused": 1,
        "shared": 1,
    }
    assert count_ends([]) == {}
