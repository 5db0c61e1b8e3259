"""On what a run was made."""

import os
import platform
import re
import subprocess
from pathlib import Path

from web.demo.stage import ROOT


def machine(postgres: str) -> dict[str, str]:
    """What the figures depend on, besides the code."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "cores": str(os.cpu_count()),
        "processor": model.group(1) if model else platform.machine(),
        "memory": f"{int(memory.group(1)) / 1024**2:.0f} GB" if memory else "",
        "system": f"{platform.system()} {platform.release()}",
        "PostgreSQL": postgres,
        "Python": platform.python_version(),
        "commit": commit.stdout.strip() + (" and changes" if changed.stdout.strip() else ""),
    }
