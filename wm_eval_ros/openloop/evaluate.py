"""Score a small dynamics model open loop on a robot's bag, and say what is odd about the bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from wm_eval_ros.bag.findings import Finding
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.openloop import notes
from wm_eval_ros.openloop.alarms import Watch, watch
from wm_eval_ros.openloop.alignment import misaligned
from wm_eval_ros.openloop.figures import figures
from wm_eval_ros.openloop.grid import Grid, make_grid
from wm_eval_ros.openloop.lags import find_lags, Lag
from wm_eval_ros.openloop.material import (
    grids_of,
    losses_of,
    masks_of,
    Material,
    read_material,
    stretches_of,
)
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.scores import judge, Score, score_horizon, Scored
from wm_eval_ros.openloop.streams import (
    disagreement_stream,
    Loss,
    prediction_stream,
    ScoreStream,
    silence_stream,
)
from wm_eval_ros.openloop.windows import windows


def evaluate(bag: Bag, robot: RobotMap) -> OpenLoop:
    """
    Read, align, mask, fit, score and watch.

    :raises BagError: the bag does not hold what the map names, or too little of it to score
    :raises FieldPathError: a field of the map is not in the messages
    """
    material = read_material(bag, robot)
    grids = grids_of(material)
    cuts = [_cut(grid, robot) for grid in grids]
    scores, scored = _scores(grids, cuts, robot)
    if all(score.ratio.value is None for score in scores):
        raise BagError(f'{bag.path}: nothing to score: {scores[0].why}')
    found = losses_of(material)
    cut_ns = min(int(grid.times_ns[cut]) for grid, cut in zip(grids, cuts, strict=True))
    nominal_end_ns = min([cut_ns, *(loss.onset_ns for loss in found)])
    streams = list(_streams(material, grids, nominal_end_ns))
    watches = _watches([stream for stream, _ in streams], found, nominal_end_ns, robot)
    lags = tuple(lag for grid in grids for lag in find_lags(grid, robot))
    outcome = OpenLoop(
        robot.name, material.start_ns, material.end_ns, cut_ns, nominal_end_ns, scores, scored,
        lags, tuple(material.clocks.values()), tuple(masks_of(material)),
        tuple(stretch for grid in grids for stretch in stretches_of(grid)), watches, found,
        (*notes.undefined(bag, robot), *notes.without_agreement(bag, robot),
         *_findings(material, lags, scored, found)), ())
    return replace(outcome, values=tuple(figures(outcome, {
        stream.name: offset for stream, offset in streams if offset is not None})))


def _cut(grid: Grid, robot: RobotMap) -> int:
    """Return the grid point the scored part begins at: after a share of the whole windows."""
    whole = windows(grid, max(robot.history), 1).whole
    return int(whole[int(robot.train_share * len(whole))]) if len(whole) else len(grid) - 1


def _scores(
    grids: Sequence[Grid], cuts: Sequence[int], robot: RobotMap,
) -> tuple[tuple[Score, ...], tuple[Scored, ...]]:
    scores: list[Score] = []
    scored: list[Scored] = []
    for grid, cut in zip(grids, cuts, strict=True):
        steps = {1, *(max(1, round(h / grid.period_s)) for h in robot.horizons_s)}
        for ahead in sorted(steps):
            own, found = score_horizon(grid, cut, ahead, robot)
            scores += own
            scored.append(found)
    return tuple(judge(scores)), tuple(scored)


def _watches(
    streams: Sequence[ScoreStream], found: Sequence[Loss], nominal_end_ns: int, robot: RobotMap,
) -> tuple[Watch, ...]:
    return tuple(watch(stream, found, nominal_end_ns, robot.loss_s, robot.alarm_share)
                 for stream in streams)


def _streams(
    material: Material, grids: Sequence[Grid], nominal_end_ns: int,
) -> Iterator[tuple[ScoreStream, float | None]]:
    """Yield what watches the bag; an agreement with the constant offset of its two frames."""
    robot = material.robot
    topics = {track.name: track.topic for track in material.state}
    for grid in grids:
        own = dict.fromkeys(topics[name] for name in grid.names)
        yield prediction_stream(tuple(own), grid, nominal_end_ns, robot), None
    for pair in material.pairs:
        estimate, reference = (material.tracks(s) for s in (pair.estimate, pair.reference))
        if not pair.rotation:
            grid = make_grid(estimate, material.command, robot,
                             max(track.fresh_ns for track in estimate))
            yield prediction_stream([pair.estimate.topic], grid, nominal_end_ns, robot), None
        yield disagreement_stream(pair, estimate, reference, nominal_end_ns)
    for topic, log_ns in material.log_times().items():
        yield silence_stream(topic, log_ns, nominal_end_ns, material.end_ns), None


def _findings(
    material: Material, lags: Sequence[Lag], scored: Sequence[Scored], found: Sequence[Loss],
) -> Iterator[Finding]:
    yield from notes.of_losses(found, material.start_ns)
    for track in material.state:
        yield from notes.of_state(track, material.start_ns)
    yield from notes.of_command(material.command, material.robot, material.start_ns)
    yield from misaligned(material, lags)
    for lag in lags:
        yield from notes.of_lag(lag)
    for each in scored:
        yield from notes.of_scored(each)
