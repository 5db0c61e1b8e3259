"""Reading job traffic from a file, the packaged sample included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from web.demo.traffic import SAMPLE, Header, Tenant, Traffic, TrafficError, TrafficRow, read_traffic

HEADER = {"day_zero": "2026-11-23", "tenants": {"acme": {"timezone": "UTC", "office_users": ["u_ana"]}}, "jobs": 1}
ROW = {"at": 3.5, "tenant_id": "acme", "job_id": "j1", "event_type": "job.created", "payload": {"legs": []}}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "traffic.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_header_and_rows_are_read_in_the_files_order(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, ROW, ROW | {"at": 1, "rollback": True}, ROW | {"payload": [], "broken": "type"})
    assert read_traffic(path) == Traffic(
        Header("2026-11-23", {"acme": Tenant("UTC", ("u_ana",))}),
        (
            TrafficRow(3.5, "acme", "j1", "job.created", {"legs": []}),
            TrafficRow(1.0, "acme", "j1", "job.created", {"legs": []}, rollback=True),
            TrafficRow(3.5, "acme", "j1", "job.created", [], broken="type"),
        ),
    )


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "line 1: Invalid JSON"),
        (["nonsense"], "line 1: Invalid JSON"),
        (["[]"], "line 1: Input should be an object"),
        ([{"tenants": {}}], "line 1: day_zero: Field required"),
        ([HEADER, ROW, "{"], "line 3: Invalid JSON"),
        ([HEADER, {key: value for key, value in ROW.items() if key != "payload"}], "line 2: payload: Field required"),
        ([HEADER, ROW | {"at": "soon"}], "line 2: at: "),
        ([HEADER, ROW | {"tenant_id": "nobody"}], "line 1: tenants: lacks nobody"),
    ],
    ids=[
        "an empty file",
        "no JSON",
        "no object",
        "no day zero",
        "a cut line",
        "no payload",
        "a time that is none",
        "a tenant not in the header",
    ],
)
def test_a_malformed_file_is_refused_with_the_line(tmp_path: Path, lines: list[object], complaint: str) -> None:
    with pytest.raises(TrafficError, match=complaint):
        read_traffic(write(tmp_path, *lines))


def test_the_sample_holds_every_tenant_and_every_kind_of_row() -> None:
    sample = read_traffic(SAMPLE)
    assert {row.tenant_id for row in sample.rows} == set(sample.header.tenants)
    assert len({(row.tenant_id, row.job_id) for row in sample.rows}) == 40
    assert {row.event_type for row in sample.rows} == {"job.created", "job.updated", "job.cancelled"}
    assert {row.broken for row in sample.rows} == {None, "type", "tz", "number"}
    assert any(row.rollback for row in sample.rows)
    assert [row.at for row in sample.rows] == sorted(row.at for row in sample.rows)


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param('"start": "2026-12-28"', id="a date without a time"),
        pytest.param('"end": null', id="an open window"),
        pytest.param('"dispatch_window": null, "delivery_window": null', id="an unscheduled leg"),
        pytest.param("بضائع عامة", id="right-to-left script"),
        pytest.param("🍎", id="an emoji"),
        pytest.param("<b>fragile</b>", id="markup"),
    ],
)
def test_the_sample_holds(detail: str) -> None:
    assert detail in SAMPLE.read_text(encoding="utf-8")


def test_the_sample_holds_a_long_manifest() -> None:
    payloads = [row.payload for row in read_traffic(SAMPLE).rows if isinstance(row.payload, dict)]
    assert max(len((payload.get("manifest") or {}).get("items", [])) for payload in payloads) == 40
