"""Golden cases: a scene as JSON, and the figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
import re
from types import ModuleType

import pytest

from wm_eval_ros.metrics.definitions import DEFINITIONS, family, PARTS
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.scorer import score

GOLDEN = sorted((Path(__file__).parent / 'golden').glob('*.json'))
DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'metrics.md'


@pytest.mark.parametrize('path', GOLDEN, ids=lambda path: path.stem)
def test_a_scene_has_the_figures_worked_out_by_hand(path: Path, scenes: ModuleType) -> None:
    data = json.loads(path.read_text())
    card = score(scenes.scene(data))
    found = {name: card[name].value for name in data['expect']}
    assert found == pytest.approx(data['expect'], abs=data.get('within', 1e-12)), data['why']
    for field, want in data.get('episodes', {}).items():
        assert [getattr(episode, field) for episode in card.episodes] == want, field


@pytest.mark.parametrize('path', GOLDEN, ids=lambda path: path.stem)
def test_every_figure_has_an_interval_or_says_why_not(path: Path, scenes: ModuleType) -> None:
    card = score(scenes.scene(json.loads(path.read_text())))
    for value in (*card.values, *card.host):
        assert value.interval is not None or value.why, value
        if value.interval is not None and value.value is not None:
            assert value.interval.low <= value.value <= value.interval.high, value


@pytest.fixture(scope='module')
def everything(scenes: ModuleType) -> list[MetricValue]:
    cards = [score(scenes.rich_run()), score([*scenes.link_run(), *scenes.clocks()]),
             score(scenes.echo_run()),
             score([*scenes.actuator_run(), *scenes.firmware_clocks()]), score([])]
    return [v for c in cards for v in (*c.values, *c.host)]


def test_every_figure_is_defined_and_has_its_section(everything: list[MetricValue]) -> None:
    sections = set(re.findall(r'^### `([a-z_]+)`', DOCS.read_text(), re.MULTILINE))
    made = {family(v.name) for v in everything}
    assert made == set(DEFINITIONS)
    assert sections == made
    assert made == set(DEFINITIONS)
    assert sections == made


def test_every_figure_of_the_detector_is_defined_and_has_its_row(
        everything: list[MetricValue]) -> None:
    rows = re.findall(r'^\| `\.([a-z0-9_]+)` \|', DOCS.read_text(), re.MULTILINE)
    made = {re.sub(r'\[.*\]', '', v.name).split('.')[1] for v in everything
            if family(v.name) == 'detector'}
    assert made == set(rows) == {name.removeprefix('detector.') for name in PARTS}


def test_names_are_unique_whatever_was_recorded(scenes: ModuleType) -> None:
    card = score(scenes.rich_run())
    names = [v.name for v in (*card.values, *card.host)]
    assert len(names) == len(set(names))
