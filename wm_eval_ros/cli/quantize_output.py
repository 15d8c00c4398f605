"""What is printed and written of a model tried with fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any, TYPE_CHECKING

from wm_eval_ros.report.markdown import escaped, table
from wm_eval_ros.report.text import aligned, number
from wm_eval_ros.training.quantize_record import CellResult, QUANTIZE_SCHEMA, Trial

if TYPE_CHECKING:
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.models.protocol import TrainedModel, WorldModelSpec
    from wm_eval_ros.stats.estimate import Estimate
    from wm_eval_ros.training.quantize_trial import Questions

HEAD = ('cell', 'bytes', 'of fp32', 'success', '95 %', '- fp32', '95 %', 'rank', 'least',
        'cost ~ failure', 'early', 'cost ~ time', 'error, 1', 'error, last', 'latency [ms]')
#: columns set flush right
RIGHT = (1, 2, 3, 5, 7, 8, 12, 13)
COLUMNS = """\
rank, least: Spearman's correlation of the costs of candidates with those of fp32, median and
smallest over states of the fp32 episodes; cost ~ failure, cost ~ time: that of an episode's mean
cost with failure (early: over the slots that all episodes of the cell have), and with the time to
success, failures last; error: root mean square after one step and after the last, in standard
deviations of the features; latency: of a batch of candidates, where an engine computes so."""


@dataclass(frozen=True)
class Tried:
    """A trial and what was tried."""

    trial: Trial
    scenario: Scenario
    model: TrainedModel
    questions: Questions
    notes: Sequence[str] = ()


def text(tried: Tried) -> str:
    """Return everything as text for terminals."""
    rows = [list(HEAD), *(_row(r, tried.trial) for r in tried.trial.results)]
    return '\n'.join([title(tried), '', aligned(rows, RIGHT), '', COLUMNS, '',
                      *findings(tried.trial), *(f'* {n}' for n in notes(tried))]) + '\n'


def page(tried: Tried) -> str:
    """Return everything as a page of Markdown."""
    rows = [[escaped(cell) for cell in _row(r, tried.trial)] for r in tried.trial.results]
    reasons = sorted({r.why_no_latency for r in tried.trial.results if r.why_no_latency})
    return '\n'.join([
        f'# {escaped(tried.model.spec.name)} with fewer bits', '', f'{escaped(title(tried))}.', '',
        table(HEAD, rows, RIGHT), '', COLUMNS, '', *(f'* {escaped(f)}' for f in
                                                     findings(tried.trial)),
        *(f'* {escaped(n)}' for n in notes(tried)),
        *(f'* no latency: {escaped(r)}' for r in reasons)]) + '\n'


def title(tried: Tried) -> str:
    """Return one line that says what was tried."""
    spec, seeds, trial = tried.model.spec, tried.questions.seeds, tried.trial
    last = trial.reference.imagined.steps
    return (f'{spec.name} ({spec.family}), {spec.sha256[:16]}..., in {tried.scenario.name} under '
            f'{tried.scenario.planner.planner}: {len(seeds)} episodes a cell from seed '
            f'{seeds[0]}, {trial.reference.imagined.states} states, last error after {last} steps')


def findings(trial: Trial) -> tuple[str, ...]:
    """Return where cost and success part, and how small it may be, a line each."""
    least = trial.least_shown
    if least is None:
        won = sum(trial.reference.driven.solved)
        return (f'fp32 solves {won} of {trial.episodes} episodes: were all of these lost, no fall '
                'would be shown; try more episodes' if won else
                'fp32 itself solves no episode: there is nothing to lose, and nothing is found',)
    return (
        f'success falls though candidates are ranked as by fp32 (>= {trial.least_rank:g}): '
        f'{_names(trial.fell_though_ranked)}',
        f'candidates are ranked otherwise (< {trial.least_rank:g}) though success is not shown to '
        f'fall: {_names(trial.held_though_misranked)}',
        f'smallest whose success is not shown to be below fp32: {_small(trial.smallest, trial)}',
        f'smallest of those that rank candidates as fp32 does: '
        f'{_small(trial.smallest_ranked, trial)}',
        f'a fall is shown from {least} lost episodes of {trial.episodes} on, none won')


def notes(tried: Tried) -> tuple[str, ...]:
    """Return what to hold against the figures."""
    found = ['weights are rounded, activations and all sums stay fp32: size is what the bits of '
             'the weights come to, not that of a file',
             'tried in process: a result that counts comes from runs of the nodes',
             f'each interval is of its cell alone; of {len(tried.trial.others)} cells some differ '
             'by chance']
    if tried.scenario.perturbations:
        found.append('the perturbations of the scenario are left out')
    if tried.scenario.planner.latency_ms < 0 and not tried.scenario.planner.latency_trace:
        found.append('latency is drawn from 10 to 40 ms in each slot: the scenario declares none')
    return (*found, *tried.notes)


def _names(results: Sequence[CellResult]) -> str:
    return ', '.join(r.cell.name for r in results) or 'none'


def _small(result: CellResult | None, trial: Trial) -> str:
    if result is None:
        return 'none'
    low, high = result.difference.low, result.difference.high
    return (f'{result.cell.name}, {result.size_bytes} bytes '
            f'({result.size_bytes / trial.reference.size_bytes:.0%} of fp32), success '
            f'{result.difference.value:+.2f} [{low:+.2f}, {high:+.2f}]')


def _row(result: CellResult, trial: Trial) -> list[str]:
    driven, asked, off = result.driven, result.imagined, result.difference
    own = result is trial.reference
    return [
        result.cell.name, str(result.size_bytes),
        f'{result.size_bytes / trial.reference.size_bytes:.2f}',
        f'{sum(driven.solved)}/{len(driven.solved)}',
        f'[{driven.success.low:.2f}, {driven.success.high:.2f}]',
        '' if own else f'{off.value:+.2f}', '' if own else f'[{off.low:+.2f}, {off.high:+.2f}]',
        '' if own else number(asked.rank, 4), '' if own else number(asked.rank_min, 4),
        _correlation(driven.cost_failure), _correlation(driven.early_failure),
        _correlation(driven.cost_time),
        number(asked.error_first, 3), number(asked.error_last, 3),
        ', '.join(f'{t.engine} {t.batch_ms:.2f}' for t in result.latency) or '–']


def _correlation(found: Estimate) -> str:
    if found.value is None:
        return '–'
    if found.low is None or found.high is None:
        return f'{found.value:+.2f}'
    return f'{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]'


def plain(tried: Tried) -> dict[str, Any]:
    """Return everything of ``report.json``."""
    spec, trial, planner = tried.model.spec, tried.trial, tried.scenario.planner
    return {
        'schema_version': QUANTIZE_SCHEMA, 'scenario': tried.scenario.name,
        'model': {'name': spec.name, 'family': spec.family, 'sha256': spec.sha256},
        'planner': planner.planner, 'samples': planner.samples, 'horizon': planner.horizon,
        'latency_ms': planner.latency_ms, 'group': tried.questions.group,
        'seeds': list(tried.questions.seeds), 'least_rank': trial.least_rank,
        'cells': [_cell(r, trial) for r in trial.results],
        'fell_though_ranked': [r.cell.name for r in trial.fell_though_ranked],
        'held_though_misranked': [r.cell.name for r in trial.held_though_misranked],
        'smallest': None if trial.smallest is None else trial.smallest.cell.name,
        'smallest_ranked': (None if trial.smallest_ranked is None else
                            trial.smallest_ranked.cell.name),
        'least_shown': trial.least_shown, 'notes': list(notes(tried))}


def _cell(result: CellResult, trial: Trial) -> dict[str, Any]:
    driven, asked, cell = result.driven, result.imagined, result.cell
    return {
        'cell': cell.name, 'bits': cell.bits, 'module': cell.module,
        'granularity': cell.granularity, 'size_bytes': result.size_bytes,
        'scales': result.scales, 'size_ratio': result.size_bytes / trial.reference.size_bytes,
        'success': {'k': sum(driven.solved), 'n': len(driven.solved), **driven.success._asdict()},
        'difference': {**result.difference._asdict(), 'gained': result.gained,
                       'lost': result.lost, 'falls': result.falls},
        'rank': {'median': asked.rank, 'least': asked.rank_min, 'states': asked.states},
        'cost_failure': driven.cost_failure._asdict(), 'cost_time': driven.cost_time._asdict(),
        'early_failure': {**driven.early_failure._asdict(), 'slots': driven.early_slots},
        'error': {'first': asked.error_first, 'last': asked.error_last,
                  'persistence_first': asked.still_first, 'persistence_last': asked.still_last,
                  'steps': asked.steps},
        'episodes': [{'solved': won, 'time_s': took, 'cost': None if math.isnan(cost) else cost}
                     for won, took, cost in zip(driven.solved, driven.time_s, driven.cost,
                                                strict=True)],
        'nonfinite': driven.nonfinite,
        'latency': [{'engine': t.engine, 'precision': t.precision, 'batch_ms': t.batch_ms,
                     'time_ratio': t.time_ratio} for t in result.latency],
        'why_no_latency': result.why_no_latency}


def card(spec: WorldModelSpec, result: CellResult) -> str:
    """Return the card of a cell's checkpoint, in Markdown."""
    made, driven = spec.provenance['quantized'], result.driven
    return f"""# {spec.name}

The weights of {escaped(made['source_name'])}, sha256 {made['source_sha256']}, with fewer bits:
{result.cell.name}. They are stored as fp32, each on the grid it was rounded to; in their bits the
model is {result.size_bytes} bytes.

* solved in process: {sum(driven.solved)} of {len(driven.solved)}, \
[{driven.success.low:.2f}, {driven.success.high:.2f}]; beside fp32 on the same starts \
{result.difference.value:+.2f} [{result.difference.low:+.2f}, {result.difference.high:+.2f}]
* rank correlation of candidate costs with fp32: {number(result.imagined.rank, 4)} in the median, \
{number(result.imagined.rank_min, 4)} at least
"""
