"""The report of a run: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report import parts, viewer
from wm_eval_ros.report.checks import Check, GATE, overall
from wm_eval_ros.report.parts import lookup
from wm_eval_ros.report.plots import (
    detector,
    episodes,
    latency,
    prediction,
    recovery,
    states,
    surprise,
    sweeps,
)
from wm_eval_ros.report.plots.base import Drawn
from wm_eval_ros.report.shell import assemble
from wm_eval_ros.report.text import title
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.report.viewer import Frames
from wm_eval_ros.scoring.conditions import whereabouts
from wm_eval_ros.scoring.scorecard import canonical, Scorecard
from wm_eval_ros.scoring.sweep import Sweep

#: the figures a decision begins with
BOARD = {'success': 'success_rate', 'interventions': 'intervention_rate',
         'time to retrain': 'time_to_retrain', 'cost per hour': 'cost_per_hour'}
#: those asked for next, as far as the run has them
KEYS = {'success, nobody helping': 'unaided_success_rate',
        'deadline misses': 'deadline_miss_rate', 'plan latency, p99': 'plan_latency.p99',
        'sense to act, median': 'sense_to_act.p50',
        'steps to success, median': 'steps_to_success.median',
        'one-step error against persistence': 'prediction_ratio[h=1]',
        'useful prediction horizon': 'useful_prediction_horizon',
        'slots above the surprise threshold': 'surprise_alarm_rate',
        'fallbacks': 'fallback_rate', 'time degraded': 'degraded_share',
        'time stopped': 'stopped_share', 'commands refused': 'refusal_rate',
        'CPU time per decision': 'cpu_time.mean'}
#: those of the recorded score as a detector
DETECTOR = {'perturbed ranked above unperturbed (AUROC)': 'auroc',
            'perturbed episodes detected': 'detection_rate',
            'detected by false alarms alone': 'chance_detection_rate',
            'delay of detection, median': 'detection_delay.median',
            'false alarms': 'false_alarm_rate',
            'failures warned of': 'warned_failures', 'lead time, median': 'lead_time.p50'}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a figure stands, what it is called when it is missing, what it shows."""

    part: str
    name: str
    metrics: tuple[str, ...] = ()
    wide: bool = False


_PLACES = {
    'baselines': _Place('Task', 'success by planner', ('success_rate',)),
    'survival': _Place('Task', 'steps to success', ('steps_to_success',)),
    'episodes': _Place('Task', 'episodes', ('episodes',)),
    'latency': _Place('Time', 'latency', ('plan_latency', 'deadline_miss_rate')),
    'timeline': _Place('Time', 'every slot', ('deadline_miss_rate', 'slots')),
    'horizon': _Place('Prediction', 'error by horizon',
                      ('prediction_error', 'persistence_error', 'useful_prediction_horizon')),
    'calibration': _Place('Prediction', 'calibration', ('calibration_ece',)),
    'states': _Place('Prediction', 'imagined and actual state', (), True),
    'surprise': _Place('Surprise', 'surprise along the run',
                       ('surprise', 'surprise_alarm_rate'), True),
    'roc': _Place('Surprise', 'the scores as detectors', ('detector.slot_auroc',)),
    'recovery': _Place('Surprise', 'recovery over severity', ('recovery_rate',)),
}
_PARTS = ('Task', 'Time', 'Prediction', 'Surprise', 'Across runs')


def page(card: Scorecard, run: Run, trace: TraceCollector, checks: Sequence[Check] = (),
         others: Sequence[Scorecard] = (), frames: Frames | None = None,
         across: Sequence[Sweep] = ()) -> str:
    """
    Return the whole report as HTML.

    :param others: scorecards of baselines on the same starts
    :param frames: images of the recorded camera, as far as they are to be shown
    :param across: results over several runs that are shown with this one
    :raises MissingExtraError: plotly is not installed
    """
    frames = frames or Frames()
    panels, rollouts = states.states(card, trace)
    drawn: dict[str, Mapping[str, Drawn]] = {
        **_of_the_run(card, run, others), 'states': panels,
        **{f'sweep-{at}': {'': sweeps.success(sweep)} for at, sweep in enumerate(across)}}
    places = {**_PLACES, **{f'sweep-{at}': _Place('Across runs', f'success over {sweep.key}',
                                                  sweeps.metrics(sweep))
                            for at, sweep in enumerate(across)}}
    if others:
        places['episodes'] = replace(places['episodes'], wide=True)
    else:
        del drawn['baselines']
    linked = [*BOARD.values(), *(name for place in places.values() for name in place.metrics)]
    body = _body(card, checks, others, _sections(card, drawn, places, frames),
                 parts.missing(drawn, {place: at.name for place, at in places.items()}), linked)
    plots = {place: found for place, each in drawn.items() if (found := parts.plotted(each))}
    return assemble(title(card), body, plots, viewer.payload(card, trace, frames, rollouts))


def _of_the_run(card: Scorecard, run: Run,
                others: Sequence[Scorecard]) -> dict[str, Mapping[str, Drawn]]:
    found = {
        'baselines': episodes.baselines(card, others), 'episodes': episodes.strip(card),
        'survival': episodes.survival(run, card), 'latency': latency.distribution(run),
        'timeline': latency.timeline(run), 'horizon': prediction.horizon(card),
        'calibration': prediction.calibration(card, run), 'surprise': surprise.timeline(run),
        'recovery': recovery.severity(card)}
    return {**{place: {'': drawn} for place, drawn in found.items()},
            'roc': detector.roc(run, card)}


def _sections(card: Scorecard, drawn: Mapping[str, Mapping[str, Drawn]],
              places: Mapping[str, _Place], frames: Frames) -> dict[str, str]:
    """Return the figures of each part of the page, parts without any left out."""
    found: dict[str, str] = dict.fromkeys(_PARTS, '')
    for place, at in places.items():
        if place == 'states':
            found[at.part] += viewer.section(card, drawn[place], frames)
        elif place in drawn:
            found[at.part] += parts.figure(place, drawn[place], at.metrics, wide=at.wide)
    if found['Surprise']:
        found['Surprise'] = _detector(card) + found['Surprise']
    return {part: html for part, html in found.items() if html}


def _detector(card: Scorecard) -> str:
    """Return the figures of the recorded score as a detector; empty where there is none."""
    values = {text: lookup(card.values, f'detector[surprise].{name}')
              for text, name in DETECTOR.items()}
    if all(value.value is None for value in values.values()):
        return ''
    return ('<figure class="wide"><figcaption><h3>Surprise as a detector, by episode</h3>'
            '</figcaption>'
            f'{parts.keys(list(values.items()))}</figure>')


def _body(card: Scorecard, checks: Sequence[Check], others: Sequence[Scorecard],
          sections: Mapping[str, str], missing: str, linked: Sequence[str]) -> str:
    every = (*card.values, *card.host)
    anchors = ['Checks', *sections, 'All figures', 'Definitions']
    nav = ''.join(f'<a href="#{parts.anchor(part)}">{part}</a>' for part in anchors)
    figures = ''.join(parts.part(part, f'<div class="grid">{html}</div>')
                      for part, html in sections.items())
    manifest = escape(canonical({**card.manifest, **card.provenance}))
    defined = parts.definitions([*(v.name for v in every), *linked])
    return (f'<div class="page"><header>{_head(card, checks, others)}</header>'
            f'{parts.board([(text, lookup(every, name)) for text, name in BOARD.items()])}'
            f'{parts.keys(_keys(every))}<nav aria-label="parts of the report">{nav}</nav>'
            f'{parts.part("Checks", parts.checks(checks))}<main>{figures}</main>'
            f'{parts.part("All figures", _figures(card) + missing)}'
            f'{parts.part("Definitions", defined)}'
            f'<details class="part"><summary>Manifest</summary><pre>{manifest}</pre></details>'
            '</div>')


def _keys(values: Sequence[MetricValue]) -> list[tuple[str, MetricValue]]:
    known = {v.name: v for v in values}
    return [(text, known[name]) for text, name in KEYS.items()
            if name in known and known[name].value is not None]


def _figures(card: Scorecard) -> str:
    return ('<p class="lead">A name links to its definition. A dash is no evidence, never zero.'
            '</p>'
            f'{parts.search(card.values)}<div id="all">{parts.table(card.values)}'
            '<h3>Of this host and this recorder</h3><p class="lead">Measured, and no part of what '
            f'two equal runs must agree on.</p>{parts.table(card.host)}</div>')


def _head(card: Scorecard, checks: Sequence[Check], others: Sequence[Scorecard]) -> str:
    verdict = overall(checks)
    chips = ' '.join(_against(card, other) for other in others)
    return (f'<p class="run">{escape(title(card))}</p><h1>{_headline(card)}</h1>'
            f'<p class="verdict"><span class="tag {verdict.value}">{parts.MARKS[verdict]}</span>'
            f'<span>{parts.prose(reasons(checks))}</span></p>'
            f'{f"<p class=soft>{chips}</p>" if chips else ""}')


def reasons(checks: Sequence[Check]) -> str:
    """Return in one sentence what the verdict rests on."""
    gates = [c for c in checks if c.group == GATE]
    worst = [c for c in (gates or checks) if c.verdict is overall(checks)]
    broken = [c for c in checks if c.verdict is Verdict.ERROR]
    if broken:
        return f'the evidence is broken: {broken[0].name}: {broken[0].text}'
    if overall(checks) is not Verdict.PASS:
        more = f', and {len(worst) - 1} more' if len(worst) > 1 else ''
        return f'{worst[0].name}: {worst[0].text}{more}'
    if gates:
        return f'all {len(gates)} gates and conditions hold'
    return 'the evidence is complete; no gate was asked for' if checks else 'no check was made'


def _headline(card: Scorecard) -> str:
    rate = card['success_rate']
    where = f' {escape(told)}' if (told := whereabouts(card.manifest)) else ''
    if rate.value is None or rate.interval is None:
        return f'Success unknown{where}: {escape(rate.why)}'
    low, high = rate.interval[:2]
    helped = sum(e.helped for e in card.episodes)
    with_help = f', {helped} of them with help' if helped else ''
    return (f'{round(rate.value * rate.n)} of {rate.n} episodes succeeded{where}{with_help} '
            f'<small>{100 * low:.0f} to {100 * high:.0f}\u00a0% at 95\u00a0% confidence</small>')


def _against(card: Scorecard, other: Scorecard) -> str:
    mine, theirs = card['success_rate'].interval, other['success_rate'].interval
    name = escape(str(other.manifest.get('planner') or 'baseline'))
    if mine is None or theirs is None:
        word = 'Not comparable to'
    elif mine.low > theirs.high:
        word = 'Above'
    else:
        word = 'Below' if mine.high < theirs.low else 'Not told apart from'
    return f'{word} {name}.'
