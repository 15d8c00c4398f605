"""The planner node: a lifecycle node that writes one `PlannerCycle` per scheduled slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
import gc
from pathlib import Path
import sys
import threading
import time
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError, FieldPathError, RunError, WmEvalError
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import KnowsDivergence, WorldModel
from wm_eval_ros.nodes.inputs import InputBuffer
from wm_eval_ros.nodes.manifest import run_info
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.planner_faults import PlannerFaults
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, Ready, TYPES
from wm_eval_ros.planning.charge import LatencyCharge
from wm_eval_ros.planning.decision import (
    BUSY,
    cycle_record,
    Decider,
    Decision,
    Inputs,
    published,
    skipped,
)
from wm_eval_ros.planning.schedule import Schedule, Slot
from wm_eval_ros.planning.slot_mark import Mark, SlotMark
from wm_eval_ros.planning.struck import StruckPlanner
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Mode,
    NEVER_NS,
    TERMINAL,
)
from wm_eval_ros.safety.in_force import Answer, Witness
from wm_eval_ros.safety.overheard import Overheard
from wm_eval_ros.surprise.assemble import detector_of
from wm_eval_ros.surprise.streams import KL
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter

#: calls of the planner before it is active, so that no slot pays for the first ones
WARMUP_CALLS = 5
#: in this time the events come that were latched before a planner was started again [s]
SETTLE_S = 0.1
#: pause between two looks of the planning thread at what it waits for [s]
POLL_S = 0.005
#: how long the acknowledgement of the last record is waited for [s]
ACK_S = 0.5
#: budget of a decision whose latency is charged, not measured: all iterations [ns]
UNBOUNDED_NS = 2**62


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
    """Wires inputs, :class:`Decider`, :class:`Schedule` and the record together."""

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
        #: where a predecessor in this run died
        self._left: Mark | None = None
        self._why_missed = BUSY
        shadow = start.shadow or self.scenario.supervisor.shadow
        self._mode = Mode.SHADOW if shadow else Mode.PLANNER
        if start.shadow and 'supervisor' in run.nodes and not self.scenario.supervisor.shadow:
            raise ConfigError('shadow: a supervisor in the run would pass the proposals on; give '
                              'the scenario supervisor.shadow: true, or leave it out of nodes')
        parameters.close()
        self._period_ns = round(self._settings.period_ms * 1e6)
        self._deadline_ns = round(self._settings.deadline_ms * 1e6)
        self._realtime = self.scenario.clock is ClockMode.REALTIME
        self._schedule = Schedule(self._period_ns)
        self._episode: EpisodeEvent | None = None
        #: every other end of a connection has met this node's
        self._met = False
        self._begun = threading.Event()
        self._active = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy_until_ns = 0
        self._answered_ns = NEVER_NS
        self._announced = -1
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
                self._met = True
                self._announce_episode()
            if not self._realtime and self._active.is_set():
                self._answer()

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Stop the planning thread; wait until the last record was taken."""
        was_active = self._active.is_set()
        self._halt()
        if was_active:
            self._cycles.wait_for_all_acked(Duration(seconds=ACK_S))

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
        if self._left is None:
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
        self._begun.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._begun.clear()

    def _configure(self) -> None:
        import torch
        torch.set_num_threads(self._settings.torch_threads)
        interface = self.scenario.interface
        kind = plugins.load('wm_eval_ros.planners', self._settings.planner)
        self._model = self._load_model() if self._settings.model else None
        self._charge = LatencyCharge(self._settings, self.scenario.clock)
        self._faults = PlannerFaults(self.scenario)
        planner = StruckPlanner(kind(self._settings, self._model, interface),
                                self._faults.strike)
        self._decider = Decider(interface, self._model, planner,
                                stale_ns=round(self._settings.stale_ms * 1e6))
        self._surprise, facts = detector_of(
            replace(self.scenario, planner=self._settings),
            '' if self._model is None else self._model.spec.sha256,
            divergence=isinstance(self._model, KnowsDivergence))
        self._writer = CommandWriter(interface.command, message_type)
        self._command_type = message_type(interface.command.type)
        self._make_endpoints()
        self._warm_up()
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
        self._command_topic = self.resolve_topic_name(proposed)
        # offered as tight as it gets, so that the supervisor may ask for any of its watches
        watched = topics.proposal(self._period_ns,
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
        self._ready = Ready(self, ends)

    def _warm_up(self) -> None:
        """Plan on a made-up state: allocators and caches get warm; then freeze the heap."""
        from wm_eval_ros.planning.decision import Reading
        from wm_eval_ros.records import InputRef
        from wm_eval_ros.wire.fields import feature_names

        def reading(stream: Any) -> Reading:
            return Reading(InputRef(stream.topic, 0), np.zeros(len(feature_names(stream))))

        interface = self.scenario.interface
        inputs = Inputs(tuple(reading(s) for s in interface.observations),
                        None if interface.goal is None else reading(interface.goal))
        self._decider.begin_episode(0)
        self._warmups: list[CycleRecord] = []
        for _ in range(WARMUP_CALLS):
            now_ns = time.monotonic_ns()
            self._schedule.anchor(now_ns)
            _, slot = self._schedule.take(now_ns)
            decision = self._decider.decide(slot.number, inputs, 0, 0, now_ns + self._budget_ns())
            record = cycle_record(
                slot, decision, stamp_ns=time.time_ns(), episode=0, start_ns=now_ns,
                period_ns=self._period_ns, deadline_ns=self._deadline_ns, with_rollout=False)
            self._warmups.append(replace(record, status=CycleStatus.WARMUP))
            if decision.status is CycleStatus.EXCEPTION:
                raise RunError(f'planner {self._settings.planner!r} fails on the warm-up state: '
                               f'{decision.reason}')
        # warm-up calls are no slots: the schedule's own numbers begin at 0, or where they stopped
        self._left = None if self._slot_mark is None else self._slot_mark.read()
        first = 0 if self._left is None else self._left.slot.number + 1
        self._schedule = Schedule(self._period_ns, first)
        gc.collect()
        gc.freeze()

    # the schedule -------------------------------------------------------------------------------

    def _budget_ns(self) -> int:
        return round(self._settings.budget_ms * 1e6)

    def _plan_on_schedule(self) -> None:
        """Keep the schedule; what breaks it ends the node, not only this thread."""
        try:
            self._keep_schedule()
        except Exception as error:  # noqa: BLE001 it is raised again in the main thread
            self._error = RunError(f'planning thread: {type(error).__name__}: {error}')

    def _keep_schedule(self) -> None:
        """Decide every slot on time; the body of the planning thread (realtime).

        The grid is anchored anew at every episode: what a simulator needs to reset is no slot.
        """
        anchored: EpisodeEvent | None = None
        while self._active.is_set():
            episode = self._episode
            if episode is None:
                self._begun.wait()
                continue
            if episode is not anchored:
                if self._left is not None and self._is_past(episode):
                    continue
                anchored = episode
                self._anchor(episode)
            wait_s = (self._schedule.next_due_ns() - time.monotonic_ns()) / 1e9
            if wait_s > 0:
                time.sleep(wait_s)
            if self._episode is anchored:
                self._realtime_slot()

    def _is_past(self, episode: EpisodeEvent) -> bool:
        """
        Say whether an episode is over that a planner started again hears of.

        It is told of all episodes of the run so far, in one burst: the last one counts. What it
        says before the listeners have met it would be lost.
        """
        while self._active.is_set() and not self._met:
            time.sleep(POLL_S)
        time.sleep(SETTLE_S)
        return self._episode is not episode

    def _anchor(self, episode: EpisodeEvent) -> None:
        """Make the next slot due at the episode's first samples, or a period from now without."""
        while self._warmups:
            # not earlier: now the recorder listens
            self._record(self._warmups.pop(0))
        left, self._left = self._left, None
        if left is not None and left.episode == episode.episode:
            # the grid of the predecessor: what passed since then was missed
            self._schedule.anchor(left.slot.due_ns + self._period_ns)
            self._why_missed = 'the planner was not running'
            if self._surprise is not None and left.first is not None:
                self._surprise.resume(left.episode, left.first)
            return
        latest_ns = time.monotonic_ns() + self._period_ns
        while self._active.is_set() and time.monotonic_ns() < latest_ns:
            stamps = [r.ref.stamp_ns for r in self._inputs.snapshot().observations if r]
            if len(stamps) == len(self.scenario.interface.observations) and (
                    min(stamps) >= episode.stamp_ns):
                break
            time.sleep(0.0005)
        self._schedule.anchor(time.monotonic_ns())

    def _realtime_slot(self) -> None:
        episode = self._enter_episode()
        if episode is None:
            return
        missed, slot = self._schedule.take(time.monotonic_ns())
        if self._slot_mark is not None:
            self._slot_mark.taken(slot, episode.episode)
        for passed in missed:
            self._record(skipped(passed, stamp_ns=self._ros_ns(), episode=episode.episode,
                                 period_ns=self._period_ns, deadline_ns=self._deadline_ns,
                                 reason=self._why_missed))
        self._why_missed = BUSY
        start_ns, stamp_ns = time.monotonic_ns(), self._ros_ns()
        inputs = self._snapshot()
        self._faults.slot(stamp_ns - episode.stamp_ns)
        decision = self._decider.decide(slot.number, inputs, stamp_ns, episode.stamp_ns,
                                        slot.due_ns + self._budget_ns())
        record = cycle_record(slot, decision, stamp_ns=stamp_ns, episode=episode.episode,
                              start_ns=start_ns, period_ns=self._period_ns,
                              deadline_ns=self._deadline_ns, inputs=inputs,
                              with_rollout=self._settings.record_rollout)
        # a plan that outlasts its episode is not sent: nobody watches it any more
        current = self._active.is_set() and self._episode is episode
        if decision.action is not None and current:
            command_ns = self._ros_ns()
            message = self._send(decision.action, command_ns)
            self._overheard.proposed(self._values(message), time.monotonic_ns())
            record = published(record, self._command_topic, decision.action, stamp_ns=command_ns,
                               steady_ns=time.monotonic_ns(), system_ns=time.time_ns())
            self._decider.sent(slot.number)
        elif decision.action is not None:
            record = replace(record, status=CycleStatus.SKIPPED,
                             reason='the episode ended before the plan')
        self._record(self._with_spread(record, decision), self._decider.divergence(decision))

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
        self._schedule.anchor(stamp_ns)
        _, slot = self._schedule.take(stamp_ns)
        if stamp_ns < self._busy_until_ns:
            self._record(skipped(slot, stamp_ns=stamp_ns, episode=episode.episode,
                                 period_ns=self._period_ns, deadline_ns=self._deadline_ns))
            self._note_answer(Answer(stamp_ns))
            return
        self._charged_slot(slot, episode)

    def _charged_slot(self, slot: Slot, episode: EpisodeEvent) -> None:
        now_ns = slot.due_ns
        inputs = self._snapshot()
        self._faults.slot(now_ns - episode.stamp_ns)
        begun_ns = time.monotonic_ns()
        until_ns = UNBOUNDED_NS if self._charge.repeatable else begun_ns + self._budget_ns()
        decision = self._decider.decide(slot.number, inputs, now_ns, episode.stamp_ns, until_ns)
        charge_ns = self._charge.charge_ns(time.monotonic_ns() - begun_ns) + self._faults.charge_ns
        done_ns = now_ns + charge_ns
        record = _charged(
            cycle_record(slot, decision, stamp_ns=now_ns, episode=episode.episode,
                         start_ns=now_ns, period_ns=self._period_ns,
                         deadline_ns=self._deadline_ns, inputs=inputs,
                         with_rollout=self._settings.record_rollout),
            now_ns, done_ns)
        if decision.infer_end_ns != NEVER_NS:
            self._busy_until_ns = done_ns
        answer = Answer(now_ns)
        if decision.action is not None:
            message = self._send(decision.action, done_ns)
            values = self._values(message)
            answer = Answer(now_ns, values, done_ns)
            self._overheard.proposed(values, time.monotonic_ns())
            self._decider.sent(slot.number)
            record = published(record, self._command_topic, decision.action, stamp_ns=done_ns,
                               steady_ns=done_ns, system_ns=done_ns)
        self._record(self._with_spread(record, decision), self._decider.divergence(decision))
        self._note_answer(answer)

    def _note_answer(self, answer: Answer) -> None:
        if self._witness is not None:
            self._witness.answered(answer)

    def _snapshot(self) -> Inputs:
        """Return what this slot may look at."""
        executed = (self._overheard.at(time.monotonic_ns()) if self._witness is None else
                    self._witness.executed)
        return replace(self._inputs.snapshot(), executed=executed)

    def _on_command(self, message: Any) -> None:
        try:
            self._overheard.heard(self._values(message), time.monotonic_ns())
        except FieldPathError as error:
            # nobody of this package wrote it
            self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_slot_command(self, message: Any) -> None:
        assert self._witness is not None
        self._witness.heard(self._values(message), codec.stamp_ns(message.header.stamp))

    def _values(self, message: Any) -> tuple[float, ...]:
        return tuple(self._writer.read(message).tolist())

    def _with_spread(self, record: CycleRecord, decision: Decision) -> CycleRecord:
        if record.rollout is None:
            return record
        return replace(record, rollout_std=self._decider.spread(decision))

    # episodes -----------------------------------------------------------------------------------

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if event.kind is EventKind.START:
            self._episode = event
            self._entered = False
            self._begun.set()
        elif event.kind in TERMINAL:
            self._episode = None
            self._begun.clear()
        else:
            self._overheard.told(event.kind)

    def _announce_episode(self) -> None:
        """Say that START and the goal are here: only then the plant moves."""
        episode = self._episode
        if episode is None or episode.episode == self._announced:
            return
        goal = self._inputs.snapshot().goal
        oldest_ns = 0 if self.scenario.plant.kind == 'hardware' else episode.stamp_ns
        if self.scenario.interface.goal is None or (
                goal is not None and goal.ref.stamp_ns >= oldest_ns):
            self._announced = episode.episode
            self._ready.announce(episode.episode)

    def _enter_episode(self) -> EpisodeEvent | None:
        """Return the running episode; the first time, forget what was carried over."""
        episode = self._episode
        if episode is not None and not self._entered:
            self._entered = True
            self._busy_until_ns = 0
            self._overheard.begin()
            if self._witness is not None:
                self._witness.begin(self.scenario.interface.command.zero)
            self._decider.begin_episode(int(episode.value))
            self._faults.begin(int(episode.value))
        return episode

    # endpoints ----------------------------------------------------------------------------------

    def _send(self, action: tuple[float, ...], stamp_ns: int) -> Any:
        """Propose a command; return its message."""
        message = self._command_type()
        self._writer.write(message, np.asarray(action))
        if hasattr(message, 'header'):
            codec.set_stamp(message.header.stamp, stamp_ns)
        self._commands.publish(message)
        return message

    def _record(self, record: CycleRecord, divergence: float | None = None) -> None:
        """Publish a slot's record, with its scores: they are made after the command was sent."""
        record = replace(record, mode=self._mode_since())
        if self._surprise is not None:
            record = self._surprise.update(
                record, {} if divergence is None else {KL: divergence})
        self._cycles.publish(codec.cycle_to_msg(record, TYPES))
        if self._slot_mark is not None and record.status is not CycleStatus.WARMUP:
            self._slot_mark.recorded(record.slot, record.episode)

    def _mode_since(self) -> Mode:
        """Return who commanded since the record before this: not the planner, if another did."""
        foreign = (self._overheard.foreign() if self._witness is None else
                   self._witness.foreign)
        return Mode.FALLBACK if foreign and self._mode is Mode.PLANNER else self._mode

    def _ros_ns(self) -> int:
        """Return the time on the clock of the stamps; never called in a callback."""
        return int(self.get_clock().now().nanoseconds)


def _charged(record: CycleRecord, now_ns: int, done_ns: int) -> CycleRecord:
    """Replace measured times by charged simulated ones; the CPU time stays measured."""
    thought = record.infer_end_ns != NEVER_NS
    return replace(record, infer_start_ns=now_ns if thought else NEVER_NS,
                   infer_end_ns=done_ns if thought else NEVER_NS)


def main() -> int:
    """Entry point of the process."""
    return run_node(PlannerNode)


if __name__ == '__main__':
    sys.exit(main())
