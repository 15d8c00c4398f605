"""`wm-eval score BAG`: recompute every figure from a bag alone."""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.errors import BagError, ConfigError, EXIT_PASS, MissingExtraError, RecordingError
from wm_eval_ros.records import Verdict

if TYPE_CHECKING:
    from wm_eval_ros.bag.message import RawMessage
    from wm_eval_ros.bag.preflight import Finding
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.metrics.table import Run
    from wm_eval_ros.report.checks import Check
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorecard import Scorecard
    from wm_eval_ros.scoring.scorer import Scorer

T = TypeVar('T')

EXAMPLE = """example:
  wm-eval score out/reacher/bag --baseline out/noop/bag out/random/bag

writes scorecard.json, results.jsonl, junit.xml and report.html into DIR and prints the table.
exit: 0 scored, 2 the bag cannot be scored."""

#: records between two looks at the clock
_TICK = 8192
#: messages of one topic handed over at once
_BATCH = 16384


@dataclass(frozen=True)
class Scored:
    """A scored bag with all that the report draws."""

    card: Scorecard
    run: Run
    trace: TraceCollector
    checks: tuple[Check, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's command line."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file (MCAP, sqlite3) of a run')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder of the files (default: score/ beside the bag)')
    parser.add_argument('--json', action='store_true',
                        help='print the scorecard as JSON instead of the table')
    parser.add_argument('--salvage', action='store_true',
                        help='score what can be read of a damaged bag; what is missing is named')
    parser.add_argument('--baseline', metavar='BAG', type=Path, nargs='+', default=[],
                        help='bags of other planners on the same starts, drawn beside this one')


def main(args: argparse.Namespace) -> int:
    """Score the bag, write the files, print the result; a robot's own bag is scored open loop."""
    if _is_of_a_known_robot(args.bag, args.salvage):
        from wm_eval_ros.cli import openloop
        print(f'{args.bag}: no run of this package, a bag of a known robot: scored open loop',
              file=sys.stderr)
        return openloop.main(argparse.Namespace(**vars(args), map=None))
    found = read(args.bag, salvage=args.salvage)
    baselines = [score_bag(bag, salvage=args.salvage) for bag in args.baseline]
    folder = args.out or args.bag.resolve().parent / 'score'
    print_result(found.card, as_json=args.json)
    written = write(found, folder, baselines)
    print(f'written: {", ".join(str(path) for path in written)}', file=sys.stderr)
    return EXIT_PASS


def _is_of_a_known_robot(path: Path, salvage: bool) -> bool:
    """Say whether a bag holds no run of ours, and what a shipped robot map asks for."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.config.robot_map import find_map
    with open_bag(path, salvage=salvage) as bag:
        if _holds_ours(bag):
            return False
        try:
            find_map(bag.topics)
        except ConfigError:
            return False
    return True


def score_bag(path: Path | str, *, salvage: bool = False) -> Scorecard:
    """
    Score a bag.

    :param salvage: score what can be read of a damaged bag
    :raises BagError: not readable, not of this package, or of a newer schema
    """
    return read(path, salvage=salvage).card


def read(path: Path | str, *, salvage: bool = False) -> Scored:
    """
    Look a bag over, then fold it into figures and traces.

    :raises BagError: not readable, not of this package, of a newer schema, or broken
    """
    from wm_eval_ros.bag.preflight import preflight
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.checks import evidence
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorer import Scorer
    scorer, trace = Scorer(), TraceCollector()
    with open_bag(path, salvage=salvage) as bag:
        _require_ours(bag)
        note(f'looking {bag.path} over ...')
        findings = preflight(bag).findings
        note('')
        if not salvage:
            _refuse_broken(bag, findings)
        _fold(bag, scorer, trace)
    card = scorer.compute()
    checks = (*_preflight_checks(findings), *evidence(card))
    return Scored(card, scorer.run(), trace, checks)


class _Batch:
    """Messages of one topic on their way to the scorer: numbers only, many at a time."""

    def __init__(self, topic: str, stamp_of: Callable[[RawMessage], int] | None) -> None:
        self._topic, self._stamp_of = topic, stamp_of
        self._clear()

    def _clear(self) -> None:
        self._stamps, self._logs, self._sequences = array('q'), array('q'), array('Q')

    def add(self, message: RawMessage, scorer: Scorer) -> None:
        """Take one message in; a full batch goes on."""
        self._logs.append(message[0])
        self._sequences.append(message[3])
        if self._stamp_of is not None:
            self._stamps.append(self._stamp_of(message))
        if len(self._logs) >= _BATCH:
            self.flush(scorer)

    def flush(self, scorer: Scorer) -> None:
        """Hand over what has gathered."""
        stamps = np.array(self._stamps, np.int64) if self._stamp_of else None
        scorer.update_samples(self._topic, stamps, np.array(self._logs, np.int64),
                              np.array(self._sequences, np.uint64))
        self._clear()


def _fold(bag: Bag, scorer: Scorer, trace: TraceCollector) -> None:
    """Fold the whole bag; the same figures as from ``bag.records()``, in half the time."""
    from wm_eval_ros.bag.decode import header_stamp_ns
    from wm_eval_ros.bag.reader import record_decoder
    ours = {c: decode for c in bag.connections if (decode := record_decoder(c))}
    stamped = bag.decoder.is_stamped
    batches = {c: _Batch(c.topic, header_stamp_ns if stamped(c.type) else None)
               for c in bag.connections}
    for message in progress(bag.messages(), sum(bag.declared.values())):
        decode = ours.get(message[1])
        if decode is None:
            batches[message[1]].add(message, scorer)
            continue
        record = decode(bag.decoder.decode(message))
        scorer.update(record)
        trace.update(record)
    for connection, batch in batches.items():
        if connection not in ours:
            batch.flush(scorer)


def _holds_ours(bag: Bag) -> bool:
    from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE
    return bool({CYCLE_TYPE, EVENT_TYPE} & set(bag.topics.values()))


def _require_ours(bag: Bag) -> None:
    from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE
    if _holds_ours(bag):
        return
    have = ', '.join(f'{topic} ({kind})' for topic, kind in sorted(bag.topics.items()))
    raise BagError(f'{bag.path}: no {CYCLE_TYPE} and no {EVENT_TYPE}; it holds '
                   f'{have or "nothing"}. A robot bag is scored with `wm-eval openloop`')


def _refuse_broken(bag: Bag, findings: Sequence[Finding]) -> None:
    broken = [f.what for f in findings if f.severity == 'error']
    if broken:
        more = f' (and {len(broken) - 1} more)' if len(broken) > 1 else ''
        raise BagError(f'{bag.path}: {broken[0]}{more}; --salvage scores what can be read')


def _preflight_checks(findings: Sequence[Finding]) -> tuple[Check, ...]:
    from wm_eval_ros.report.checks import Check
    verdicts = {'info': Verdict.PASS, 'warning': Verdict.INCONCLUSIVE, 'error': Verdict.ERROR}
    return tuple(Check(f'{f.kind} {f.topic}'.strip(), verdicts[str(f.severity.value)], f.what,
                       'preflight') for f in findings)


def write(found: Scored, folder: Path, baselines: Sequence[Scorecard] = ()) -> list[Path]:
    """
    Write the scorecard, the results, the checks and the report.

    Without plotly the report is left out, with a line that says so; the rest is written.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.files import junit, results_jsonl
    from wm_eval_ros.report.page import page
    files = {'scorecard.json': found.card.to_json(),
             'results.jsonl': results_jsonl(found.card, found.checks),
             'junit.xml': junit(found.card, found.checks)}
    try:
        files['report.html'] = page(found.card, found.run, found.trace, found.checks, baselines)
    except MissingExtraError as error:
        print(f'wm-eval score: {error}', file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding='utf-8')
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror})') from None
    return [folder / name for name in files]


def print_result(card: Scorecard, *, as_json: bool) -> None:
    """Print the scorecard on stdout."""
    if as_json:
        sys.stdout.write(card.to_json())
        return
    from wm_eval_ros.report.text import table
    sys.stdout.write(table(card))


def note(text: str) -> None:
    """Show one passing line on a terminal's stderr, in place of the last."""
    if sys.stderr.isatty():
        sys.stderr.write(f'\r\033[K{text}')
        sys.stderr.flush()


def progress(records: Iterable[T], total: int) -> Iterator[T]:
    """Pass records through under a progress bar."""
    shown = Progress('reading', total)
    count = 0
    for count, record in enumerate(records, 1):
        yield record
        if count % _TICK == 0:
            shown.update(count, 'messages')
    shown.close()
