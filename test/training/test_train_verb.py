"""What `wm-eval train` says of a model, with and without a predicted spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.training.mined import write_mined
from wm_eval_ros.training.trajectory import Dataset


@pytest.mark.parametrize(('family', 'spread'), [
    ('ensemble', True), ('ssm', False), ('transformer', False)])
def test_a_family_is_trained_and_told_of(
    family: str, spread: bool, linear_world: Dataset, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_mined(tmp_path / 'data', linear_world, {
        'interface': to_plain(linear_world.interface), 'dt_s': linear_world.dt_s,
        'feature_names': list(linear_world.feature_names)})
    assert main(['train', str(tmp_path / 'data'), '--out', str(tmp_path / 'made'), '--family',
                 family, '--steps', '3']) == 0
    assert load_spec(tmp_path / 'made').family == family
    assert ('within the predicted 90 %' in capsys.readouterr().out) is spread
