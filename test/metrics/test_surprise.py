"""The recorded score of a detector."""

from __future__ import annotations

import json
import math
from types import ModuleType

from wm_eval_ros.scoring.scorer import score


def test_an_infinite_score_is_an_alarm_and_nan_is_none(scenes: ModuleType) -> None:
    scores = [1.0, 2.0, math.inf, math.nan, 3.0, 9.0, math.inf, 1.0, 1.0]
    card = score([scenes.cycle(slot, surprise=value, surprise_threshold=4.0)
                  for slot, value in enumerate(scores)])
    rate = card['surprise_alarm_rate']
    assert (rate.value, rate.n) == (3 / 8, 8)
    # 1 1 1 2 3 9 inf inf: ceil(7 / 2) = 4 lie below the median
    assert card['surprise.p50'].value == 3.0
    assert card['surprise.max'].value is None
    assert card['surprise.max'].why == 'the sample that stands there is infinite'
    json.loads(card.to_json())
