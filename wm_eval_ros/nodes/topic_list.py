"""Which topics a scenario's run consists of."""

from __future__ import annotations

from collections.abc import Collection

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import topics


def run_topics(scenario: Scenario, exclude: Collection[str] = ()) -> dict[str, str]:
    """Return topic -> type of everything that belongs into the bag of a run."""
    interface = scenario.interface
    listed = {s.topic: s.type for s in interface.observations}
    if interface.goal is not None:
        listed[interface.goal.topic] = interface.goal.type
    command = interface.command
    listed[command.topic] = listed[topics.proposed(command.topic)] = command.type
    ours = [topics.RUN_INFO, topics.EPISODE_EVENT, topics.PLANNER_CYCLE, topics.METRICS]
    if scenario.clock is not ClockMode.REALTIME:
        ours.append(topics.CLOCK)
    if scenario.plant.camera_hz > 0:
        ours.append(topics.camera(scenario.plant.camera_encoding))
    listed.update({name: topics.TYPES[name] for name in ours})
    return {name: kind for name, kind in listed.items() if name not in exclude}
