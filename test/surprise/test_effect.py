"""Whether commands have the effect they had: by hand, and of a world that is made up."""

from __future__ import annotations

from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.effect import (
    CommandTest,
    context_of,
    Driven,
    Effect,
    fit_effect,
    KEEP,
)

#: errors are expected to be 0.1 z; the first entry moves by twice the command
PLAIN = Effect(np.zeros(1), np.array([[0.1, 0.0, 0.0]]), np.array([3.0]),
               np.array([[2.0, 1.0]]), np.array([[2.0, 1.0]]))


def test_the_score_is_the_one_worked_out_by_hand(scenes: ModuleType) -> None:
    own = CommandTest()
    made = scenes.cycle(0, latent=[1.0], action=[0.5], executed=(1.0,))
    # error 0.6 less 0.1; the commands push by 2 * 0.5 + 1 * 1 = 2
    assert own.update(np.array([0.6], np.float32), made, PLAIN) == pytest.approx(
        1.0 / np.sqrt(5), rel=1e-6)
    # -7 less 0.1 counts as -3: 0.97 - 6 over the root of 4 * 0.97 * 0.97 + 4 + 1
    assert own.update(np.array([-7.0], np.float32), made, PLAIN) == pytest.approx(
        5.03 / np.sqrt(8.7636), rel=1e-6)
    assert own.update(None, None, PLAIN) is None
    assert own.update(np.array([0.6], np.float32), made, PLAIN) == pytest.approx(
        1.0 / np.sqrt(5), rel=1e-6)


def test_an_error_that_is_no_number_has_no_finite_score_and_is_forgotten(
        scenes: ModuleType) -> None:
    own, made = CommandTest(), scenes.cycle(0, latent=[0.0], action=[1.0])
    found = own.update(np.array([np.nan], np.float32), made, PLAIN)
    assert found is not None
    assert np.isnan(found)
    assert own.update(np.array([1.0], np.float32), made, PLAIN) == pytest.approx(2 / np.sqrt(5))


def test_a_fault_after_many_calm_slots_shows_as_soon_as_one_at_the_start(
        scenes: ModuleType) -> None:
    rng = np.random.default_rng(1)
    samples = Driven()
    for gap, made in driven(scenes, rng):
        samples.add(gap, made)
    effect = fit_effect([samples])
    late = []
    for calm in (0, 3000):
        own = CommandTest()
        slots = [*(driven(scenes, rng) * (calm // 300)), *driven(scenes, rng, 0.2)]
        scores = [own.update(gap, made, effect) for gap, made in slots]
        assert all(s is not None and s < 6.0 for s in scores[:calm])
        late.append(next(k for k, s in enumerate(scores[calm:]) if s is not None and s > 6.0))
    assert late[1] <= 3 * late[0] + 3


def test_without_a_command_or_a_reference_there_is_no_score(scenes: ModuleType) -> None:
    gap = np.array([0.6], np.float32)
    good = scenes.cycle(0, latent=[1.0], action=[0.5])
    assert CommandTest().update(gap, good, None) is None
    assert CommandTest().update(gap, scenes.cycle(0, latent=[1.0], action=[0.5, 0.5]),
                                PLAIN) is None
    assert context_of(scenes.cycle(0, latent=[1.0], action=[])) is None
    assert context_of(scenes.cycle(0, latent=[float('nan')], action=[0.5])) is None


def driven(scenes: ModuleType, rng: np.random.Generator, loss: float = 0.0,
           ) -> list[tuple[Floats, object]]:
    """Make slots of a world z' = 0.9 z + (1 - loss) B u whose model errs by 0.05 z and noise."""
    found = []
    for _ in range(300):
        z, u = rng.normal(size=3), 0.3 * rng.normal(size=2)
        foreseen = 0.9 * z + np.array([u[0], u[1], 0.0])
        came = foreseen - loss * np.array([u[0], 0.0, 0.0]) + 0.05 * z + 0.02 * rng.normal(size=3)
        # an entry that is always as foreseen
        gap = np.append(came - foreseen, 0.0).astype(np.float32)
        found.append((gap, scenes.cycle(0, latent=np.append(z, 1.0), action=u.tolist(),
                                        rollout=[np.append(foreseen, 1.0)])))
    return found


def test_a_weak_actuator_stands_out_and_a_nominal_one_does_not(scenes: ModuleType) -> None:
    rng = np.random.default_rng(0)
    samples = Driven()
    for gap, made in driven(scenes, rng):
        samples.add(gap, made)
    effect = fit_effect([samples])
    assert effect is not None
    np.testing.assert_allclose(effect.weights[:3, :3], 0.05 * np.eye(3), atol=0.01)
    largest = {}
    for loss in (0.0, 0.2):
        own = CommandTest()
        scores = [own.update(gap, made, effect) for gap, made in driven(scenes, rng, loss)[:30]]
        largest[loss] = max(s for s in scores if s is not None)
    assert largest[0.0] < 4.0
    # 0.06 of 0.02 a slot where the command is usual, over thirty slots: some ten
    assert 8.0 < largest[0.2] < 20.0


def test_too_few_slots_and_commands_of_several_sizes_give_none(scenes: ModuleType) -> None:
    one, other = Driven(), Driven()
    one.add(np.zeros(1, np.float32), scenes.cycle(0, latent=[1.0], action=[1.0], rollout=[[1.0]]))
    other.add(np.zeros(1, np.float32),
              scenes.cycle(0, latent=[1.0], action=[1.0, 1.0], rollout=[[1.0]]))
    assert fit_effect([one]) is None
    assert fit_effect([one, other]) is None


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-1, 1)), min_size=1, max_size=12))
def test_the_score_is_that_of_all_slots_at_once(slots: list[tuple[float, float]]) -> None:
    own, errors, pushes = CommandTest(), [], []
    for error, command in slots:
        context = np.array([0.0, command, 0.0])
        errors.append(PLAIN.unexpected(np.array([error], np.float32), context)[0])
        pushes.append(2.0 * command)
        found = own.update(np.array([error], np.float32), _made(command), PLAIN)
    weights = KEEP ** np.arange(len(slots))[::-1]
    each, size = weights * np.array(errors), weights * np.array(pushes)
    want = abs(np.dot(each, pushes)) / np.sqrt(np.dot(size, size) + 1.0)
    assert found == pytest.approx(want, abs=1e-6)


def _made(command: float) -> object:
    from types import SimpleNamespace
    return SimpleNamespace(latent=np.zeros(1, np.float32), action=(command,), executed=())
