from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wm_eval_ros.safety.in_force import Answer, Witness

ZERO = (0.0,)


def foreign(answers: list[Answer], commands: list[tuple[tuple[float, ...], int]]) -> list[bool]:
    witness = Witness()
    witness.begin(ZERO)
    found = []
    for answer, (action, stamp_ns) in zip(answers, commands, strict=True):
        witness.answered(answer)
        assert not witness.settled
        witness.heard(action, stamp_ns)
        assert witness.settled
        found.append(witness.foreign)
    return found


def test_a_proposal_that_passes_unchanged_is_the_planners() -> None:
    assert foreign([Answer(0, (0.5,), 15)], [((0.5,), 15)]) == [False]


def test_another_command_or_the_same_at_another_time_is_somebody_elses() -> None:
    assert foreign([Answer(0, (0.5,), 15), Answer(50, (0.5,), 65)],
                   [((0.0,), 0), ((0.5,), 50)]) == [True, True]


def test_in_a_slot_without_a_proposal_the_command_in_force_goes_on() -> None:
    assert foreign([Answer(0, (0.5,), 70), Answer(50), Answer(100)],
                   [((0.5,), 70), ((0.0,), 50), ((0.5,), 100)]) == [False, False, False]


def test_a_fallback_that_goes_on_without_a_proposal_stays_somebody_elses() -> None:
    assert foreign([Answer(0, (0.5,), 15), Answer(50), Answer(100), Answer(150, (0.1,), 165)],
                   [((0.5,), 15), ((0.0,), 50), ((0.0,), 100), ((0.1,), 165)]) == [
                       False, True, True, False]


def executed(answers: list[Answer], commands: list[tuple[tuple[float, ...], int]]
             ) -> list[tuple[float, ...]]:
    witness, found = Witness(), []
    witness.begin(ZERO)
    assert witness.executed == ()
    for answer, command in zip(answers, commands, strict=True):
        witness.answered(answer)
        witness.heard(*command)
        found.append(witness.executed)
    return found


def test_what_the_gate_sent_is_executed_whatever_was_proposed() -> None:
    assert executed([Answer(0, (0.5,), 15), Answer(50, (0.5,), 65), Answer(100, (0.7,), 115)],
                    [((0.5,), 15), ((-1.0,), 50), ((0.7,), 115)]) == [(0.5,), (-1.0,), (0.7,)]


def test_a_command_on_its_way_stays_executed_while_the_one_before_is_repeated() -> None:
    assert executed([Answer(0, (0.5,), 70), Answer(50), Answer(100)],
                    [((0.5,), 70), ((0.0,), 50), ((0.5,), 100)]) == [(0.5,)] * 3


def test_a_refused_proposal_leaves_the_command_before_executed() -> None:
    assert executed([Answer(0, (0.5,), 15), Answer(50, (9.0,), 65)],
                    [((0.5,), 15), ((0.5,), 50)]) == [(0.5,), (0.5,)]
    assert executed([Answer(0, (9.0,), 15)], [((0.0,), 0)]) == [ZERO]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5])),
                max_size=8))
def test_the_order_in_which_answers_and_commands_come_changes_nothing(
    slots: list[tuple[float, float]],
) -> None:
    answers = [Answer(50 * k, (a,), 50 * k + 15) for k, (a, _) in enumerate(slots)]
    commands = [((c,), 50 * k + 15) for k, (_, c) in enumerate(slots)]
    witness = Witness()
    witness.begin(ZERO)
    for action, stamp_ns in commands:
        witness.heard(action, stamp_ns)
    for answer in answers:
        witness.answered(answer)
    assert witness.settled
    expected = foreign(answers, commands)
    assert witness.foreign == (expected[-1] if expected else False)
