"""The monitor node: feeds every record to the one scorer, live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import sys
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import setting
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import drain, run_node, spin_in_batches, Stop
from wm_eval_ros.nodes.ros import Endpoints, Ready, sequence_of, TYPES
from wm_eval_ros.nodes.topic_list import sensed
from wm_eval_ros.records import EpisodeEvent, EventKind, Record, SampleRecord
from wm_eval_ros.scoring.live import slot_values
from wm_eval_ros.scoring.scorer import Scorer
from wm_eval_ros.surprise.calibration import read_calibration
from wm_eval_ros.surprise.exchangeability import CalibrationWatch
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.header import header_stamp_ns


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Where the final summary goes."""

    scorecard: str = setting('', doc='file of the final live scorecard; empty: none is written')


class MonitorNode:
    """Holds a :class:`Scorer`; every number is computed by it, none here."""

    def __init__(self) -> None:
        """Read the parameters, subscribe."""
        self.node = Node('monitor', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = scenario = run_scenario(run)
        self._settings = parameters.declare(MonitorSettings)
        parameters.close()
        self._scorer = Scorer()
        self._count = 0
        self._watch = _watch(scenario)
        ends = Endpoints(self.node, scenario, run.nodes)
        self._events = None if self._watch is None else ends.publisher(
            topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
        self._metrics = ends.publisher(topics.TYPES[topics.METRICS], topics.METRICS,
                                       topics.TELEMETRY)
        for topic, qos, callback in (
                (topics.RUN_INFO, topics.LATCHED, self._on_run_info),
                (topics.EPISODE_EVENT, topics.LATCHED, self._on_event),
                (topics.PLANNER_CYCLE, topics.TELEMETRY, self._on_cycle)):
            ends.subscription(topics.TYPES[topic], topic, qos, callback)
        if scenario.plant.link:
            for topic, decode in ((topics.LINK_EVENT, codec.link_from_msg),
                                  (topics.CLOCK_EXCHANGE, codec.exchange_from_msg)):
                ends.subscription(topics.TYPES[topic], topic, topics.TELEMETRY,
                                  self._taking(decode))
        robot = scenario.plant.kind == 'hardware'
        for stream in scenario.interface.observations:
            topic = sensed(stream.topic, run.nodes)
            ends.subscription(
                stream.type, topic, topics.ROBOT_SENSOR if robot else topics.SENSOR_OFFER,
                self._on_sample(self.node.resolve_topic_name(topic)), raw=True)
        self._ready = Ready(self.node, ends)

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Listen until told to stop."""
        spin_in_batches(executor, stop, lambda: self._count,
                        self._ready.announce_when_matched)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Take in what has already arrived; write the final summary."""
        drain(executor, lambda: self._count)
        if self._settings.scorecard:
            path = Path(self._settings.scorecard)
            path.write_text(self._scorer.compute().to_json(), encoding='utf-8')

    def _update(self, record: Record) -> None:
        self._count += 1
        self._scorer.update(record)
        if self._watch is None or self._events is None:
            return
        loss = self._watch.update(record)
        if loss is not None and isinstance(record, EpisodeEvent):
            self._events.publish(codec.event_to_msg(EpisodeEvent(
                record.stamp_ns, loss.episode, EventKind.CALIBRATION_LOST, loss.label,
                loss.evidence, 'monitor'), TYPES))

    def _on_run_info(self, message: Any) -> None:
        self._update(codec.run_info_from_json(message.data))

    def _on_event(self, message: Any) -> None:
        self._update(codec.event_from_msg(message))

    def _on_cycle(self, message: Any) -> None:
        cycle = codec.cycle_from_msg(message)
        self._update(cycle)
        self._metrics.publish(codec.metric_array(
            cycle.stamp_ns, cycle.slot, slot_values(cycle), TYPES))

    def _taking(self, decode: Callable[[Any], Record]) -> Callable[[Any], None]:
        return lambda message: self._update(decode(message))

    def _on_sample(self, topic: str) -> Callable[[bytes, dict[str, Any]], None]:
        def take(data: bytes, info: dict[str, Any]) -> None:
            self._update(SampleRecord(
                topic, header_stamp_ns(data), info.get('received_timestamp') or time.time_ns(),
                sequence_of(info)))

        return take


def _watch(scenario: Scenario) -> CalibrationWatch | None:
    """Return the watch over the calibration in use; the planner refuses one that does not fit."""
    settings = scenario.detector
    if not settings.calibration:
        return None
    found, _ = read_calibration(Path(settings.calibration), settings.calibration_sha256)
    return CalibrationWatch(found, settings.lost_alpha)


def main() -> int:
    """Entry point of the process."""
    return run_node(MonitorNode)


if __name__ == '__main__':
    sys.exit(main())
