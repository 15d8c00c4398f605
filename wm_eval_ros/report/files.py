"""The scorecard as files that other programs read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import json
from xml.etree import ElementTree

from wm_eval_ros.records import Verdict
from wm_eval_ros.report.checks import Check, GATE, overall
from wm_eval_ros.scoring.conditions import whereabouts
from wm_eval_ros.scoring.scorecard import clean, EpisodeResult, Scorecard

_TAGS = {Verdict.FAIL: 'failure', Verdict.ERROR: 'error', Verdict.INCONCLUSIVE: 'skipped'}


def results_jsonl(card: Scorecard, checks: Sequence[Check]) -> str:
    """Return one JSON line an episode and a last one of the summary."""
    lines = [{'kind': 'episode', **{n: getattr(e, n) for n in EpisodeResult.__slots__}}
             for e in card.episodes]
    return ''.join(json.dumps(clean(line), ensure_ascii=False, allow_nan=False) + '\n'
                   for line in [*lines, summary(card, checks)])


def summary(card: Scorecard, checks: Sequence[Check]) -> dict[str, object]:
    """Return verdict, leading figures, where it was if in no usual world, and the gates held."""
    heads = ('success_rate', 'deadline_miss_rate', 'plan_latency.p99')
    gates = {c.name: str(c.verdict.value) for c in checks if c.group == GATE}
    where = whereabouts(card.manifest)
    return {'kind': 'summary', 'verdict': str(overall(checks).value),
            'episodes': len(card.episodes), **{name: card[name].value for name in heads},
            **({'where': where} if where else {}), **({'gates': gates} if gates else {})}


def junit(card: Scorecard, checks: Sequence[Check]) -> str:
    """
    Return JUnit XML with one test case a check.

    A check that failed is a failure; broken evidence is an error; no evidence is skipped.
    """
    counts = {tag: sum(_TAGS.get(c.verdict) == tag for c in checks) for tag in _TAGS.values()}
    named = f'{card.manifest.get("scenario", "run")} {whereabouts(card.manifest)}'.strip()
    suite = ElementTree.Element(
        'testsuite', name=_printable(f'wm_eval_ros.{named}'),
        tests=str(len(checks)), failures=str(counts['failure']), errors=str(counts['error']),
        skipped=str(counts['skipped']))
    properties = ElementTree.SubElement(suite, 'properties')
    for name, value in _properties(card):
        ElementTree.SubElement(properties, 'property', name=name, value=value)
    for check in checks:
        _case(suite, check)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding='unicode', xml_declaration=True) + '\n'


def _properties(card: Scorecard) -> Iterable[tuple[str, str]]:
    for value in (*card.values, *card.host):
        text = f'none: {value.why}' if value.value is None else f'{value.value!r} {value.unit}'
        yield value.name, f'{text} (n = {value.n})'
    for episode in card.episodes:
        yield (f'episode[{episode.episode}]', f'{episode.outcome}, {episode.slots} slots, '
               f'{episode.misses} missed')


def _case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(
        suite, 'testcase', classname=f'wm_eval_ros.{check.group}', name=check.name)
    tag = _TAGS.get(check.verdict)
    if tag is None:
        ElementTree.SubElement(case, 'system-out').text = _printable(check.text)
    else:
        ElementTree.SubElement(case, tag, message=_printable(check.text))


def _printable(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return ''.join(c for c in text if c >= ' ' or c in '\t\n')
