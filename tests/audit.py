"""Whether anything is known against the packages that are pinned: `make audit`.

pip-audit asks the advisory database. It passes over what the database does not know and says that all is well; here a
pin that could not be audited fails, whatever machine it is for.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-audit.lock")
PIP_AUDIT = PROJECT / ".venv" / "audit" / "bin" / "pip-audit"

CLEAN, VULNERABLE, NOT_AUDITED, UNREACHABLE = 0, 1, 2, 3
"""Exit codes."""

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """The versions in a lock file by package, also of those that this machine does not need. Pure."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PIN.findall(lock)}


def verdict(pinned: Mapping[str, str], report: str | None) -> tuple[int, Sequence[str]]:
    """The exit code and what to say of the pins. Pure.

    Args:
        report: pip-audit's, as JSON; None if it could not make one.
    """
    if report is None:
        return UNREACHABLE, ["the advisory database cannot be reached: nothing was audited; try again from elsewhere"]
    found = {_name(entry): entry for entry in json.loads(report)["dependencies"]}
    known = {name: entry["vulns"] for name, entry in found.items() if "vulns" in entry}
    missing = sorted(name for name in pinned if name not in known)
    if missing and not known:
        why = next((str(entry.get("skip_reason")) for entry in found.values()), "it says nothing of any package")
        return UNREACHABLE, [
            f"what answers in the advisory database's place has no advisories ({why}): nothing was audited"
        ]
    vulnerable = [
        f"{name} {pinned.get(name, '?')}: {vulnerability['id']}, mended in {_versions(vulnerability)}"
        for name, vulnerabilities in sorted(known.items())
        for vulnerability in vulnerabilities
    ]
    not_audited = [f"{name} {pinned[name]} could not be audited" for name in missing]
    if vulnerable:
        return VULNERABLE, [*vulnerable, *not_audited]
    if not_audited:
        return NOT_AUDITED, not_audited
    return CLEAN, [f"nothing is known against any of the {len(pinned)} pins"]


def _name(entry: Mapping[str, Any]) -> str:
    return re.sub(r"[-_.]+", "-", str(entry["name"])).lower()


def _versions(vulnerability: Mapping[str, Any]) -> str:
    return ", ".join(vulnerability.get("fix_versions") or ["no version yet"])


def ask(pinned: Mapping[str, str]) -> str | None:
    """pip-audit's report on these pins; None if it came to no end."""
    with tempfile.TemporaryDirectory() as folder:
        asked, report = Path(folder) / "requirements.txt", Path(folder) / "report.json"
        asked.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()))
        options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
        subprocess.run(
            [str(PIP_AUDIT), *options, f"--requirement={asked}", f"--output={report}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return report.read_text() if report.exists() and report.stat().st_size else None


def main() -> int:
    """Audit each lock file; the worst answer counts."""
    worst = CLEAN
    for lock in LOCKS:
        pinned = pins((PROJECT / lock).read_text())
        code, lines = verdict(pinned, ask(pinned))
        worst = max(worst, code) if VULNERABLE not in (worst, code) else VULNERABLE
        for line in lines:
            sys.stdout.write(f"{lock}: {line}\n")
    return worst


if __name__ == "__main__":
    sys.exit(main())
