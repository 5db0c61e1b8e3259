"""SQL by name: one file a statement, under `sql/`."""

from functools import cache
from importlib.resources import files

from psycopg.sql import SQL


@cache
def statement(name: str) -> SQL:
    """The statement in `sql/NAME.sql`, for example `statement("push/lease_lanes")`; parameters are `%(name)s`."""
    text = files("sql").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    # Files of the project are the one source of SQL, so what is read here is as literal as a string in the code.
    return SQL(text)
