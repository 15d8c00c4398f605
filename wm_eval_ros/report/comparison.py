"""The page of a comparison: verdict and effect first, then where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report import parts
from wm_eval_ros.report.forest import difference_range, difference_text, forest
from wm_eval_ros.report.plots import contrast as plots
from wm_eval_ros.report.plots.base import Drawn
from wm_eval_ros.report.shell import assemble
from wm_eval_ros.scoring.compare import Comparison, Contrast, Discordance, HypothesisTest, Side
from wm_eval_ros.scoring.evidence import Evidence

#: pairs drawn at most
MAX_PAIRS = 2000
_SIGNS = {'success': '', 'failure': '×', 'timeout': '–', 'abort': '·', 'open': '·'}


def page(comparison: Comparison, evidence: Sequence[Evidence] = ()) -> str:
    """
    Return the whole comparison as HTML.

    :param evidence: what the sides rest on, in their order, for the plots of samples
    :raises MissingExtraError: plotly is not installed
    """
    drawn: dict[str, Mapping[str, Drawn]] = {
        'success': {'': plots.success(comparison)},
        'differences': {'': plots.differences(comparison)},
        'latency': {'': plots.latency(comparison, evidence)},
        'path': {f'{c.first} and {c.second}': plots.path(comparison, c)
                 for c in comparison.contrasts}}
    title = ' against '.join(side.title for side in comparison.sides)
    found = {place: own for place, each in drawn.items() if (own := parts.plotted(each))}
    return assemble(title, _body(comparison, drawn, title), found)


def _body(comparison: Comparison, drawn: Mapping[str, Mapping[str, Drawn]], title: str) -> str:
    sides = parts.part('Sides', _grid(drawn, ('success', 'differences')) + _sides(comparison))
    contrasts = ''.join(_contrast(comparison, c) for c in comparison.contrasts)
    samples = _grid(drawn, ('latency', 'path'))
    names = ['success_rate', 'plan_latency']
    names += [v.name for side in comparison.sides for v in side.figures]
    names += [e.name for c in comparison.contrasts for e in (c.success, *c.others)]
    leading = contrasts + sides if len(comparison.sides) == 2 else sides + contrasts
    return (f'<div class="page"><header>{_head(comparison, title)}</header>'
            f'{parts.board(_board(comparison))}<main>{leading}'
            f'{parts.part("Episodes", _pairs(comparison))}'
            f'{parts.part("Latency and evidence", samples) if samples else ""}</main>'
            f'{_notes(comparison)}{parts.part("Definitions", parts.definitions(names))}</div>')


def _head(comparison: Comparison, title: str) -> str:
    first = comparison.contrasts[0]
    difference = first.success.difference
    effect = (f'{escape(first.first)} − {escape(first.second)} in success: '
              f'{parts.prose(difference_text(difference))} '
              f'<small>{parts.prose(difference_range(difference))}</small>')
    verdict = comparison.verdict
    return (f'<p class="run">{escape(title)}</p><h1>{effect}</h1><p class="verdict">'
            f'<span class="tag {verdict.value}">{parts.MARKS[verdict]}</span>'
            f'<span>{parts.prose(comparison.sentence)}</span></p>')


def _board(comparison: Comparison) -> list[tuple[str, MetricValue]]:
    found = [(f'{side.letter} · {side.title}', side.figures[0])
             for side in comparison.sides[:5] if side.figures]
    gap = comparison.planning_gap
    return [*found, ('planning gap', gap)] if gap is not None else found


def _notes(comparison: Comparison) -> str:
    notes = [*comparison.notes, *(f'{side.letter}: {note}' for side in comparison.sides
                                  for note in side.notes)]
    if not notes:
        return ''
    items = ''.join(f'<li>{parts.prose(note)}</li>' for note in notes)
    return parts.part('Before believing it', f'<ul class="plain soft">{items}</ul>')


def _sides(comparison: Comparison) -> str:
    letters = '<th>letters</th>' if comparison.letters else ''
    rows = ''.join(_side(comparison, side) for side in comparison.sides)
    return ('<table class="flow"><thead><tr><th></th><th>system</th>'
            f'<th>clock</th><th class="r">episodes</th>{letters}<th>runs</th></tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def _side(comparison: Comparison, side: Side) -> str:
    letters = f'<td>{escape(comparison.letters[side.letter])}</td>' if comparison.letters else ''
    return (f'<tr><td><b>{escape(side.letter)}</b></td><td>{escape(side.title)}</td>'
            f'<td>{escape(str(side.manifest.get("clock", "")))}</td>'
            f'<td class="r" data-label="n =">{len(side.episodes):,}</td>{letters}'
            f'<td><code>{escape(", ".join(side.run_ids))}</code></td></tr>')


_METRICS = {'success': ('success_rate',), 'differences': ('success_rate',),
            'latency': ('plan_latency',)}


def _grid(drawn: Mapping[str, Mapping[str, Drawn]], places: Sequence[str]) -> str:
    figures = ''.join(parts.figure(place, drawn[place], _METRICS.get(place, ()))
                      for place in places)
    return f'<div class="grid">{figures}</div>' if figures else ''


def _contrast(comparison: Comparison, contrast: Contrast) -> str:
    said = '' if len(comparison.contrasts) == 1 else f'<p>{parts.prose(contrast.sentence)}</p>'
    needed = (f'<p class="lead">About {contrast.needed:,} pairs would show a difference like '
              'this one.</p>' if contrast.needed is not None else
              f'<p class="lead">{parts.prose(contrast.needed_why)}</p>'
              if contrast.needed_why else '')
    html = (f'{said}<p class="lead">{parts.prose(contrast.pairing)}</p>{forest(contrast)}'
            f'{_tests(contrast)}{needed}')
    return parts.part(f'{contrast.first} against {contrast.second}', html)


def _tests(contrast: Contrast) -> str:
    if not contrast.success.tests:
        return ''
    items = ''.join(f'<li>{parts.prose(outcome_text(t))}</li>' for t in contrast.success.tests)
    return f'<ul class="plain">{items}</ul>'


def outcome_text(test: HypothesisTest) -> str:
    """Return a test and its outcome in one sentence."""
    kind = 'e' if test.threshold > 1 else 'p'
    if test.value is None:
        return f'{test.name}: none ({test.why})'
    asked = f'{"at least" if kind == "e" else "at most"} {test.threshold:g} shows a difference'
    adjusted = '' if test.adjusted is None else f', {test.adjusted:.3g} after Holm'
    return f'{test.name}: {kind} = {test.value:.3g}{adjusted}, n = {test.n}; {asked}'


def _pairs(comparison: Comparison) -> str:
    """Return one column a seed with one cell a side: who solved which start."""
    outcomes = {side.letter: _by_seed(side) for side in comparison.sides}
    seeds = sorted(set().union(*outcomes.values()))
    if not seeds:
        return '<p class="lead">No seed was recorded.</p>'
    cells = ''.join(_column(seed, outcomes) for seed in seeds[:MAX_PAIRS])
    order = ', '.join(side.letter for side in comparison.sides)
    more = f' The first {MAX_PAIRS} are drawn.' if len(seeds) > MAX_PAIRS else ''
    return (f'<p class="lead">One column a seed, n = {len(seeds):,}, from top to bottom {order}.'
            f'{more}</p>{_key()}<div class="pairs">{cells}</div>{_discordance(comparison)}')


def _key() -> str:
    known = (('success', 'success'), ('failure', 'failure'), ('timeout', 'timeout'),
             ('abort', 'aborted or open'), ('none', 'not run'))
    return '<p class="lead key">' + ' '.join(
        f'<span class="cell {kind}">{_SIGNS.get(kind, "")}</span> {text}'
        for kind, text in known) + '</p>'


def _by_seed(side: Side) -> dict[int, str]:
    found: dict[int, str] = {}
    for episode in side.episodes:
        if episode.seed is not None:
            found.setdefault(episode.seed, episode.outcome)
    return found


def _column(seed: int, outcomes: Mapping[str, Mapping[int, str]]) -> str:
    own = {letter: by_seed.get(seed, 'none') for letter, by_seed in outcomes.items()}
    text = f'seed {seed}: ' + ', '.join(f'{k} {v}' for k, v in own.items()).replace(
        'none', 'not run')
    cells = ''.join(f'<span class="cell {kind}">{_SIGNS.get(kind, "")}</span>'
                    for kind in own.values())
    return f'<span role="img" title="{escape(text)}" aria-label="{escape(text)}">{cells}</span>'


def _counts(table: Discordance) -> tuple[int, int, int, int]:
    return table.both, table.only_first, table.only_second, table.neither


def _discordance(comparison: Comparison) -> str:
    """Return how many pairs both, one or neither of two sides solved."""
    heads = ('both solved', 'only the first', 'only the second', 'neither')
    rows = ''.join(
        f'<tr><td>{escape(c.first)} and {escape(c.second)}</td>'
        + ''.join(f'<td class="r" data-label="{head}">{count}</td>'
                  for head, count in zip(heads, _counts(c.table), strict=True)) + '</tr>'
        for c in comparison.contrasts if c.table is not None)
    columns = ''.join(f'<th class="r">{head}</th>' for head in heads)
    return (f'<table class="flow" style="max-width:620px"><thead><tr><th>pairs</th>{columns}</tr>'
            f'</thead><tbody>{rows}</tbody></table>' if rows else '')
