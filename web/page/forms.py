"""What the page's forms send, read as text and checked against what each form can say."""

from collections.abc import Mapping
from typing import TypeVar

import falcon

Choice = TypeVar("Choice")


class InvalidFormError(Exception):
    """Not what one of our forms sends."""


def read_form(req: falcon.Request) -> Mapping[str, str]:
    """The fields of a posted form; empty for a form without fields.

    Raises:
        InvalidFormError: another content type, not readable, or a field given twice.
    """
    if not req.content_length and req.content_type is None:
        return {}
    if (req.content_type or "").partition(";")[0].strip().lower() != falcon.MEDIA_URLENCODED:
        raise InvalidFormError
    try:
        fields = req.get_media(default_when_empty={})
    except (falcon.MediaMalformedError, falcon.MediaNotFoundError):
        raise InvalidFormError from None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise InvalidFormError
    return fields


def choose(fields: Mapping[str, str], name: str, choices: Mapping[str, Choice]) -> Choice:
    """What the field's value stands for.

    Raises:
        InvalidFormError: the field is missing, or says something that the form does not offer.
    """
    try:
        return choices[fields[name]]
    except KeyError:
        raise InvalidFormError from None
