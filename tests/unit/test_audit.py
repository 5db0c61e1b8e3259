"""`make audit` passes only where every pin was audited; that it could not ask is told apart from what it was told."""

import json

import pytest

from tests.audit import CLEAN, LOCKS, NOT_AUDITED, PROJECT, UNREACHABLE, VULNERABLE, pins, verdict

PINNED = {"falcon": "4.3.1", "colorama": "0.4.6"}

SOUND = {"name": "falcon", "version": "4.3.1", "vulns": []}
BAD = {"name": "Colorama", "version": "0.4.6", "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.4.7"]}]}
UNKNOWN = {"name": "colorama", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_every_pin_of_a_lock_is_read_also_those_for_other_machines() -> None:
    lock = (
        "falcon==4.3.1 \\\n    --hash=sha256:00\npsycopg[binary]==3.3.9\n# a==1\n"
        "Typing_Extensions==4.16.0 ; python_full_version < '3.13' \\\n    --hash=sha256:11\n"
    )
    assert pins(lock) == {"falcon": "4.3.1", "psycopg": "3.3.9", "typing-extensions": "4.16.0"}


def test_no_lock_is_left_out() -> None:
    assert sorted(LOCKS) == sorted(path.name for path in PROJECT.glob("*.lock"))


@pytest.mark.parametrize("lock", LOCKS)
def test_no_line_of_a_lock_is_overlooked(lock: str) -> None:
    text = (PROJECT / lock).read_text()
    assert len(pins(text)) == sum(line[:1].isalnum() for line in text.splitlines()) > 0


@pytest.mark.parametrize(
    ("entries", "code", "told"),
    [
        ([SOUND, {**BAD, "vulns": []}], CLEAN, "nothing is known against any of the 2 pins"),
        ([SOUND, BAD], VULNERABLE, "colorama 0.4.6: PYSEC-1, mended in 0.4.7"),
        ([BAD], VULNERABLE, "falcon 4.3.1 could not be audited"),
        ([SOUND, UNKNOWN], NOT_AUDITED, "colorama 0.4.6 could not be audited"),
        ([SOUND], NOT_AUDITED, "colorama 0.4.6 could not be audited"),
        ([UNKNOWN], UNREACHABLE, "nothing was audited"),
        ([], UNREACHABLE, "nothing was audited"),
        (None, UNREACHABLE, "the advisory database cannot be reached"),
    ],
)
def test_the_verdict(entries: list[object] | None, code: int, told: str) -> None:
    report = None if entries is None else json.dumps({"dependencies": entries, "fixes": []})
    found, lines = verdict(PINNED, report)
    assert found == code
    assert told in "\n".join(lines)
