"""A device under test seen from a test host: round trips, one-way times, what was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    distribution,
    Floats,
    Ints,
    missing,
    NS_PER_MS,
    share,
    Values,
)
from wm_eval_ros.metrics.clock import best_of, clock_values, Offset, offset_of, was_set
from wm_eval_ros.metrics.dependence import by_episode_or_block, cluster_distribution
from wm_eval_ros.metrics.link_log import Link
from wm_eval_ros.metrics.rows import NO_STAMP, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import Interval, MetricValue, NEVER_NS

#: answers of a topic that are a class of their own: caches and connections get warm
WARMUP = 20
#: largest uncertainty of the clocks, of the deadline, up to which one-way times are told
LARGEST = 0.1
_NO_ANSWER = 'no answer joins a message that the host sent'
_NO_CLOCK = 'no exchange of stamps with the device was recorded'


def at_stamp(rows: Rows, stamps: Ints) -> Ints:
    """
    Return the first row of each stamp, -1 where there is none.

    :param rows: in order of time, with `stamp`
    :param stamps: shape (N,)
    :returns: shape (N,)
    """
    known, first = np.unique(rows['stamp'], return_index=True)
    at = np.searchsorted(known, stamps)
    found = at < len(known)
    found[found] = known[at[found]] == stamps[found]
    if len(known) == 0:
        return np.full(len(stamps), -1)
    return np.asarray(np.where(found, first[np.where(found, at, 0)], -1))


def caused_by(answers: Ints, slots: Rows) -> Ints:
    """
    Return the stamp of the message that each answer answers.

    That of a planner is the oldest input of the slot whose command it is; an echo carries the
    stamp of what it answers.

    :param answers: stamps of the answers, shape (N,)
    :param slots: fields as in ROW
    :returns: shape (N,); NO_STAMP of a command decided from nothing
    """
    order = np.argsort(slots['command_stamp'], kind='stable')
    stamps = slots['command_stamp'][order]
    at = np.searchsorted(stamps, answers)
    found = at < len(stamps)
    found[found] = stamps[at[found]] == answers[found]
    caused = answers.copy()
    caused[found] = slots['oldest'][order[at[found]]]
    return np.asarray(caused)


class LinkFigures(TableMetric):
    """
    Figures of a link; none where no host recorded one.

    The round trip is the host's steady clock alone. One-way times are by two system clocks, less
    their offset, and told with its uncertainty.
    """

    def values(self, run: Run) -> Values:
        """Return the figures."""
        link = run.link
        if not (link.sent or link.received or link.exchanges):
            return ()
        sent = stimuli(link, run)
        clock = best_of(link.exchanges)
        limit_ns = LARGEST * deadline_ns(run)
        return (
            *(v for topic, rows in link.received.items()
              for v in _round_trip(topic, rows, sent, run)),
            *_unreceived(link, run, sent),
            *(v for topic, rows in link.sent.items()
              for v in _out(topic, rows, run, clock, limit_ns)),
            *(v for topic, rows in link.received.items()
              for v in _back(topic, rows, clock, limit_ns)),
            *(v for name, rows in (*link.sent.items(), *link.received.items())
              for v in _interval(name, rows)),
            *(v for server, rows in link.exchanges.items()
              for v in clock_values(server, offset_of(rows), len(rows))))


def stimuli(link: Link, run: Run) -> Rows | None:
    """
    Return what was sent and may be answered, by time; None: nothing was.

    A planner answers what its slot used, of any topic. An echo answers one topic, which may share
    stamps with another: that of whose stamps it answered most.
    """
    if not link.sent:
        return None
    if not np.any(run.schedule['command_stamp'] != NO_STAMP):
        return link.sent[_echoed(link)]
    rows = np.concatenate(list(link.sent.values()))
    return rows[np.argsort(rows['steady'], kind='stable')]


def _echoed(link: Link) -> str:
    answers = np.concatenate([rows['stamp'] for rows in link.received.values()] or [np.zeros(0)])

    def answered(topic: str) -> tuple[int, float, int]:
        found = np.isin(np.unique(link.sent[topic]['stamp']), answers)
        # of those that go out together the first, as an echo that is told nothing else
        return int(np.sum(found)), float(np.mean(found)), -int(link.sent[topic]['steady'][0])

    return max(link.sent, key=answered)


def firsts(rows: Rows) -> Rows:
    """Return the first message of each stamp, in order of time."""
    return rows[np.sort(np.unique(rows['stamp'], return_index=True)[1])]


def _round_trip(topic: str, rows: Rows, sent: Rows | None, run: Run) -> Values:
    name, warm = f'round_trip[{topic}]', f'round_trip_warmup[{topic}]'
    if sent is None:
        return (missing(name, 'ms', 'the host recorded nothing that it sent'),)
    answers = firsts(rows)
    at = at_stamp(sent, caused_by(answers['stamp'], run.schedule))
    taken = (answers['steady'][at >= 0] - sent['steady'][at[at >= 0]]) / NS_PER_MS
    first = distribution(warm, 'ms', taken[:WARMUP], _NO_ANSWER)
    rest = taken[WARMUP:]
    why = _NO_ANSWER if len(taken) == 0 else f'all {len(taken)} answers are of the warm-up'
    return (*clustered(name, rest, why), *(v for v in first if v.name == f'{warm}.max'),
            count_value(f'answers_unjoined[{topic}]', int(np.sum(at < 0)), len(answers)))


def _unreceived(link: Link, run: Run, sent: Rows | None) -> Iterable[MetricValue]:
    """Yield the share of commands, or of what an echo answers, that never came back."""
    commands = run.schedule['command_stamp']
    commands = commands[commands != NO_STAMP]
    for topic, rows in link.received.items():
        if len(commands):
            arrived = np.isin(commands, rows['stamp'])
            yield share(f'commands_unreceived[{topic}]', int(np.sum(~arrived)), len(commands),
                        'no command was published')
        elif sent is not None:
            stamps = np.unique(sent['stamp'])
            answered = np.isin(stamps, rows['stamp'])
            yield share(f'stimuli_unanswered[{topic}]', int(np.sum(~answered)), len(stamps),
                        'nothing was sent')


def _out(topic: str, sent: Rows, run: Run, clock: Offset | None, limit_ns: float) -> Values:
    """Return host to device, of the inputs that decisions used: only these tell of it."""
    name, used = f'one_way_out[{topic}]', run.inputs.get(topic)
    if used is None:
        return ()
    at = at_stamp(sent, used['stamp'])
    on = (at >= 0) & (used['received'] != NEVER_NS)
    source = sent['source'][at[on]]
    return _one_way(name, used['received'][on] - source, source, clock, limit_ns, -1)


def _back(topic: str, rows: Rows, clock: Offset | None, limit_ns: float) -> Values:
    """Return device to host."""
    on = (rows['source'] != NEVER_NS) & (rows['received'] != NEVER_NS)
    received = rows['received'][on]
    return _one_way(f'one_way_back[{topic}]', received - rows['source'][on], received, clock,
                    limit_ns, 1)


def _one_way(name: str, taken: Ints, times: Ints, clock: Offset | None, limit_ns: float,
             sign: int) -> Values:
    """
    Return one-way times, corrected and with the uncertainty of the clocks in every interval.

    :param taken: by the two clocks as they are [ns], shape (N,)
    :param times: when, by the host's system clock [ns], shape (N,)
    :param sign: of the device's offset in what is added
    """
    if clock is None:
        return (missing(name, 'ms', _NO_CLOCK),)
    if clock.set_ns:
        return (missing(name, 'ms', f'{was_set(clock)}; take the round trip'),)
    if clock.uncertainty_ns > limit_ns:
        return (missing(name, 'ms', 'the clocks are known to '
                        f'{clock.uncertainty_ns / NS_PER_MS:.3g} ms only, more than '
                        f'{LARGEST:.0%} of the deadline; take the round trip'),)
    half = clock.uncertainty_ns / NS_PER_MS
    corrected = (taken + sign * clock.at(times)) / NS_PER_MS
    found = clustered(name, np.asarray(corrected, np.float64),
                      'no message can be followed from one side to the other')
    return tuple(_widened(v, half) for v in found)


def _widened(value: MetricValue, half: float) -> MetricValue:
    if value.value is None or value.interval is None:
        return value
    found = value.interval
    return replace(value, interval=Interval(
        found.low - half, found.high + half, found.confidence,
        f'{found.method}, and clocks known to {half:.3g} ms'))


def _interval(topic: str, rows: Rows) -> Values:
    apart = np.diff(rows['steady']) / NS_PER_MS
    return clustered(f'interval[{topic}]', apart, 'fewer than two messages')


def clustered(name: str, samples: Floats, why: str) -> Values:
    """Return the quantiles and the largest of samples whose neighbours depend on each other."""
    numbers = np.arange(len(samples))
    return cluster_distribution(name, 'ms', samples,
                                by_episode_or_block(np.zeros_like(numbers), numbers), why)


def deadline_ns(run: Run) -> float:
    """Return the control deadline, from the manifest or else from the slots [ns]."""
    if run.info is not None and run.info.deadline_ns > 0:
        return float(run.info.deadline_ns)
    known = run.schedule['deadline'][run.schedule['deadline'] > 0]
    return float(np.min(known)) if len(known) else np.inf
