"""What the sandbox can be told: its configuration and the bodies of its control requests."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from web.sandbox.model import Role


def _is_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


class Spec(BaseModel):
    """Immutable; a field it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CalendarSpec(Spec):
    """A calendar in an account's list. The same `id` under several accounts is one shared calendar."""

    id: str = Field(default="", description="made from the account and the title where empty")
    summary: str
    time_zone: str = "UTC"
    role: Role = Role.OWNER
    hidden: bool = False
    summary_override: str = ""


class AccountSpec(Spec):
    """A Google account. Its primary calendar (id = e-mail) is always there; `calendars` come besides."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    name: str = ""
    time_zone: str = "UTC"
    calendars: tuple[CalendarSpec, ...] = ()


class Config(Spec):
    """The configuration file. Without `redirect_uris` any address of this machine may be redirected to."""

    client_id: str = "sandbox-client"
    client_secret: str = Field(default="sandbox-secret", repr=False)
    redirect_uris: tuple[str, ...] = ()
    access_token_seconds: int = Field(default=3599, ge=1)
    accounts: tuple[AccountSpec, ...] = ()


class FaultKind(StrEnum):
    """What goes wrong. `refuse`, `cut` and `html` come before the work and instead of it; it is done for all others.

    `garbage` is an answer that breaks off. `lost` leaves the answer of a part out of the batch's answer, `reorder`
    answers a batch's parts in another order than they were sent in. A part that is cut takes the connection of its
    batch with it, and the calls that had not been made by then are not made.
    """

    REFUSE = "refuse"
    REFUSE_AFTER = "refuse_after"
    CUT = "cut"
    CUT_AFTER = "cut_after"
    DELAY = "delay"
    DELAY_AFTER = "delay_after"
    TRICKLE = "trickle"
    HTML = "html"
    GARBAGE = "garbage"
    LOST = "lost"
    REORDER = "reorder"


class Reach(StrEnum):
    """What a fault can hit: calls, whether plain or in a batch; HTTP requests, plain or batches; batches; parts."""

    CALL = "call"
    HTTP = "http"
    BATCH = "batch"
    PART = "part"


_REACH_OF_KIND = {FaultKind.LOST: Reach.PART, FaultKind.REORDER: Reach.BATCH}


class FaultSpec(Spec):
    """A fault and the requests it hits: those that match every condition given, thinned by `every` or `probability`.

    `reach` tells calls from HTTP requests where they come in batches: a `delay` that reaches `http` is paid once by a
    batch, one that reaches `call` by each of its parts. Of several rules the first that strikes wins, so a lasting
    delay belongs last. `path` is searched for in the decoded path; `count` ends the rule after so many hits; `seconds`
    is the length of a delay, or the pause after each byte of a trickle; `status`, `reason` and `retry_after` (seconds)
    are the refusal.
    """

    kind: FaultKind
    reach: Reach = Reach.CALL
    method: str = ""
    path: Annotated[str, AfterValidator(_is_pattern)] = ""
    account: str = ""
    calendar: str = ""
    count: int | None = Field(default=None, ge=1)
    every: int = Field(default=1, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
    status: int = Field(default=500, ge=400, le=599)
    reason: str = "backendError"
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _kind_fits_reach(self) -> Self:
        if self.reach is not _REACH_OF_KIND.get(self.kind, self.reach):
            raise ValueError(f"{self.kind} needs reach {_REACH_OF_KIND[self.kind]}")
        return self


class QuotaSpec(Spec):
    """Requests per sliding minute; None lifts the limit. `status` is how Google refuses: 403 or 429."""

    per_user: int | None = Field(default=None, ge=0)
    per_project: int | None = Field(default=None, ge=0)
    status: Literal[403, 429] = 403


class AccountName(Spec):
    """An account."""

    account: str


class ExpirySpec(Spec):
    """Whose access tokens end; empty means everybody's."""

    account: str = ""


class TokenSpec(Spec):
    """A token without a flow. `own` makes one that speaks for the user himself rather than for the project."""

    account: str
    scopes: tuple[str, ...] = ()
    own: bool = True


class RoleSpec(Spec):
    """An account's new role on a calendar; None takes the calendar from it."""

    account: str
    role: Role | None


class UserEdit(Spec):
    """An edit the user makes in Google's own interface; `patch` is in the form of events.patch."""

    account: str
    calendar: str
    event: str
    patch: dict[str, object]


class UserDelete(Spec):
    """A deletion the user makes in Google's own interface."""

    account: str
    calendar: str
    event: str
