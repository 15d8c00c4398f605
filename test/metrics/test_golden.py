"""Golden cases: a scene as JSON, and the figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
import re
from types import ModuleType

import pytest

from wm_eval_ros.metrics.definitions import DEFINITIONS, family
from wm_eval_ros.scoring.scorer import score

GOLDEN = sorted((Path(__file__).parent / 'golden').glob('*.json'))
DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'metrics.md'


@pytest.mark.parametrize('path', GOLDEN, ids=lambda path: path.stem)
def test_a_scene_has_the_figures_worked_out_by_hand(path: Path, scenes: ModuleType) -> None:
    data = json.loads(path.read_text())
    card = score(scenes.scene(data))
    found = {name: card[name].value for name in data['expect']}
    assert found == pytest.approx(data['expect']), data['why']
    for field, want in data.get('episodes', {}).items():
        assert [getattr(episode, field) for episode in card.episodes] == want, field


@pytest.mark.parametrize('path', GOLDEN, ids=lambda path: path.stem)
def test_every_figure_has_an_interval_or_says_why_not(path: Path, scenes: ModuleType) -> None:
    card = score(scenes.scene(json.loads(path.read_text())))
    for value in (*card.values, *card.host):
        assert value.interval is not None or value.why, value
        if value.interval is not None and value.value is not None:
            assert value.interval.low <= value.value <= value.interval.high, value


def test_every_figure_is_defined_and_has_its_section(scenes: ModuleType) -> None:
    sections = set(re.findall(r'^### `([a-z_]+)`', DOCS.read_text(), re.MULTILINE))
    card = score(scenes.busy_run())
    empty = score([])
    made = {family(v.name) for c in (card, empty) for v in (*c.values, *c.host)}
    assert made == set(DEFINITIONS)
    assert sections == made
