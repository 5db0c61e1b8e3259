"""What the benchmark beside the peers makes of measured times and runs."""

import pytest

from tests.bench.race.load import Load
from tests.bench.race.tables import medians, readme_figures, verdicts
from tests.bench.race.timing import Sample, latency_figures, ratio_of_equals, stretches


def test_a_rate_that_falls_shows_in_the_last_tenth() -> None:
    steady_then_slow = [Sample(0, 0), Sample(9, 900), Sample(19, 1000)]
    figures = stretches(steady_then_slow, 1000)
    assert figures["first_per_s"] == pytest.approx(100)
    assert figures["last_per_s"] == pytest.approx(10)
    assert figures["last_to_first"] == pytest.approx(0.1)


def test_a_change_that_never_arrived_is_counted_as_missing() -> None:
    times: list[tuple[int, int | None]] = [(0, 2_000_000)] * 19 + [(0, None)]
    figures = latency_figures(times)
    assert (figures["p50_ms"], figures["missing"]) == (2.0, 1)


def test_a_claim_is_held_against_those_that_returned_as_many_rows() -> None:
    quiet = [(1.0, 10), (3.0, 10), (8.0, 40), (0.1, None)]
    beside = [(3.0, 10), (12.0, 40), (90.0, 700), (0.1, None)]
    assert ratio_of_equals(quiet, beside) == {"ratio_of_equals": 1.5, "equals": 2}
    assert ratio_of_equals(quiet, [(90.0, 700)]) == {}


def test_ours_is_held_against_the_best_peer_of_the_run_or_of_their_readme() -> None:
    ours = [{"per_s": 5000.0}, {"per_s": 7000.0}, {"per_s": 6000.0}]
    assert medians(ours) == {"per_s": 6000.0}
    (beside_peers,) = verdicts({"drain0": {"ours": ours, "txoutbox": [{"per_s": 5999.0}]}})
    assert beside_peers[1:] == ("6,000", "5,999 (txoutbox)", "ahead of all", "yes")
    (alone,) = verdicts({"drain0": {"ours": ours}})
    assert alone[2] == "6,702 (graphile-worker tuned, README)"
    assert alone[4] == "**no**"
    assert len(readme_figures("drain50")) == 7


def test_an_event_that_is_missing_doubled_or_old_is_a_mistake() -> None:
    load = Load(tenants=1, users=1, jobs=2)
    calendar = "u_0@tenant-000.example.com"
    right = {
        f"id-{number}": {"job": change.job, "summary": change.summary, "status": "confirmed"}
        for number, change in enumerate(load.every_job(version=2))
    }
    assert load.mistakes({calendar: right}, 2) == []
    assert load.mistakes({calendar: right}, 3) != []
    assert load.mistakes({calendar: right | {"id-9": right["id-0"]}}, 2) != []
    assert load.mistakes({}, 2) != []
