"""Who speaks for a calendar during a push: one healthy connection after another."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from outbox.access import Access
from outbox.lane import LaneConnection, Lease
from outbox.trouble import Trouble


@dataclass(slots=True)
class Speaker:
    """A connection with a token to call with."""

    connection: LaneConnection
    access_token: str = field(repr=False)
    renewed: bool = False
    """Whether the token has not been taken yet since it was renewed."""


class Speakers:
    """The connections of one lane that may push, for the length of one push.

    A refusal ends the part of the connection that it was given to, and of nobody else: the next one goes on.
    """

    def __init__(self, access: Access, lease: Lease, connections: Iterable[LaneConnection]) -> None:
        self._access = access
        self._lease = lease
        self._able = [connection for connection in connections if connection.may_push and connection.rest_left == 0]
        self._speaker: Speaker | None = None
        self._passed_over = False
        self.last_trouble: Trouble | None = None
        """What ended the part of the last connection that had to give up."""

    def current(self) -> Speaker | None:
        """The first connection that is able and has a token; None once there is none any more."""
        while self._speaker is None and self._able:
            connection = self._able[0]
            token = self._access.access_token(connection)
            if isinstance(token, str):
                self._speaker = Speaker(connection, token)
            else:
                self._lose(connection, token)
        return self._speaker

    def at_hand(self) -> Speaker | None:
        """Who speaks first, if that takes no request and nothing that is to be written down."""
        if self._speaker is None and self._able and (token := self._access.token_at_hand(self._able[0])):
            self._speaker = Speaker(self._able[0], token)
        return self._speaker

    @property
    def exhausted(self) -> bool:
        """Whether trouble has left nobody to speak; to be out of quota for a while is no trouble."""
        return not self._able and not self._passed_over

    @property
    def alone(self) -> bool:
        """Whether nobody could go on without the one who speaks, or nobody can at all."""
        return not self._able or (len(self._able) == 1 and not self._passed_over)

    def renew(self, speaker: Speaker) -> bool:
        """Get a new token for a speaker whose token was refused; False if that is over for this push."""
        if speaker.renewed:
            return False
        speaker.renewed = True
        token = self._access.access_token(speaker.connection, refused=True)
        if isinstance(token, str):
            speaker.access_token = token
            return True
        self.give_up(speaker, token)
        return False

    def give_up(self, speaker: Speaker, trouble: Trouble) -> None:
        """This speaker can do no more now; on record, for everybody who comes after."""
        if self._speaker is speaker:
            self._speaker = None
            self._lose(speaker.connection, trouble)

    def pass_over(self, speaker: Speaker) -> None:
        """This speaker's account is out of quota: for this push the next one goes on, and nothing is put on record."""
        if self._speaker is speaker:
            self._speaker = None
            self._able.remove(speaker.connection)
            self._passed_over = True

    def _lose(self, connection: LaneConnection, trouble: Trouble) -> None:
        self.last_trouble = trouble
        self._access.record_trouble(connection, trouble, calendar_id=self._lease.calendar_id)
        self._able.remove(connection)
