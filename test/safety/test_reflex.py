"""The reflex: what it adds, when it has nothing to say, and that it helps on a plant."""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
import pytest

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import ReflexTerm
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.safety.gate import CommandGate, Offer
from wm_eval_ros.safety.observed import Observed
from wm_eval_ros.safety.reflex import Reflex

MS = 1_000_000
COMMAND = CommandStream(topic='c', type='x/msg/Y', fields=('push',), low=(-5.0,), high=(5.0,))


def made(gain: float = 20.0, bound: float = 2.0) -> tuple[Reflex, Observed]:
    observed = Observed(['cart.x'], 100 * MS)
    reflex = Reflex(COMMAND, [ReflexTerm(field='push', feature='cart.x', gain=gain,
                                         bound=bound)], observed)
    # the latent is (x - 1) / 2
    reflex.learn(['cart.x'], [1.0], [2.0])
    return reflex, observed


def latent(x: float) -> np.ndarray:
    return np.array([(x - 1.0) / 2.0], np.float32)


@pytest.mark.parametrize(('seen', 'want'), [
    pytest.param(0.5, 0.0, id='as-foreseen'),        # halfway from 0 to 1
    pytest.param(0.45, 1.0, id='behind'),            # 20 * 0.05
    pytest.param(0.0, 2.0, id='never-more-than-its-bound'),
])
def test_it_adds_a_gain_times_what_is_missing(seen: float, want: float) -> None:
    reflex, observed = made()
    reflex.foresee(1000 * MS, 50 * MS, latent(0.0), latent(1.0))
    observed.update(0, [seen], 0)
    assert reflex.correction(1025 * MS, 0) == pytest.approx((want,), abs=1e-5)


def test_it_has_nothing_to_say_without_a_plan_or_a_measurement() -> None:
    reflex, observed = made()
    observed.update(0, [0.0], 0)
    assert reflex.correction(1025 * MS, 0) is None, 'no plan'
    reflex.foresee(1000 * MS, 50 * MS, latent(0.0), latent(1.0))
    assert reflex.correction(1000 * MS, 0) is None, 'the sample the plan began with'
    assert reflex.correction(1051 * MS, 0) is None, 'the next slot is due'
    assert reflex.correction(1025 * MS, 101 * MS) is None, 'a stale sample'
    observed.update(0, [math.nan], 0)
    assert reflex.correction(1025 * MS, 0) is None
    assert reflex.count == 0


def test_what_the_model_does_not_foresee_is_refused() -> None:
    reflex, _ = made()
    with pytest.raises(ConfigError, match=r"does not foresee 'cart\.x'"):
        reflex.learn(['cart.v'], [0.0], [1.0])


def test_after_a_model_it_cannot_use_it_has_nothing_to_say() -> None:
    reflex, observed = made()
    with pytest.raises(ConfigError, match='1 latent names, 2 means and 1 scales'):
        reflex.learn(['cart.x'], [0.0, 1.0], [1.0])
    reflex.foresee(1000 * MS, 50 * MS, latent(0.0), latent(1.0))
    observed.update(0, [0.0], 0)
    assert reflex.correction(1025 * MS, 0) is None


@pytest.mark.parametrize(('names', 'mean', 'scale'), [
    pytest.param(3, [1.0], [1.0], id='names'), pytest.param('cart.x', [1.0], [1.0], id='text'),
    pytest.param([['cart.x']], [1.0], [1.0], id='nested-names'),
    pytest.param(['cart.x'], ['x'], [1.0], id='words'),
    pytest.param(['cart.x'], [None], [1.0], id='null'),
    pytest.param(['cart.x'], [[1, 2]], [1.0], id='matrix'),
    pytest.param(['cart.x'], [1.0], {'a': 1}, id='mapping'),
    pytest.param(['cart.x'], [1.0], [10**400], id='beyond-a-float'),
])
def test_a_model_that_is_not_names_and_numbers_is_refused(
    names: object, mean: object, scale: object,
) -> None:
    reflex, observed = made()
    with pytest.raises(ConfigError, match='are no list of'):
        reflex.learn(names, mean, scale)
    reflex.foresee(1000 * MS, 50 * MS, latent(0.0), latent(1.0))
    observed.update(0, [0.0], 0)
    assert reflex.correction(1025 * MS, 0) is None


def test_a_correction_passes_the_limits_of_the_gate(make_gate: Callable[..., CommandGate]) -> None:
    gate = make_gate()
    assert gate.correct((0.1, 0.0), 0) == (0.1, 0.5)
    gate.offer(Offer((0.95, 1.0)), 10 * MS)
    assert gate.correct((0.02, 0.0), 20 * MS) == pytest.approx((0.97, 1.0))
    assert gate.correct((0.1, 0.0), 20 * MS) is None, 'beyond the range'
    gate.offer(Offer((math.nan, 1.0)), 30 * MS)
    assert gate.correct((0.0, 0.0), 40 * MS) is None, 'the fallback commands'


def drift(reflex: Reflex | None, observed: Observed) -> float:
    """
    Return how far a cart, x' = push + wind, is off its plan after 20 slots of 50 ms, on average.

    The planner knows of no wind and plans anew every slot; the reflex sees x every millisecond.
    """
    push, wind = 1.0, 0.5
    x, off = 0.0, []
    for slot in range(20):
        start_ns, planned, command = slot * 50 * MS, x + push * 0.05, push
        if reflex is not None:
            reflex.foresee(start_ns, 50 * MS, latent(x), latent(planned))
        for step in range(1, 51):
            x += (command + wind) * 0.001
            if reflex is not None:
                observed.update(0, [x], 0)
                added = reflex.correction(start_ns + step * MS, 0)
                command = push + (0.0 if added is None else added[0])
        off.append(abs(x - planned))
    return float(np.mean(off))


def test_it_keeps_a_disturbed_plant_nearer_to_the_plan() -> None:
    without = drift(None, made()[1])
    with_it = drift(*made())
    assert without == pytest.approx(0.5 * 0.05)
    # e' = wind - gain e over one slot: (1 - exp(-20 * 0.05)) / (20 * 0.05) of that
    assert with_it / without == pytest.approx((1 - math.exp(-1)) / 1, rel=0.03)
