"""How long to wait before the next attempt. Pure: the randomness comes in as an argument."""

FIRST_SECONDS = 5.0
"""The first wait; what passes sooner was retried inside the call already."""

FACTOR = 3.0
"""5 s, 15 s, 45 s, 2¼ min, 7 min, 20 min, 1 h: growing, as Google demands of whoever retries."""

LONGEST_SECONDS = 3600.0
"""The wait is never longer: a job that can be pushed again is noticed within the hour."""

SPREAD = 0.25
"""Waits are spread by a quarter either way, so that what failed together does not come back together."""


def backoff_seconds(attempts: int, chance: float) -> float:
    """Seconds to wait after so many attempts (1 or more); `chance` is uniform in [0, 1)."""
    longest = FIRST_SECONDS * FACTOR ** (max(attempts, 1) - 1) if attempts < 32 else LONGEST_SECONDS
    return min(longest, LONGEST_SECONDS) * (1 + SPREAD * (2 * chance - 1))
