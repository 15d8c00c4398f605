"""
The schema: every fact that travels between rooms, as frozen dataclasses.

Clocks are named on each field: *steady* is ``CLOCK_MONOTONIC``, *system* is wall time, *ROS* is
the clock of the message stamps (system time in ``realtime`` and on hardware, simulated time in
``lockstep`` and ``free``). Times are integer nanoseconds; stamps and steady times are never
subtracted from each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: a steady or system time that did not come to pass
NEVER_NS = -1
#: the middleware gave no publication sequence number
NO_SEQUENCE = 2**64 - 1


class NameEnum(str, Enum):
    """Enumeration whose members print and serialise as their value."""

    __str__ = str.__str__


class ClockMode(NameEnum):
    """How the world's time runs against the planner's; part of every result's identity."""

    #: the world runs at wall speed and does not wait
    REALTIME = 'realtime'
    #: the world waits for the command, then advances by the planner's charged latency
    LOCKSTEP = 'lockstep'
    #: as lockstep with a charge of zero: as fast as possible, for collecting data
    FREE = 'free'


class CycleStatus(IntEnum):
    """What became of one slot of the planner's schedule."""

    #: a command was published within the deadline
    OK = 0
    #: a command was published after the deadline
    LATE = 1
    #: the planner was still busy with an earlier slot
    SKIPPED = 2
    #: an input never came, or none since the episode's start
    NO_INPUT = 3
    #: an input was older than allowed
    STALE_INPUT = 4
    #: the planner's command was not finite or not of the right shape
    INVALID_OUTPUT = 5
    #: the planner raised
    EXCEPTION = 6
    #: a call before the first episode that warms caches up; no slot of the schedule
    WARMUP = 7


class Mode(IntEnum):
    """Who commands."""

    PLANNER = 0
    FALLBACK = 1
    SHADOW = 2
    HOLD = 3


class EventKind(IntEnum):
    """Something that happened to an episode."""

    START = 0
    SUCCESS = 1
    FAILURE = 2
    TIMEOUT = 3
    ABORT = 4
    PERTURB_ON = 5
    PERTURB_OFF = 6
    FALLBACK_ON = 7
    FALLBACK_OFF = 8
    INTERVENTION_ON = 9
    INTERVENTION_OFF = 10
    RECOVERED = 11
    DEGRADED_ON = 12
    DEGRADED_OFF = 13
    STOPPED_ON = 14
    STOPPED_OFF = 15
    COMMAND_REFUSED = 16
    RECORDER_FAILED = 17
    CALIBRATION_LOST = 18
    PERTURB_SKIPPED = 19


#: events that end an episode
TERMINAL = frozenset({EventKind.SUCCESS, EventKind.FAILURE, EventKind.TIMEOUT, EventKind.ABORT})
#: events from which on somebody else than the planner drives, and until when
TAKEN_OVER = {EventKind.FALLBACK_ON: EventKind.FALLBACK_OFF,
              EventKind.STOPPED_ON: EventKind.STOPPED_OFF,
              EventKind.INTERVENTION_ON: EventKind.INTERVENTION_OFF}
#: label of a START whose initial state already meets the success predicate
SOLVED_AT_START = 'solved'
#: begin of the label of a hand-over that an alarm of surprise made
ALARM = 'surprise'


@dataclass(frozen=True, slots=True)
class InputRef:
    """One input sample a decision was based on."""

    topic: str
    #: header stamp: acquisition [ns, ROS]
    stamp_ns: int
    #: source timestamp of the middleware [ns, system], NEVER_NS where it gives none
    source_ns: int = NEVER_NS
    #: receive timestamp of the middleware [ns, system], NEVER_NS where it gives none
    received_ns: int = NEVER_NS
    #: arrival in the callback [ns, steady]
    steady_ns: int = NEVER_NS
    #: publication sequence number, NO_SEQUENCE where the middleware gives none
    sequence: int = NO_SEQUENCE


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """One slot of the planner's schedule, also when nothing was sent: the audit record."""

    #: start of the slot [ns, ROS]
    stamp_ns: int
    slot: int
    episode: int
    status: CycleStatus
    #: [ns, steady]; NEVER_NS where it did not come to pass
    due_ns: int
    start_ns: int
    infer_start_ns: int
    infer_end_ns: int
    publish_ns: int
    #: [ns, system]; NEVER_NS where nothing was sent
    publish_system_ns: int
    period_ns: int
    deadline_ns: int
    mode: Mode = Mode.PLANNER
    reason: str = ''
    inputs: tuple[InputRef, ...] = ()
    command_topic: str = ''
    #: stamp of the command, its own publish time [ns, ROS]; None where none was sent
    command_stamp_ns: int | None = None
    #: CPU time of the process spent on this decision [ns]
    cpu_ns: int = 0
    #: largest resident memory of the process so far [bytes], NEVER_NS where unknown
    peak_memory_bytes: int = NEVER_NS
    #: what the host's energy counters advanced meanwhile [uJ], NEVER_NS where it has none
    energy_uj: int = NEVER_NS
    horizon: int = 0
    samples: int = 0
    iterations: int = 0
    #: candidates whose rollout was not finite
    nonfinite: int = 0
    #: objective of the plan, lower is better; NaN where there is none
    cost: float = float('nan')
    #: the command in its own units, shape (A,); empty where none was sent
    action: tuple[float, ...] = ()
    #: the detectors' joint score; NaN where there is none
    surprise: float = float('nan')
    #: above it the score is an alarm; NaN where there is none
    surprise_threshold: float = float('nan')
    #: raw score streams, shape (S,), named by RunInfo.detector['streams']; NaN where a stream has
    #: no score in this slot; empty where no detector ran
    scores: tuple[float, ...] = ()
    #: features of the inputs used, in physical units, shape (F,), named by
    #: RunInfo.observation_names; empty where an input was missing
    observation: tuple[float, ...] = ()
    #: goal used, in physical units, shape (G,); empty where there is none
    goal: tuple[float, ...] = ()
    #: command in force up to this slot, as the planner knew when it decided, in its own units,
    #: shape (A,); empty: none in this episode yet, or no inputs were taken
    executed: tuple[float, ...] = ()
    #: encoded state of this slot, shape (D,), float32; None where not recorded
    latent: NDArray[np.float32] | None = None
    #: imagined latents of the chosen plan, shape (H, D), float32; row h predicts slot + 1 + h
    rollout: NDArray[np.float32] | None = None
    #: predicted standard deviation of each entry of rollout, (H, D), float32; None where the
    #: model gives none
    rollout_std: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class EpisodeEvent:
    """Something that happened to an episode."""

    #: when it happened [ns, ROS]
    stamp_ns: int
    episode: int
    kind: EventKind
    #: START: SOLVED_AT_START or empty; PERTURB_*: the perturbation's name; others: the reason
    label: str = ''
    #: START: seed; terminal: task time since START [s]; PERTURB_*: severity
    value: float = 0.0
    source: str = ''


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A payload message passed by: enough to tell a superseded sample from a lost one."""

    topic: str
    #: header stamp [ns, ROS]; None for types without a header
    stamp_ns: int | None
    #: arrival at the recorder or monitor [ns, system]
    log_ns: int
    #: publication sequence number, NO_SEQUENCE where unknown
    sequence: int = NO_SEQUENCE


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run's manifest, in every bag on the latched topic ``run_info`` as JSON."""

    #: version of this record's layout
    schema_version: int
    #: the run's own name; unique, and no part of a result's identity
    run_id: str
    scenario: str
    task: str
    clock: ClockMode
    seed: int
    episodes: int
    planner: str
    period_ns: int
    deadline_ns: int
    #: allowed task time of one episode [s]
    time_limit_s: float
    package_version: str
    git_commit: str = ''
    #: name, version, sha256, family; latent_names, latent_mean, latent_scale (D,);
    #: flops_per_step: floating-point operations of one step of one candidate;
    #: transitions: environment steps it was trained on, trained_at_ns [ns, system] and
    #: train_cpu_s, where it says so; empty: no model
    model: dict[str, Any] = field(default_factory=dict)
    #: streams (names of CycleRecord.scores), and of the calibration in use: sha256, model_sha256,
    #: task, n, alpha; empty: no detector
    detector: dict[str, Any] = field(default_factory=dict)
    #: names of the features in CycleRecord.observation, `topic.field[:cos|:sin]`
    observation_names: tuple[str, ...] = ()
    #: all effective settings of the scenario, by section
    settings: dict[str, Any] = field(default_factory=dict)
    #: host, kernel, cpu, python, rmw, device, torch threads, load average at start
    host: dict[str, Any] = field(default_factory=dict)


#: the current RunInfo.schema_version; a newer one is refused
RUN_INFO_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """What the recorder has safely on disk; one entry a topic in every tuple."""

    stamp_ns: int
    #: nothing more is written
    failed: bool
    reason: str
    topics: tuple[str, ...]
    received: tuple[int, ...]
    written: tuple[int, ...]
    durable: tuple[int, ...]
    dropped: tuple[int, ...]
    #: publication sequence number of the last durable message, NO_SEQUENCE where there is none
    durable_sequence: tuple[int, ...]
    queued_bytes: int = 0
    free_bytes: int = 0


class LinkKind(IntEnum):
    """What happened to a message, seen from the test host."""

    SENT = 0
    RECEIVED = 1
    #: a command acts at the actuator
    ACTUATED = 2
    #: zero acts, since no command came
    WATCHDOG = 3


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """
    A message between a test host and a device under test, as the host sees it.

    Of one that is sent, ``steady_ns`` and ``source_ns`` are the host's, read just before; of one
    that is received, ``source_ns`` is the device's. Of one that acts, ``received_ns`` and
    ``source_ns`` are the micro-controller's when it came and when it began to act, and
    ``steady_ns`` the latter as the host told it then.
    """

    kind: LinkKind
    ref: InputRef
    #: of one that acts: ``steady_ns`` is no further off than this [ns]
    uncertainty_ns: int = 0


@dataclass(frozen=True, slots=True)
class ClockExchange:
    """
    Four stamps of a question and its answer, by the system clocks of host and device.

    With FIRMWARE by the steady clock of the host and the micro-controller's own, less what the
    bytes take on the line: the question cannot have come before, nor the answer set out after.
    """

    #: node that answered, or FIRMWARE
    server: str
    #: [ns, system of the host]
    client_send_ns: int
    #: [ns, system of the device]
    server_receive_ns: int
    server_send_ns: int
    #: [ns, system of the host]
    client_receive_ns: int


#: who answers over a serial line
FIRMWARE = 'firmware'


Record = (CycleRecord | EpisodeEvent | SampleRecord | RunInfo | RecorderStatus | LinkEvent
          | ClockExchange)


class Interval(NamedTuple):
    """Closed interval at a stated confidence."""

    low: float
    high: float
    confidence: float = 0.95
    method: str = ''


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One figure. No evidence is ``None`` with a reason, never zero and never a sentinel."""

    name: str
    value: float | None
    unit: str
    #: number of independent observations behind the value
    n: int
    interval: Interval | None = None
    #: why there is no value, or no interval
    why: str = ''


class Verdict(NameEnum):
    """What a gate says."""

    PASS = 'pass'
    FAIL = 'fail'
    INCONCLUSIVE = 'inconclusive'
    #: the evidence itself is broken: not a failure of the thing under test
    ERROR = 'error'


@dataclass(frozen=True, slots=True)
class JointSample:
    """State of named joints at one instant."""

    names: tuple[str, ...]
    #: [rad] or [m], shape (J,)
    position: NDArray[np.float64]
    #: [rad/s] or [m/s], shape (J,)
    velocity: NDArray[np.float64]
    #: [N m] or [N], shape (J,); empty where unknown
    effort: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True)
class PoseSample:
    """Pose of a frame in the world at one instant."""

    #: [m], shape (3,)
    position: NDArray[np.float64]
    #: x y z w, shape (4,)
    orientation: NDArray[np.float64]
    frame: str = 'world'


@dataclass(frozen=True, slots=True)
class ImageSample:
    """A camera image at one instant."""

    #: RGB, shape (height, width, 3), uint8
    pixels: NDArray[np.uint8]
    frame: str = 'camera'


Sample = JointSample | PoseSample | ImageSample
