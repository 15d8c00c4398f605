"""A scorecard read back from scorecard.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.errors import BagError
from wm_eval_ros.scoring import typed
from wm_eval_ros.scoring.scorecard import (
    EpisodeResult,
    Scorecard,
    SCORECARD_SCHEMA,
    value_from_json,
)
from wm_eval_ros.scoring.typed import check_types

_OPTIONAL = {'label', 'aided'}


def read_card(text: str, where: str) -> Scorecard:
    """
    Read scorecard.json.

    :param where: how to name the file in an error
    :raises BagError: no scorecard, or one of a newer layout
    """
    try:
        data = parse_json(text, where, BagError)
    except BagError as error:
        raise BagError(f'{error}; give a scorecard.json or a bag') from None
    if not isinstance(data, dict) or not isinstance(data.get('schema_version'), int):
        raise BagError(f'{where}: no scorecard; give the scorecard.json that `wm-eval score` '
                       'writes, or a bag')
    if data['schema_version'] > SCORECARD_SCHEMA:
        raise BagError(f'{where}: layout {data["schema_version"]}, this version reads up to '
                       f'{SCORECARD_SCHEMA}: install a newer wm_eval_ros, or give the bag')
    try:
        check_types(data['manifest'], typed.MANIFEST, f'{where}: manifest')
        check_types(data['provenance'], typed.PROVENANCE, f'{where}: provenance')
        for value in (*data['values'], *data['host']):
            check_types(value, typed.FIGURE, f'{where}: a figure', typed.NULLABLE)
        for episode in data['episodes']:
            check_types(episode, typed.EPISODE, f'{where}: an episode', typed.NULLABLE)
        return Scorecard(
            dict(data['manifest']), dict(data['provenance']),
            tuple(value_from_json(v) for v in data['values']),
            tuple(value_from_json(v) for v in data['host']),
            tuple(_episode(e) for e in data['episodes']), dict(data.get('counts') or {}),
            data['schema_version'])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BagError(f'{where}: no whole scorecard ({type(error).__name__}: {error}); write it '
                       'anew with `wm-eval score`') from None


def _episode(data: Mapping[str, Any]) -> EpisodeResult:
    known = {name: data[name] for name in EpisodeResult.__slots__
             if name in data or name not in _OPTIONAL}
    return EpisodeResult(**known)
