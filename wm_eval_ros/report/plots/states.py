"""What the model imagined, over what then happened, in physical units."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
import re
from typing import Any

import numpy as np

from wm_eval_ros.metrics.base import Floats, NS_PER_S
from wm_eval_ros.report.plots.base import (
    Absent,
    Drawn,
    envelope,
    INK,
    Layout,
    line,
    Marks,
    Plot,
    rounded,
    spread,
    thinned,
    Trace,
)
from wm_eval_ros.report.trace import EpisodeTrace, Ints, TraceCollector
from wm_eval_ros.report.units import with_unit
from wm_eval_ros.scoring.scorecard import Scorecard

#: panels and episodes drawn at most
MAX_PANELS = 8
MAX_EPISODES = 8
#: rollouts of one episode in the page at most, and what they may take there [bytes]
MAX_ROLLOUTS = 200
_BYTES = 160_000
#: height of the figure without its panels, and of each panel [px]
_BASE, _EACH = 96, 104


@dataclass(frozen=True, slots=True)
class Physical:
    """An episode's trace in the units of the interface, cut to the panels drawn."""

    #: since the first slot [s], shape (N,)
    seconds: Floats
    #: shape (N, P)
    observed: Floats
    #: which slots the rollouts began in, shape (R,)
    begins: Ints
    #: shape (R, H, P)
    imagined: Floats
    spread: Floats
    slots: Ints


def label(card: Scorecard, number: int) -> str:
    """Return how an episode is called in a list of them."""
    outcome = next((e.outcome for e in card.episodes if e.episode == number), 'outcome unknown')
    return f'episode {number} · {outcome}'


def chosen(card: Scorecard, numbers: Sequence[int], most: int = MAX_EPISODES) -> list[int]:
    """
    Choose the episodes to show: as many that failed as that succeeded, where there are both.

    :param numbers: episodes that can be shown; those the scorecard does not know come last
    """
    good = {e.episode for e in card.episodes if e.outcome == 'success'}
    known = {e.episode for e in card.episodes}
    fine = [n for n in numbers if n in good]
    bad = [n for n in numbers if n in known - good]
    half = most - most // 2
    take = max(most - len(fine), half) if len(bad) > half else len(bad)
    picked = _spread(bad, take) + _spread(fine, most - min(take, len(bad)))
    return sorted(picked) or _spread(list(numbers), most)


def _spread(numbers: list[int], most: int) -> list[int]:
    return [numbers[at] for at in spread(len(numbers), most)] if most > 0 else []


def states(card: Scorecard, trace: TraceCollector) -> tuple[dict[str, Drawn], dict[str, Any]]:
    """
    Return a figure of small panels for each of some episodes, and the rollouts to lay over it.

    Units are those of the recorded interface; without the model's scaling, normalised latents.
    """
    model = card.manifest.get('model') or {}
    numbers = trace.numbers(least=2)
    if not numbers:
        return {'': Absent('no latent was recorded')}, {}
    names = _names(model, trace.size)[:MAX_PANELS]
    mean, scale, physical = _scaling(model, trace.size)
    period_s = (card.manifest.get('period_ns') or 0) / NS_PER_S
    drawn: dict[str, Drawn] = {}
    rollouts: dict[str, Any] = {}
    for number in chosen(card, numbers):
        found = _physical(trace.episode(number), mean, scale, len(names))
        of = f', first {MAX_PANELS} of {trace.size} entries' if trace.size > MAX_PANELS else ''
        unit = 'in the units of the interface' if physical else 'normalised latents'
        drawn[label(card, number)] = _panels(found, names, f'{unit}{of}')
        rollouts[label(card, number)] = _payload(found, names, period_s)
    return drawn, rollouts


def _names(model: dict[str, Any], size: int) -> list[str]:
    names = model.get('latent_names')
    if isinstance(names, (list, tuple)) and len(names) == size:
        return [with_unit(str(name)) for name in names]
    return [f'z[{at}]' for at in range(size)]


def _scaling(model: dict[str, Any], size: int) -> tuple[Floats, Floats, bool]:
    mean, scale = model.get('latent_mean'), model.get('latent_scale')
    if isinstance(mean, list) and isinstance(scale, list) and len(mean) == len(scale) == size:
        return np.array(mean, float), np.array(scale, float), True
    return np.zeros(size), np.ones(size), False


def _physical(trace: EpisodeTrace, mean: Floats, scale: Floats, panels: int) -> Physical:
    mean, scale = mean[:panels], scale[:panels]
    keep = spread(len(trace.begins), _most(trace, panels))
    seen, imagined = (z[..., :panels].astype(float) * scale + mean
                      for z in (trace.observed, trace.imagined[keep]))
    return Physical((trace.stamps - trace.stamps[0]) / NS_PER_S, seen, trace.begins[keep],
                    imagined, trace.spread[keep][..., :panels].astype(float) * np.abs(scale),
                    trace.slots)


def _most(trace: EpisodeTrace, panels: int) -> int:
    """Return how many rollouts fit into the page."""
    sheets = 2 if np.any(np.isfinite(trace.spread)) else 1
    each = 4 * sheets * max(int(trace.imagined.shape[1]), 1) * panels
    return max(2, min(MAX_ROLLOUTS, _BYTES // each))


def _panels(found: Physical, names: list[str], unit: str) -> Plot:
    count = len(found.seconds)
    data: list[Trace] = []
    drawn = count
    for at, name in enumerate(names):
        keep = envelope(found.observed[:, at])
        drawn = min(drawn, len(keep))
        data.append(_line(name, found.seconds[keep], found.observed[keep, at], at))
    note = (f'{len(found.begins):,} of its slots have a rollout to show.'
            if len(found.begins) else 'No rollout was recorded.')
    return Plot(f'Imagined and actual state, n = {count:,} slots, {unit}', data, _grid(names),
                'Dark: what happened. Blue: what the plan of a slot imagined from there on, '
                f'shaded where the model says how sure it is (95 %). {note}'
                f'{thinned(count, drawn)}', _BASE + _EACH * len(names))


def _line(name: str, x: Floats, y: Floats, at: int) -> Trace:
    suffix = '' if at == 0 else str(at + 1)
    return line('actual', x, y, INK, line={'width': 1.6}, xaxis=f'x{suffix}', yaxis=f'y{suffix}',
                legendgroup='actual', showlegend=at == 0,
                hovertemplate='%{x:.2f} s: %{y:.4g}<extra>' + name + '</extra>')


def _grid(names: list[str]) -> Layout:
    """Stack one panel a name over a shared time axis."""
    count, gap = len(names), 0.06 if len(names) > 1 else 0.0
    height = (1 - gap * (count - 1)) / count
    marks, figure = Marks(), {}
    for at, name in enumerate(names):
        suffix = '' if at == 0 else str(at + 1)
        top = 1.0 if at == 0 else max(0.0, 1 - at * (height + gap))
        bottom = 0.0 if at == count - 1 else max(0.0, top - height)
        figure[f'yaxis{suffix}'] = {'domain': [bottom, top], 'anchor': f'x{suffix}', 'nticks': 4}
        figure[f'xaxis{suffix}'] = {'anchor': f'y{suffix}', 'showticklabels': at == count - 1,
                                    **({'matches': 'x'} if at else {})}
        marks.annotations.append({
            'text': name, 'x': 0, 'xref': 'paper', 'y': top, 'yref': 'paper', 'yanchor': 'bottom',
            'xanchor': 'left', 'showarrow': False, 'font': {'size': 11}})
    suffix = '' if count == 1 else str(count)
    figure[f'xaxis{suffix}']['title'] = {'text': 'time in the episode [s]'}
    return {**figure, 'shapes': [], 'annotations': marks.annotations, 'margin': {'t': 56},
            # above the name of the first panel
            'showlegend': True, 'legend': {'y': 1 + 18 / (_BASE + _EACH * count)}}


def _payload(found: Physical, names: list[str], period_s: float) -> dict[str, Any]:
    """Return the rollouts for the page's script, numbers packed as float32."""
    known = np.any(np.isfinite(found.spread))
    return {
        'seconds': rounded(found.seconds[found.begins]),
        'slots': found.slots[found.begins].tolist(),
        'period': period_s, 'steps': found.imagined.shape[1], 'panels': len(names),
        'imagined': _packed(found.imagined),
        'spread': _packed(found.spread) if known else None,
        'plane': plane(names), 'names': names}


def _packed(values: Floats) -> str:
    return b64encode(np.ascontiguousarray(values, '<f4').tobytes()).decode('ascii')


def plane(names: Sequence[str]) -> list[int] | None:
    """
    Return the entries that are x and y of one position, else x and z; None without two of one.

    >>> plane(['v', 'tip.pose.position.x [m]', 'tip.pose.position.z [m]'])
    [1, 2]
    """
    for axis in 'yz':
        for at, name in enumerate(names):
            hit = re.search(r'(\.x|\[x\])(?=$| )', name) if 'position' in name else None
            other = '' if hit is None else (
                name[:hit.start()] + hit[0].replace('x', axis) + name[hit.end():])
            if other in names:
                return [at, list(names).index(other)]
    return None
