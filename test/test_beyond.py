"""Figures that no single run has: defined, documented, and drawn with their meaning."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from wm_eval_ros.metrics.beyond import BEYOND, FIDELITY, SWEEP
from wm_eval_ros.metrics.definitions import definition, DEFINITIONS

DOCS = Path(__file__).resolve().parents[1] / 'docs'


@pytest.mark.parametrize(('page', 'names'), [('sweeps.md', SWEEP), ('fidelity.md', FIDELITY)])
def test_every_figure_has_its_section(page: str, names: dict[str, str]) -> None:
    heads = re.findall(r'^### (.+)$', (DOCS / page).read_text(encoding='utf-8'), re.MULTILINE)
    sections = {name for head in heads for name in re.findall(r'`([a-z0-9_]+)`', head)}
    # those that a run has too are described again where they are asked for
    assert sections - set(DEFINITIONS) == set(names)


def test_no_name_has_two_meanings() -> None:
    assert not set(BEYOND) & set(DEFINITIONS)
    assert set(SWEEP).isdisjoint(FIDELITY)


def test_the_meaning_is_found_under_the_name_of_the_figure() -> None:
    assert definition('probe_error[tip_pose.pose.position.x, h=5]') == BEYOND['probe_error']
    assert definition('planning_horizon').startswith('Smallest horizon')
