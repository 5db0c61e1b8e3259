"""What is left to say after a disconnect. Pure."""

from dataclasses import dataclass

from outbox.connection_view import LastDisconnect
from outbox.grants import Revocation
from web.page import wording


@dataclass(frozen=True, slots=True)
class Goodbye:
    """How the disconnect went; `by_hand`: the user should remove our access on Google's own page; `events_left`: there
    are events of ours that the user may want to remove.
    """

    title: str
    text: str
    by_hand: bool = False
    events_left: bool = False


def goodbye_of(last: LastDisconnect | None) -> Goodbye | None:
    """What the last disconnect left behind, in plain words; None if there was none."""
    if last is None:
        return None
    title, text, by_hand = _SAID[Revocation(last.revocation)]
    left = (
        f"{wording.counted(last.events_left, 'event', 'events')} that we added "
        f"{'is' if last.events_left == 1 else 'are'} still in your calendar and no longer kept up to date."
    )
    sentences = [text, left if last.events_left else ""]
    return Goodbye(title, wording.joined(sentences), by_hand, events_left=last.events_left > 0)


_SAID = {
    Revocation.REVOKED: ("Disconnected", "Our access to your Google account has been given up.", False),
    Revocation.SHARED: (
        "Disconnected",
        "We deleted our key to your Google account. Google still lists this app there, because a colleague syncs "
        "through the same Google account.",
        False,
    ),
    Revocation.DEAD: ("Disconnected", "Our access to your Google account had ended already.", False),
    Revocation.UNANSWERED: (
        "Disconnected, but Google did not answer",
        "We deleted our key to your Google account, so we can no longer use it. Google may still list this app there.",
        True,
    ),
    Revocation.REFUSED: (
        "Disconnected, but Google did not confirm",
        "We deleted our key to your Google account, so we can no longer use it. Google may still list this app there.",
        True,
    ),
    Revocation.NOTHING: ("Disconnected", "There was no access to give up.", False),
    Revocation.PENDING: ("Disconnected", "Our access to your Google account is being given up.", False),
}
