"""Perturbations at the plant: the schedule carried out on messages, commands and the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.nodes.injecting import answer
from wm_eval_ros.perturb.held import Held
from wm_eval_ros.perturb.host import Channel, Host, Role
from wm_eval_ros.perturb.injector import Change, Injector
from wm_eval_ros.perturb.protocol import (
    ChangesEndpoints,
    ChangesProcesses,
    ChangesWorld,
    WorldChange,
)
from wm_eval_ros.perturb.units import command_units, observation_units, raw_fields
from wm_eval_ros.plants.protocol import Disturbable, Plant
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.edit import FieldEditor

#: publishes a change, as an event of now
Tell = Callable[[Change], None]
#: makes the reader of commands anew: True: by a quality of service that is not offered
Part = Callable[[bool], None]


class Perturber:
    """Holds the :class:`Injector` of a simulated plant; asked at every instant of the world."""

    def __init__(
        self, scenario: Scenario, plant: Plant, tell: Tell, part: Part, *,
        process_faults: bool = False,
    ) -> None:
        """
        Make a perturber; nothing is on.

        :param tell: called with everything that begins, ends, or does not act
        :param part: called where the reader of commands is to hear nobody, and where again
        :param process_faults: somebody listens to that, and does it to the processes
        :raises WmEvalError: the scenario names a perturbation, parameter or topic nobody knows
        """
        interface = scenario.interface
        self._plant, self._tell, self._part = plant, tell, part
        self._apart = False
        self._editors = {s.topic: FieldEditor(s.topic, s.type, raw_fields(s))
                         for s in interface.observations}
        self._units = {topic: observation_units(editor.fields)
                       for topic, editor in self._editors.items()}
        self._command = interface.command.topic
        self._units[self._command] = command_units(interface.command)
        host = _host(scenario, plant, process_faults)
        self._injector = Injector(scenario.perturbations, host, self._disturb)
        self._open = False
        # in a simulator the rates are known, and so is what is held back at most
        self._held: Held[Callable[[], object]] = Held(0)

    # the episode --------------------------------------------------------------------------------

    def begin(self, seed: int) -> None:
        """Begin an episode just after the reset."""
        self._open = True
        self._held.clear()
        self._injector.begin(seed)

    def step(self) -> None:
        """Begin and end what is due now; let go of messages that were held back until now."""
        task_ns = self._plant.time_ns
        for change in self._injector.step(task_ns):
            self._tell(change)
        self._match()
        for leave in self._held.due(task_ns):
            leave()

    def end(self) -> None:
        """End everything; to be told before the event that ends the episode."""
        self._open = False
        for change in self._injector.end():
            self._tell(change)
        self._match()

    def _match(self) -> None:
        """Let the reader of commands hear its writer, or not."""
        apart = self._injector.is_apart(self._command)
        if apart != self._apart:
            self._apart = apart
            self._part(apart)

    def between(self) -> Collection[str]:
        """Return the observations that have one more sample before the next that is due."""
        return [topic for topic in self._editors if self._injector.samples_between(topic)]

    # what passes through ------------------------------------------------------------------------

    def send(self, topic: str, message: Any, publish: Callable[[Any], object]) -> None:
        """Publish an observation as the perturbations leave it: changed, late, twice, never."""
        if not self._injector.touches(topic):
            publish(message)
            return
        if topic in self._editors:
            self._edit(self._editors[topic], topic, message)
        task_ns = self._plant.time_ns
        stamp_ns = codec.stamp_ns(message.header.stamp)
        for copy in self._injector.deliver(topic, task_ns):
            def leave(stamp_ns: int = stamp_ns + copy.stamp_shift_ns) -> None:
                codec.set_stamp(message.header.stamp, stamp_ns)
                publish(message)
            self._leave(copy.delay_ns, leave)

    def image(self, topic: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture that the camera takes."""
        return self._injector.image(topic, pixels, self._plant.time_ns)

    def send_image(self, topic: str, message: Any, publish: Callable[[Any], object]) -> None:
        """Publish an image as the perturbations leave it, cut short or under a wrong name too."""
        size = len(message.data)
        if (left := self._injector.size(topic, size)) < size:
            message.data = message.data[:left]
        name = 'format' if hasattr(message, 'format') else 'encoding'
        setattr(message, name, self._injector.encoding(topic, getattr(message, name)))
        self.send(topic, message, publish)

    def act(self, action: NDArray[np.float64]) -> None:
        """
        Let a command, shape (A,), reach the actuators as the perturbations leave it.

        Actuators do not take what is not finite, or too short: the command before stays in force.
        """
        topic, task_ns = self._command, self._plant.time_ns
        changed = self._injector.values(topic, action, self._units[topic], task_ns)
        keep = self._injector.length(topic)
        taken = keep is None or keep(len(action)) == len(action)
        if not taken or not np.isfinite(changed).all():
            return
        for copy in self._injector.deliver(topic, task_ns):
            self._leave(copy.delay_ns, lambda: self._plant.apply(changed))

    # live ---------------------------------------------------------------------------------------

    def on_request(self, asked: Any, response: Any) -> Any:
        """Answer the service: begin a perturbation now; severity 0 ends it."""
        change = answer(self._injector, self._plant.time_ns if self._open else None, asked,
                        response)
        if change is not None:
            self._tell(change)
            self._match()
        return response

    def _leave(self, delay_ns: int, leave: Callable[[], object]) -> None:
        """Do something now, or at the first instant of the world after a delay."""
        if delay_ns <= 0:
            leave()
        else:
            self._held.put(self._plant.time_ns + delay_ns, 0, leave)

    def _edit(self, editor: FieldEditor, topic: str, message: Any) -> None:
        task_ns = self._plant.time_ns
        before = editor.read(message)
        after = self._injector.values(topic, before, self._units[topic], task_ns)
        if after is not before:
            editor.write(message, after)
        keep = self._injector.length(topic)
        if keep is not None:
            editor.shorten(message, keep)

    def _disturb(self, changes: Sequence[WorldChange]) -> str:
        assert isinstance(self._plant, Disturbable)
        try:
            self._plant.disturb(changes)
        except ValueError as error:
            return str(error)
        return ''


def _host(
    scenario: Scenario, plant: Plant, process_faults: bool,
) -> Host:
    """Return what the simulated plant of a scenario lets be perturbed."""
    realtime = scenario.clock is ClockMode.REALTIME
    lacks: dict[Any, str] = {}
    if not isinstance(plant, Disturbable):
        lacks[ChangesWorld] = f'the plant {scenario.plant.kind} has no physics to change'
    if not realtime:
        waits = f'in {scenario.clock} the world waits for its processes and their commands'
        lacks |= {ChangesProcesses: waits, ChangesEndpoints: waits}
    elif not process_faults:
        lacks[ChangesProcesses] = 'nobody here starts and ends processes: use wm-eval run'
    elif scenario.composed:
        lacks[ChangesProcesses] = 'planner and supervisor are one process (composed)'
    return Host(channels(scenario), lacks)


def channels(scenario: Scenario) -> tuple[Channel, ...]:
    """Return the topics of a simulated plant that can be perturbed."""
    in_step = '' if scenario.clock is ClockMode.REALTIME else (
        f'in {scenario.clock} the planner waits for every observation: none can be lost, late, '
        'misdated or cut short')
    interface = scenario.interface
    command = interface.command
    found = [Channel(s.topic, Role.OBSERVATION, observation_units(raw_fields(s)), in_step,
                     lists=any('[' in field for field in s.fields))
             for s in interface.observations]
    found.append(Channel(command.topic, Role.COMMAND, command_units(command),
                         lists=any('[' in field for field in command.fields)))
    if scenario.plant.camera_hz > 0:
        found.append(Channel(topics.camera(scenario.plant.camera_encoding), Role.CAMERA,
                             in_step=in_step))
    return tuple(found)
