"""Predicted against observed state, episode by episode, in physical units."""

from __future__ import annotations

from typing import Any

import numpy as np

from wm_eval_ros.report.figures import BLUE, Figure, ORANGE
from wm_eval_ros.report.trace import EpisodeTrace, TraceCollector
from wm_eval_ros.scoring.scorecard import Scorecard

#: panels and episodes drawn at most
MAX_PANELS = 8
MAX_EPISODES = 12


def _scaling(model: dict[str, Any], size: int) -> tuple[Any, Any, bool]:
    mean, scale = model.get('latent_mean'), model.get('latent_scale')
    if isinstance(mean, list) and isinstance(scale, list) and len(mean) == len(scale) == size:
        return np.array(mean, float), np.array(scale, float), True
    return 0.0, 1.0, False


def _names(model: dict[str, Any], size: int) -> list[str]:
    names = model.get('latent_names')
    if isinstance(names, (list, tuple)) and len(names) == size:
        return [str(name) for name in names]
    return [f'z[{at}]' for at in range(size)]


def states(card: Scorecard, trace: TraceCollector) -> dict[str, Figure]:
    """
    Return a figure of small panels for each of some episodes, by its label.

    Units are those of the recorded interface; without the model's scaling, normalised latents.
    """
    found = trace.episodes()
    outcomes = {e.episode: e.outcome for e in card.episodes}
    numbers = [n for n in found if len(found[n].stamps) > 1 and n in outcomes] or list(found)
    at = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), MAX_EPISODES)).astype(int))
    chosen = [numbers[i] for i in at] if numbers else []
    model = card.manifest.get('model') or {}
    return {f'episode {n} · {outcomes.get(n, "unknown")}': _panels(model, found[n])
            for n in chosen}


def _panels(model: dict[str, Any], trace: EpisodeTrace) -> Figure:
    size = trace.observed.shape[1]
    mean, scale, physical = _scaling(model, size)
    names = _names(model, size)[:MAX_PANELS]
    seconds = ((trace.stamps - trace.stamps[0]) / 1e9).round(4).tolist()
    seen, foreseen = (z.astype(float) * scale + mean for z in (trace.observed, trace.predicted))
    data: list[dict[str, Any]] = []
    for at, _ in enumerate(names):
        data.append(_line('observed', seconds, seen[:, at], BLUE, 'solid', at))
        data.append(_line('predicted one step earlier', seconds, foreseen[:, at], ORANGE, 'dot',
                          at))
    count = f', first {MAX_PANELS} of {size}' if size > MAX_PANELS else ''
    unit = 'in the units of the interface' if physical else 'normalised'
    return {'data': data, 'layout': _grid(
        f'State, n = {len(seconds)} slots, {unit}{count}', names)}


def _line(name: str, x: list[float], y: Any, colour: str, dash: str, at: int) -> dict[str, Any]:
    suffix = '' if at == 0 else str(at + 1)
    points = [None if not np.isfinite(v) else float(f'{v:.6g}') for v in y]
    return {'type': 'scatter', 'mode': 'lines', 'name': name, 'legendgroup': name,
            'showlegend': at == 0, 'x': x, 'y': points, 'xaxis': f'x{suffix}',
            'yaxis': f'y{suffix}', 'line': {'color': colour, 'dash': dash, 'width': 1.6}}


def _grid(title: str, names: list[str]) -> dict[str, Any]:
    """Stack one panel a name over a shared time axis."""
    count, gap = len(names), 0.06 if len(names) > 1 else 0.0
    height = (1 - gap * (count - 1)) / count
    figure: dict[str, Any] = {'title': {'text': title}, 'height': 130 + 110 * count,
                              'annotations': []}
    for at, name in enumerate(names):
        suffix = '' if at == 0 else str(at + 1)
        top = max(0.0, 1 - at * (height + gap))
        figure[f'yaxis{suffix}'] = {'domain': [max(0.0, top - height), top], 'anchor':
                                    f'x{suffix}', 'nticks': 4}
        figure[f'xaxis{suffix}'] = {'anchor': f'y{suffix}', 'matches': 'x' if at else None,
                                    'showticklabels': at == count - 1}
        figure['annotations'].append({
            'text': name, 'x': 0, 'xref': 'paper', 'y': top, 'yref': 'paper', 'yanchor': 'bottom',
            'xanchor': 'left', 'showarrow': False, 'font': {'size': 11}})
    suffix = '' if count == 1 else str(count)
    figure[f'xaxis{suffix}']['title'] = {'text': 'time in the episode [s]'}
    return figure
