"""Why an event could not be written is said in a user's words, with Google's own behind them."""

import pytest

from outbox.google.meaning import Answer, Meaning
from outbox.google.refusal import refusal_sentence


@pytest.mark.parametrize(
    ("reason", "message", "sentence"),
    [
        (
            "timeRangeEmpty",
            "The specified time range is empty.",
            "Google says that the event ends before it begins. Check the job's times."
            " (Google: timeRangeEmpty, The specified time range is empty)",
        ),
        (
            "invalid",
            "invalid",
            "Google does not accept a value in this event. Check the job's times, addresses and texts."
            " (Google: invalid)",
        ),
        (
            "forbiddenForNonOrganizer",
            "Shared properties can only be changed by the organizer of the event.",
            "Somebody else is the organizer of this event, so Google does not let us change it. (Google:"
            " forbiddenForNonOrganizer, Shared properties can only be changed by the organizer of the event)",
        ),
        ("", "HTTP 413", "Google refused this event. (Google: HTTP 413)"),
        ("neverHeardOf", "No way.", "Google refused this event. (Google: neverHeardOf, No way)"),
    ],
)
def test_a_refusal_is_a_sentence_for_the_user_with_googles_words(reason: str, message: str, sentence: str) -> None:
    answer = Answer(Meaning.INVALID, 400, reason, message)
    assert refusal_sentence(answer, "Google refused this event.") == sentence


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (
            "invalidParameter",
            "Google does not accept a value in this event. Check the job's times, addresses and texts.",
        ),
        ("required", "Google misses a value in this event. Check that the job has its times."),
        ("parseError", "Google could not read this event. Check the job's texts for unusual characters."),
        ("badRequest", "Google could not read this event. Check the job's texts for unusual characters."),
        ("forbidden", "Google does not allow us to change this event."),
        ("PERMISSION_DENIED", "Google does not allow us to change this event."),
    ],
)
def test_each_reason_that_a_user_can_do_something_about_says_what(reason: str, sentence: str) -> None:
    answer = Answer(Meaning.INVALID, 400, reason, reason)
    assert refusal_sentence(answer, "Google refused this event.") == f"{sentence} (Google: {reason})"
