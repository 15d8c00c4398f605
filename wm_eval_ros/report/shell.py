"""The frame of a page: one HTML file whose own policy forbids it the network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
import json
from string import Template
from typing import Any

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.report.plots.base import Plot
from wm_eval_ros.scoring.scorecard import clean


def plotly_script() -> str:
    """
    Return plotly's script, to be put into the page.

    :raises MissingExtraError: plotly is not installed
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError("no page: plotly is not installed: "
                                "pip install 'wm_eval_ros[report]'") from None
    return str(get_plotlyjs())


def assemble(title: str, body: str, plots: Mapping[str, Mapping[str, Plot]],
             viewer: Mapping[str, Any] | None = None) -> str:
    """
    Put a page together.

    :param body: HTML; whatever came out of a bag is escaped in it
    :param plots: figures by place in the page, each under one label or several to choose from
    :param viewer: rollouts and frames by episode, for :mod:`wm_eval_ros.report.viewer`
    :raises MissingExtraError: plotly is not installed
    """
    # the folder's files are read by name, also from a zipped installation
    folder = files('wm_eval_ros.report') / 'static'
    scripts = {'plotly': plotly_script(),
               'script': (folder / 'page.js').read_text(encoding='utf-8')}
    inline = {name: _inline(text) for name, text in scripts.items()}
    template = Template((folder / 'page.html').read_text(encoding='utf-8'))
    return template.substitute(
        title=escape(title), style=(folder / 'page.css').read_text(encoding='utf-8'),
        policy=_policy(inline.values()), body=body, figures=embedded(
            {place: {label: _plain(plot) for label, plot in each.items()}
             for place, each in plots.items()}),
        viewer=embedded(viewer or {}), **inline)


def _inline(text: str) -> str:
    """Return a script as it may stand inside a page."""
    return '\n' + text.replace('</script', '<\\/script') + '\n'


def _policy(scripts: Any) -> str:
    """Allow these scripts and no other, and nothing from anywhere else."""
    known = ' '.join(f"'sha256-{b64encode(sha256(s.encode()).digest()).decode()}'"
                     for s in scripts)
    return (f"default-src 'none'; script-src {known}; style-src 'unsafe-inline'; "
            'img-src data: blob:')


def _plain(plot: Plot) -> dict[str, Any]:
    # a per cent sign stays on the line of its number
    title, lead = (text.replace(' %', '\u00a0%') for text in (plot.title, plot.lead))
    return {'title': title, 'lead': lead, 'data': plot.data, 'layout': plot.layout,
            'height': plot.height}


def embedded(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(clean(data), allow_nan=False, separators=(',', ':'), ensure_ascii=False)
    return text.replace('<', '\\u003c').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')
