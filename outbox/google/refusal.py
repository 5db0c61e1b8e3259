"""What a refused event means, in a user's words, with Google's own behind them. Pure."""

from outbox.google.meaning import Answer

_SENTENCES = {
    "timeRangeEmpty": "Google says that the event ends before it begins. Check the job's times.",
    "invalid": "Google does not accept a value in this event. Check the job's times, addresses and texts.",
    "invalidParameter": "Google does not accept a value in this event. Check the job's times, addresses and texts.",
    "required": "Google misses a value in this event. Check that the job has its times.",
    "parseError": "Google could not read this event. Check the job's texts for unusual characters.",
    "badRequest": "Google could not read this event. Check the job's texts for unusual characters.",
    "forbiddenForNonOrganizer": "Somebody else is the organizer of this event, so Google does not let us change it.",
    "forbidden": "Google does not allow us to change this event.",
    "PERMISSION_DENIED": "Google does not allow us to change this event.",
}
"""By Google's reason, where it says what a user could look at."""


def refusal_sentence(answer: Answer, otherwise: str) -> str:
    """Why an event could not be written, shown or removed.

    Google's own words follow in brackets, for whoever has to search for them. `otherwise` is said before them where
    its reason tells a user nothing.
    """
    message = answer.message.rstrip(".")
    words = message if answer.reason in ("", message) else f"{answer.reason}, {message}"
    return f"{_SENTENCES.get(answer.reason, otherwise)} (Google: {words})"
