"""The planner node: a lifecycle node that writes one `PlannerCycle` per scheduled slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
import gc
import os
from pathlib import Path
import sys
import threading
import time
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from wm_eval_ros.config.scenario import config_folder, PlannerSettings
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError, FieldPathError, RunError, WmEvalError
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import KnowsDivergence, WorldModel
from wm_eval_ros.nodes.host_link import answer_clock
from wm_eval_ros.nodes.inputs import InputBuffer, made_up
from wm_eval_ros.nodes.manifest import run_info
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.planner_faults import PlannerFaults
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, Ready, TYPES, wait_acked
from wm_eval_ros.nodes.transport import without_shared_memory
from wm_eval_ros.planning.charge import LatencyCharge
from wm_eval_ros.planning.decision import Decider, Inputs
from wm_eval_ros.planning.episodes import Episodes
from wm_eval_ros.planning.load import make_planner
from wm_eval_ros.planning.realtime import RealtimeSlots
from wm_eval_ros.planning.slot_mark import Mark, SlotMark
from wm_eval_ros.planning.slots import ChargedSlots, SlotWork
from wm_eval_ros.planning.struck import StruckPlanner
from wm_eval_ros.records import ClockMode, CycleRecord, EpisodeEvent, Mode, NEVER_NS
from wm_eval_ros.safety.in_force import Answer, Witness
from wm_eval_ros.safety.overheard import Overheard
from wm_eval_ros.surprise.assemble import detector_of
from wm_eval_ros.surprise.streams import KL
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """How the node starts."""

    autostart: bool = setting(
        False, doc='configure and activate without being asked by a lifecycle manager')
    shadow: bool = setting(
        False, doc='label every slot SHADOW: proposals are recorded, no gate passes them on')
    slot_mark: str = setting(
        '', doc='file that keeps the last slot, for a planner that is started again amid a run; '
        'empty: none')


class PlannerNode(LifecycleNode):
    """Wires inputs, decider, slots and record together; the hands of :class:`SlotWork`."""

    def __init__(self) -> None:
        """Read the parameters; everything heavy waits for `configure`."""
        super().__init__('planner', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self)
        run = parameters.declare(RunSettings)
        self._run_id, self._nodes = run.run_id, run.nodes
        self.scenario = run_scenario(run)
        self._settings = parameters.declare(PlannerSettings, self.scenario.planner)
        start = parameters.declare(StartSettings)
        self._autostart = start.autostart
        self._slot_mark = SlotMark(Path(start.slot_mark)) if start.slot_mark else None
        shadow = start.shadow or self.scenario.supervisor.shadow
        self._mode = Mode.SHADOW if shadow else Mode.PLANNER
        if start.shadow and 'supervisor' in run.nodes and not self.scenario.supervisor.shadow:
            raise ConfigError('shadow: a supervisor in the run would pass the proposals on; give '
                              'the scenario supervisor.shadow: true, or leave it out of nodes')
        parameters.close()
        self._realtime = self.scenario.clock is ClockMode.REALTIME
        self._episodes = Episodes()
        self._active = threading.Event()
        self._thread: threading.Thread | None = None
        self._answered_ns = NEVER_NS
        self._error: WmEvalError | None = None
        #: who drove in lockstep, where a supervisor answers every slot
        self._witness = (None if self._realtime or 'supervisor' not in run.nodes else Witness())
        #: which command is in force and who drove, otherwise
        self._overheard = Overheard(passes=not shadow)

    @property
    def node(self) -> Node:
        """The ROS node: this."""
        return self

    # life ---------------------------------------------------------------------------------------

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Handle callbacks; in lockstep also decide, in this thread."""
        if self._autostart:
            self._start()
        while not stop:
            executor.spin_once(timeout_sec=SPIN_S)
            if self._error is not None:
                raise self._error
            if self._active.is_set() and self._ready.announce_when_matched():
                if self._realtime:
                    self._scheduled.met = True
                self._announce_episode()
            if not self._realtime and self._active.is_set():
                self._answer()

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Stop the planning thread; wait until the last record was taken."""
        was_active = self._active.is_set()
        self._halt()
        if was_active:
            wait_acked(self._cycles)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, warm up, make the endpoints."""
        try:
            self._configure()
        except WmEvalError as error:
            self._error = error
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send from now on."""
        if not (self._realtime and self._scheduled.left):
            # a predecessor has told it: one run has one manifest
            self._info.publish(self._manifest)
        self._active.set()
        if self._realtime:
            self._thread = threading.Thread(target=self._plan_on_schedule, name='planning')
            self._thread.start()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send no more; the gate falls back."""
        self._halt()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the model and the endpoints."""
        self._ends.destroy()
        del self._decider
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        self._halt()
        return TransitionCallbackReturn.SUCCESS

    def _start(self) -> None:
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                raise self._error or RunError('planner: could not be configured; see its log')

    def _halt(self) -> None:
        self._active.clear()
        self._episodes.begun.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._episodes.begun.clear()

    def _configure(self) -> None:
        import torch
        torch.set_num_threads(self._settings.torch_threads)
        interface = self.scenario.interface
        self._model = self._load_model() if self._settings.model else None
        self._faults = PlannerFaults(self.scenario)
        planner = StruckPlanner(make_planner(self._settings, self._model, interface),
                                self._faults.strike)
        self._decider = Decider(interface, self._model, planner,
                                stale_ns=round(self._settings.stale_ms * 1e6),
                                delay_steps=self._settings.delay_steps,
                                by_arrival=self.scenario.plant.link)
        self._surprise, facts = detector_of(
            replace(self.scenario, planner=self._settings),
            '' if self._model is None else self._model.spec.sha256,
            divergence=isinstance(self._model, KnowsDivergence))
        self._writer = CommandWriter(interface.command, message_type)
        self._command_type = message_type(interface.command.type)
        self._make_endpoints()
        self._make_slots()
        self._manifest = message_type(topics.TYPES[topics.RUN_INFO])()
        self._manifest.data = codec.run_info_to_json(
            run_info(self.scenario, self._settings, self._run_id, self._model, facts))

    def _load_model(self) -> WorldModel:
        return load_model(replace(self.scenario, planner=self._settings))

    def _make_endpoints(self) -> None:
        interface = self.scenario.interface
        ends = self._ends = Endpoints(self, self.scenario, self._nodes)
        ends.subscription(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                          topics.LATCHED, self._on_event)
        sensor = topics.SENSOR if self._realtime else topics.SENSOR_OFFER
        self._inputs = InputBuffer(self, ends, interface, sensor, self._nodes)
        proposed = topics.proposed(interface.command.topic)
        # offered as tight as it gets, so that the supervisor may ask for any of its watches
        watched = topics.proposal(round(self._settings.period_ms * 1e6),
                                  round(self.scenario.supervisor.liveliness_ms * 1e6))
        self._commands = ends.publisher(interface.command.type, proposed,
                                        watched if self._realtime else topics.TELEMETRY)
        self._cycles = ends.publisher(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                                      topics.TELEMETRY)
        self._info = ends.publisher(topics.TYPES[topics.RUN_INFO], topics.RUN_INFO,
                                    topics.LATCHED)
        if self._witness is not None:
            ends.subscription(interface.command.type, interface.command.topic, topics.TELEMETRY,
                              self._on_slot_command)
        elif self._realtime:
            # best effort: no writer of commands ever waits for the planner
            ends.subscription(interface.command.type, interface.command.topic,
                              topics.ROBOT_SENSOR, self._on_command)
        if self.scenario.plant.link:
            answer_clock(self)
        self._ready = Ready(self, ends)

    def _make_slots(self) -> None:
        """Plan on a made-up state, so that no slot pays for the first ones; freeze the heap."""
        interface = self.scenario.interface
        work = SlotWork(self._settings, self._decider, self,
                        self.resolve_topic_name(topics.proposed(interface.command.topic)))
        warmups = work.warm_up(made_up(interface))
        if self._realtime:
            self._scheduled = RealtimeSlots(
                work, self._episodes, self._active, enter=self._enter_episode,
                ros_ns=self._ros_ns, mark=self._slot_mark, rejoined=self._rejoin,
                warmups=warmups)
        else:
            charge = LatencyCharge(self._settings, self.scenario.clock)
            self._charged = ChargedSlots(work, charge.charge_ns, repeatable=charge.repeatable)
        gc.collect()
        gc.freeze()

    # the slots ----------------------------------------------------------------------------------

    def _plan_on_schedule(self) -> None:
        """Keep the schedule; what breaks it ends the node, not only this thread."""
        try:
            self._scheduled.keep()
        except Exception as error:  # noqa: BLE001 it is raised again in the main thread
            self._error = RunError(f'planning thread: {type(error).__name__}: {error}')

    def _answer(self) -> None:
        """Decide the slot of a complete, new set of samples (lockstep, free)."""
        stamp_ns = self._inputs.complete_stamp_ns()
        if stamp_ns is None or stamp_ns == self._answered_ns:
            return
        if self._witness is not None and not self._witness.settled:
            return
        episode = self._enter_episode()
        if episode is None or stamp_ns < episode.stamp_ns:
            return
        self._answered_ns = stamp_ns
        sent = self._charged.answer(stamp_ns, episode)
        if self._witness is not None:
            self._witness.answered(Answer(stamp_ns, *(sent or ())))

    def look(self) -> Inputs:
        """Return the newest readings."""
        return self._inputs.snapshot()

    def in_force(self) -> tuple[float, ...]:
        """Return the command in force as a slot begins, shape (A,); empty: none yet."""
        return (self._overheard.at(time.monotonic_ns()) if self._witness is None else
                self._witness.executed)

    def strike(self, task_ns: int) -> int:
        """Begin a slot at this task time; return what its decision is charged beyond its own."""
        self._faults.slot(task_ns)
        return self._faults.charge_ns

    def send(self, action: tuple[float, ...], stamp_ns: int) -> tuple[float, ...]:
        """Propose a command with this stamp; return it as its message holds it, shape (A,)."""
        message = self._written(action)
        if hasattr(message, 'header'):
            codec.set_stamp(message.header.stamp, stamp_ns)
        values = self._values(message)
        # first: it may come back out of the gate before `publish` returns
        self._overheard.proposed(values, time.monotonic_ns())
        self._commands.publish(message)
        return values

    def record(self, record: CycleRecord, divergence: float | None = None) -> None:
        """Publish a slot's record, with its scores: they are made after the command was sent."""
        record = replace(record, mode=self._mode_since())
        if self._surprise is not None:
            record = self._surprise.update(
                record, {} if divergence is None else {KL: divergence})
        self._cycles.publish(codec.cycle_to_msg(record, TYPES))

    def _on_command(self, message: Any) -> None:
        try:
            self._overheard.heard(self._values(message), time.monotonic_ns())
        except FieldPathError as error:
            # nobody of this package wrote it
            self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_slot_command(self, message: Any) -> None:
        assert self._witness is not None
        self._witness.heard(self._values(message), codec.stamp_ns(message.header.stamp))

    def _written(self, action: tuple[float, ...]) -> Any:
        return self._writer.write(self._command_type(), np.asarray(action))

    def _values(self, message: Any) -> tuple[float, ...]:
        return tuple(self._writer.read(message).tolist())

    # episodes -----------------------------------------------------------------------------------

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if not self._episodes.told(event):
            self._overheard.told(event.kind)

    def _announce_episode(self) -> None:
        """Say that START and the goal are here: only then the plant moves."""
        goal = self._inputs.snapshot().goal
        number = self._episodes.to_announce(
            None if goal is None else goal.ref.stamp_ns,
            wants_goal=self.scenario.interface.goal is not None,
            old_goal=self.scenario.plant.kind == 'hardware')
        if number is not None:
            self._ready.announce(number)

    def _enter_episode(self) -> EpisodeEvent | None:
        """Return the running episode; the first time, forget what was carried over."""
        episode, new = self._episodes.enter()
        if episode is not None and new:
            self._overheard.begin()
            if self._witness is not None:
                zero = self.scenario.interface.command.zero
                self._witness.begin(self._values(self._written(zero)))
            if not self._realtime:
                self._charged.begin()
            self._decider.begin_episode(int(episode.value))
            self._faults.begin(int(episode.value))
        return episode

    def _rejoin(self, left: Mark) -> None:
        """Go on in the episode in which a predecessor died."""
        if self._surprise is not None and left.first is not None:
            self._surprise.resume(left.episode, left.first)

    def _mode_since(self) -> Mode:
        """Return who commanded since the record before this: not the planner, if another did."""
        foreign = (self._overheard.foreign() if self._witness is None else
                   self._witness.foreign)
        return Mode.FALLBACK if foreign and self._mode is Mode.PLANNER else self._mode

    def _ros_ns(self) -> int:
        """Return the time on the clock of the stamps; never called in a callback."""
        return int(self.get_clock().now().nanoseconds)


def choose_transport() -> None:
    """Keep what may die at any moment from memory shared with others."""
    os.environ |= without_shared_memory(os.environ, get_rmw_implementation_identifier(),
                                        config_folder())


def main() -> int:
    """Entry point of the process."""
    return run_node(PlannerNode, before=choose_transport)


if __name__ == '__main__':
    sys.exit(main())
