"""The camera of an episode beside what its plans imagined, on one slider."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from wm_eval_ros.metrics.base import NS_PER_S
from wm_eval_ros.report.parts import defined, plotted, prose
from wm_eval_ros.report.plots.base import Drawn, Plot
from wm_eval_ros.report.plots.states import label
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.scoring.scorecard import Scorecard


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image, as the bytes of a file."""

    #: header stamp [ns, ROS]
    stamp_ns: int
    #: JPEG or PNG
    data: bytes


@dataclass(frozen=True, slots=True)
class Frames:
    """The camera images kept of a run, by episode."""

    topic: str = ''
    episodes: Mapping[int, Sequence[Frame]] = field(default_factory=dict)
    #: what was left out and why, or why there is none; empty where the bag holds no camera
    note: str = ''


def payload(card: Scorecard, trace: TraceCollector, frames: Frames,
            rollouts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's script needs: rollouts and frames by the episode's label."""
    zeros = _zeros(trace, frames)
    return {'rollouts': dict(rollouts), 'frames': {
        label(card, number): {
            'seconds': [round((f.stamp_ns - zeros[number]) / NS_PER_S, 4) for f in own],
            'images': [_uri(f.data) for f in own]}
        for number, own in frames.episodes.items() if own}}


def _zeros(trace: TraceCollector, frames: Frames) -> dict[int, int]:
    """Return where each episode's time begins [ns, ROS]: its first slot, else its first frame."""
    known = set(trace.numbers())
    return {number: int(trace.episode(number).stamps[0]) if number in known else own[0].stamp_ns
            for number, own in frames.episodes.items() if own}


def _uri(data: bytes) -> str:
    kind = 'png' if data.startswith(b'\x89PNG') else 'jpeg'
    return f'data:image/{kind};base64,{b64encode(data).decode("ascii")}'


def section(card: Scorecard, states: Mapping[str, Drawn], frames: Frames) -> str:
    """Return the place of the viewer; empty where there is nothing to view."""
    panels = plotted(states)
    labels = list(panels) or [label(card, n) for n, own in sorted(frames.episodes.items()) if own]
    if not labels:
        return ''
    options = ''.join(f'<option>{escape(text)}</option>' for text in labels)
    return (f'<figure class="wide">{_caption(panels)}'
            f'<select id="episode" aria-label="episode shown">{options}</select>'
            f'<div class="stage">{_plane(panels)}{_camera(frames)}</div>'
            '<div class="transport" id="transport"><button id="play" type="button">Play</button>'
            '<input type="range" id="slider" min="0" max="0" value="0" step="1" '
            'aria-label="slot of the episode"><output id="slot" for="slider"></output></div>'
            f'{_states(panels)}</figure>')


def _caption(panels: Mapping[str, Plot]) -> str:
    if not panels:
        return '<figcaption><h3>Camera</h3></figcaption>'
    first = next(iter(panels.values()))
    return (f'<figcaption><h3 id="states-title">{escape(first.title)}</h3><p class="lead">'
            f'<span id="states-lead">{prose(first.lead)}</span> '
            f'<small>{defined("prediction_error")}</small></p></figcaption>')


def _plane(panels: Mapping[str, Plot]) -> str:
    return '<div class="plot plane" id="plane" hidden></div>' if panels else ''


def _states(panels: Mapping[str, Plot]) -> str:
    if not panels:
        return ''
    height = next(iter(panels.values())).height
    return f'<div class="plot" id="states" style="min-height:{height}px"></div>'


def _camera(frames: Frames) -> str:
    if not any(frames.episodes.values()):
        return f'<p class="lead">{escape(frames.note)}</p>' if frames.note else ''
    note = f' {frames.note}' if frames.note else ''
    return ('<figure id="camera" hidden><img id="frame" alt="">'
            f'<p class="lead">Camera <code>{escape(frames.topic)}</code>.{escape(note)}</p>'
            '</figure>')
