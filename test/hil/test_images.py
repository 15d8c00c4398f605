"""Images beside the state, through a wire of 5 ms that loses nothing: the figures hold."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HALF_S = 500_000_000
RAW, JPEG = '/camera/image_raw', '/camera/image_raw/compressed'
STATE = ('/joint_states', '/tip_pose')
ANSWER = '/proposed/joint_command'
CAMERA = {'plant__camera_hz': 30.0, 'plant__camera_width': 640, 'plant__camera_height': 480,
          'plant__time_limit_s': 8.0, 'planner__deadline_ms': 100.0}
#: a planner that looks at the camera, and decides at once
LOOKING = {'interface__images': [{'topic': RAW.lstrip('/'), 'height': 60}],
           'planner__planner': 'noop', 'planner__model': '', 'planner__model_sha256': '',
           'planner__stale_ms': 2000.0}


def carried(frames: Any) -> None:
    """Check that the wire did what was asked, and nothing else."""
    assert frames.lost == frames.dropped == 0
    assert frames.held_ms.min() >= 4.0
    assert np.median(frames.held_ms) < 7.0


def test_raw_images_beside_the_state_are_timed_and_none_is_counted_lost(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    wire = way(delay_ms=5.0, jitter_ms=1.0)
    found = timed('planner', wire, wire, two_hosts.Clock(HALF_S), **CAMERA, **LOOKING)
    for frames in (found.out, found.back):
        carried(frames)
    card, run = found.scored.card, found.scored.run
    half_ms = two_hosts.uncertainty_ms(run)
    for topic in (RAW, *STATE):
        used = np.unique(run.inputs[topic]['sequence'])
        unused, over, lost = (card[f'samples_{name}[{topic}]'].value
                              for name in ('unused', 'superseded', 'lost'))
        # all that no slot used was sent, and did arrive at the recorder
        assert lost == 0
        assert unused == over == int(used[-1] - used[0]) + 1 - len(used)
        assert len(used) + unused <= len(run.link.sent[topic])
        true_ms = found.true_out_ms[topic]
        assert true_ms.min() >= 4.0
        assert card[f'one_way_out[{topic}].p50'].value == pytest.approx(
            float(np.median(true_ms)), abs=half_ms)
    # 0.9 MB in 15 datagrams, of which none may be late: an image takes longer than the state
    assert len(found.true_out_ms[RAW]) > 20
    assert np.median(found.true_out_ms[RAW]) > np.median(found.true_out_ms[STATE[0]])


def test_an_echo_of_jpeg_images_is_timed(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    wire = way(delay_ms=5.0, jitter_ms=1.0)
    found = timed('echo', wire, wire, two_hosts.Clock(HALF_S), topic=JPEG.lstrip('/'),
                  plant__camera_encoding='jpeg', **CAMERA)
    for frames in (found.out, found.back):
        carried(frames)
    card, link = found.scored.card, found.scored.run.link
    answered = link.received[ANSWER]['stamp']
    assert card[f'answers_unjoined[{ANSWER}]'].value == 0.0
    assert set(answered) <= set(link.sent[JPEG]['stamp'])
    assert len(answered) > 20
    trip, back = card[f'round_trip[{ANSWER}].p50'].value, card[f'one_way_back[{ANSWER}].p50'].value
    assert trip is not None
    assert trip > 8.0
    assert back == pytest.approx(float(np.median(found.true_back_ms[ANSWER])),
                                 abs=two_hosts.uncertainty_ms(found.scored.run))
