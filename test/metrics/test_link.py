"""A device seen from a test host: worked out by hand, with clocks that are apart."""

from __future__ import annotations

from dataclasses import replace
import random
from types import ModuleType

import pytest

from wm_eval_ros.metrics.link import WARMUP
from wm_eval_ros.records import ClockExchange, CycleRecord, LinkEvent, LinkKind, Record
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score


def values(card: Scorecard, *names: str) -> list[float | None]:
    return [card[name].value for name in names]


def test_the_round_trip_is_from_the_sample_used_to_the_command_that_answers_it(
    scenes: ModuleType
) -> None:
    card = score([*scenes.link_run(), *scenes.clocks()])
    name = f'round_trip[{scenes.ANSWER}]'
    assert values(card, f'{name}.p50', f'{name}.max') == pytest.approx([8.0, 8.0])
    assert card[f'{name}.p50'].n == scenes.LINK_SLOTS - WARMUP
    assert card[f'round_trip_warmup[{scenes.ANSWER}].max'].value == pytest.approx(8.0)
    assert values(card, f'answers_unjoined[{scenes.ANSWER}]',
                  f'commands_unreceived[{scenes.ANSWER}]') == [0, 0]


def test_one_way_times_are_corrected_and_know_how_far_the_clocks_are_known(
    scenes: ModuleType
) -> None:
    card = score([*scenes.link_run(), *scenes.clocks()])
    out, back = card['one_way_out[/joint_states].p50'], card[f'one_way_back[{scenes.ANSWER}].p50']
    assert (out.value, back.value) == pytest.approx((2.0, 1.0))
    assert out.interval is not None
    assert out.interval[:2] == pytest.approx((1.75, 2.25))
    assert 'clocks known to 0.25 ms' in out.interval.method
    assert card['clock_offset[planner]'].value == pytest.approx(500.0)
    # lopsided ways deceive the clocks by less than is stated
    lopsided = score([*scenes.link_run(), *scenes.clocks(out=scenes.MS, back=3 * scenes.MS)])
    found = lopsided['one_way_out[/joint_states].p50']
    assert found.interval is not None
    assert found.value == pytest.approx(3.0)
    assert found.interval.low <= 2.0 <= found.interval.high


def test_the_device_s_times_are_told_by_the_host_s_clock_where_it_is_known(
    scenes: ModuleType
) -> None:
    card = score([*scenes.link_run(), *scenes.clocks()])
    # taken 3 ms before the slot, published 11 ms after its begin
    assert card['staleness[/joint_states].p50'].value == pytest.approx(3.0)
    assert card['sense_to_act.p50'].value == pytest.approx(14.0)
    blind = score(scenes.link_run())
    assert blind['staleness[/joint_states].p50'].value == pytest.approx(503.0)
    # not shown to be off: 500 ms, known to 600
    poor = score([*scenes.link_run(), *scenes.clocks(out=600 * scenes.MS, back=600 * scenes.MS)])
    assert poor['staleness[/joint_states].p50'].value == pytest.approx(503.0)


def test_without_clocks_or_with_poor_ones_there_is_no_one_way_time(scenes: ModuleType) -> None:
    blind = score(scenes.link_run())
    assert blind['one_way_out[/joint_states]'].value is None
    assert 'no exchange' in blind['one_way_out[/joint_states]'].why
    # 6 ms of a deadline of 50 ms
    poor = score([*scenes.link_run(), *scenes.clocks(out=6 * scenes.MS, back=6 * scenes.MS)])
    assert poor[f'one_way_back[{scenes.ANSWER}]'].value is None
    assert 'more than 10% of the deadline' in poor[f'one_way_back[{scenes.ANSWER}]'].why
    assert poor[f'round_trip[{scenes.ANSWER}].p50'].value == pytest.approx(8.0)


def test_one_way_times_are_corrected_by_what_a_drifting_clock_was_ahead_then(
    scenes: ModuleType
) -> None:
    records = scenes.link_run()
    begin = records[2].ref.stamp_ns

    def drifted(at_ns: int) -> int:
        return round((at_ns - begin) * 4e-4)

    def exchange(at_ns: int) -> ClockExchange:
        there = at_ns + scenes.MS // 4
        return ClockExchange('planner', at_ns, there + scenes.AHEAD + drifted(there),
                             there + scenes.AHEAD + drifted(there), at_ns + scenes.MS // 2)

    def late(record: Record) -> Record:
        """Let the device's clock gain 0.4 ms a second, 8 ms over the run."""
        if isinstance(record, LinkEvent) and record.kind is LinkKind.RECEIVED:
            ref = record.ref
            moved = drifted(ref.received_ns)
            return replace(record, ref=replace(ref, source_ns=ref.source_ns + moved))
        if isinstance(record, CycleRecord):
            inputs = tuple(replace(i, received_ns=i.received_ns + drifted(i.source_ns))
                           for i in record.inputs)
            return replace(record, inputs=inputs)
        return record

    asked = [exchange(begin + burst * 10 * 10**9 + k * scenes.MS)
             for burst in range(3) for k in range(20)]
    card = score([*(late(r) for r in records), *asked])
    for name, want in (('one_way_out[/joint_states]', 2.0),
                       (f'one_way_back[{scenes.ANSWER}]', 1.0)):
        # the same at the begin and at the end
        assert card[f'{name}.p50'].value == pytest.approx(want, abs=0.02)
        assert card[f'{name}.max'].value == pytest.approx(want, abs=0.02)
    # set in between: nothing is told
    stepped = [replace(x, server_receive_ns=x.server_receive_ns + 10**9,
                       server_send_ns=x.server_send_ns + 10**9) for x in asked[20:]]
    refused = score([*(late(r) for r in records), *asked[:20], *stepped])
    why = refused[f'one_way_back[{scenes.ANSWER}]'].why
    assert 'a clock was set meanwhile' in why
    assert 'take the round trip' in why


def test_commands_that_never_came_are_counted(scenes: ModuleType) -> None:
    card = score(scenes.link_run(lost=(50, 51, 399)))
    found = card[f'commands_unreceived[{scenes.ANSWER}]']
    assert (found.value, found.n) == (3 / scenes.LINK_SLOTS, scenes.LINK_SLOTS)


def test_an_echo_answers_the_sample_whose_stamp_it_carries(scenes: ModuleType) -> None:
    card = score([*scenes.echo_run(), *scenes.clocks()])
    assert card[f'round_trip[{scenes.ANSWER}].p50'].value == pytest.approx(3.0)
    assert card[f'stimuli_unanswered[{scenes.ANSWER}]'].value == 3 / scenes.LINK_SLOTS
    assert card[f'one_way_back[{scenes.ANSWER}].p50'].value == pytest.approx(1.0)
    assert card['interval[/joint_states].p50'].value == pytest.approx(10.0)


def test_an_echo_of_images_is_not_asked_for_the_state_beside_them(scenes: ModuleType) -> None:
    # the state goes out three times as often, a millisecond before the image of the same stamp
    own = [r for r in scenes.echo_run(unanswered=0) if isinstance(r, LinkEvent)]
    images = [r for r in own if r.kind is LinkKind.SENT][::3]
    stamps = {r.ref.stamp_ns for r in images[2:]}
    sent = [replace(r, ref=replace(r.ref, topic='/camera', steady_ns=r.ref.steady_ns + scenes.MS))
            for r in images]
    card = score([scenes.info(planner='echo'), scenes.event('START', 0, -20.0), *sent, *(
        r for r in own if r.kind is LinkKind.SENT or r.ref.stamp_ns in stamps)])
    unanswered = card[f'stimuli_unanswered[{scenes.ANSWER}]']
    assert (unanswered.value, unanswered.n) == (2 / len(images), len(images))
    assert card[f'round_trip[{scenes.ANSWER}].p50'].value == pytest.approx(2.0)


def test_the_order_of_the_records_makes_no_difference(scenes: ModuleType) -> None:
    records = [*scenes.link_run(lost=(3,)), *scenes.clocks()]
    wanted = score(records).to_json()
    random.Random(1).shuffle(records)
    assert score(records).to_json() == wanted


def test_a_run_without_a_link_has_no_figure_of_one(scenes: ModuleType) -> None:
    card = score(scenes.rich_run())
    assert not [v for v in card.values if v.name.startswith(('round_trip', 'clock_', 'one_way'))]
