"""The page on perturbations names every one, with its parameters, and no other."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import yaml

from wm_eval_ros.config.scenario import find_scenario, Scenario
from wm_eval_ros.config.schema import build
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.schedule import schedule

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def test_the_table_is_that_of_the_registry() -> None:
    spec = spec_from_file_location('make_perturbations', DOCS / 'make_perturbations.py')
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / 'perturbations.md').read_text(encoding='utf-8')
    assert made.document(page) == page, 'run docs/make_perturbations.py'
    assert all(f'| `{name}` |' in page for name in catalogue.names())


def test_the_sample_on_the_page_is_a_schedule_that_loads() -> None:
    page = (DOCS / 'perturbations.md').read_text(encoding='utf-8')
    sample = page.partition('```yaml\n')[2].partition('```')[0]
    raw = yaml.safe_load(find_scenario('reacher').read_text()) | yaml.safe_load(sample)
    scenario = build(Scenario, raw, 'sample')
    assert len(scenario.perturbations) == 4
    for each in scenario.perturbations:
        catalogue.check(each.name, each.parameters)
    drawn = [schedule(scenario.perturbations, seed) for seed in range(20)]
    assert all(0.3 <= d.start_ns * 1e-9 <= 0.8 for each in drawn for d in each
               if d.name == 'physical.impulse')
    assert {len(each) for each in drawn} == {3, 4}
