"""What the kernel says of the machine; light, so that looking at it needs no model library."""

from __future__ import annotations

from pathlib import Path


def text_of(path: str) -> str:
    """Return a file of the kernel; empty where it has none."""
    try:
        return Path(path).read_text(encoding='ascii', errors='replace').strip()
    except OSError:
        return ''


def governors() -> list[str]:
    """Return what sets the clock of the processors, sorted; none where the kernel shows none."""
    return sorted({text_of(str(path)) for path in Path('/sys/devices/system/cpu').glob(
        'cpu[0-9]*/cpufreq/scaling_governor')})


def in_container() -> bool:
    """Say whether a container engine left its mark."""
    return any(Path(p).exists() for p in ('/.dockerenv', '/run/.containerenv'))
