"""Memory and energy of a decision, read from made-up counters."""

from __future__ import annotations

from pathlib import Path

from wm_eval_ros.planning.meter import EnergyMeter, peak_memory_bytes
from wm_eval_ros.records import NEVER_NS


def counter(folder: Path, zone: str, value: str, wraps_at: int = 1000) -> Path:
    (folder / zone).mkdir(exist_ok=True)
    (folder / zone / 'energy_uj').write_text(value + '\n')
    (folder / zone / 'max_energy_range_uj').write_text(f'{wraps_at}\n')
    return folder / zone / 'energy_uj'


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    for zone, value in (('intel-rapl:0', '100'), ('intel-rapl:1', '20'), ('intel-rapl:0:0', '7')):
        counter(tmp_path, zone, value)
    meter = EnergyMeter(tmp_path)
    assert meter.read_uj() == 120
    counter(tmp_path, 'intel-rapl:1', '25')
    assert meter.since_uj(120) == 5


def test_a_single_counter_that_wrapped_is_made_up_for(tmp_path: Path) -> None:
    counter(tmp_path, 'intel-rapl:0', '990')
    meter = EnergyMeter(tmp_path)
    before = meter.read_uj()
    counter(tmp_path, 'intel-rapl:0', '15')
    assert meter.since_uj(before) == 25


def test_of_two_counters_a_wrap_is_not_known(tmp_path: Path) -> None:
    counter(tmp_path, 'intel-rapl:0', '990')
    counter(tmp_path, 'intel-rapl:1', '5')
    meter = EnergyMeter(tmp_path)
    before = meter.read_uj()
    counter(tmp_path, 'intel-rapl:0', '15')
    assert meter.since_uj(before) == NEVER_NS


def test_a_host_without_counters_gives_no_energy(tmp_path: Path) -> None:
    counter(tmp_path, 'intel-rapl:0', 'not a number')
    meter = EnergyMeter(tmp_path)
    assert meter.read_uj() == NEVER_NS
    assert meter.since_uj(NEVER_NS) == NEVER_NS


def test_a_counter_that_becomes_unreadable_gives_no_energy(tmp_path: Path) -> None:
    path = counter(tmp_path, 'intel-rapl:0', '100')
    meter = EnergyMeter(tmp_path)
    path.unlink()
    assert meter.since_uj(100) == NEVER_NS


def test_this_process_has_memory() -> None:
    block = bytearray(b'1') * 32_000_000
    assert peak_memory_bytes() > len(block)
