"""The node processes of a run: started with a log each, watched, ended in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
import json
import os
from pathlib import Path
import random
import resource
import signal
import socket
import subprocess
import sys
from typing import Any, IO

from wm_eval_ros.errors import (
    ConfigError,
    EXIT_BAD_INPUT,
    EXIT_IO,
    RecordingError,
    RunError,
    WmEvalError,
)
from wm_eval_ros.nodes.policy import enclave
from wm_eval_ros.nodes.security import enabled

#: a node that does not end this long after SIGINT is told to write its stacks and abort [s]
END_S = 20.0
#: and one that does not do so for this long is killed [s]
ABORT_S = 5.0
#: DDS: the ports of a domain; the first participant's, and the last, which no participant takes:
#: it marks a domain whose nodes are still starting
_PORT_BASE, _PORT_GAIN, _FIRST_OFFSET, _MARK_OFFSET = 7400, 250, 10, 249
#: domains whose ports lie below the ephemeral ones of Linux
_DOMAINS = range(1, 101)


#: what a node's exit code says of the run
_KINDS: dict[int | None, type[WmEvalError]] = {
    EXIT_BAD_INPUT: ConfigError, EXIT_IO: RecordingError}


class NodeProcess:
    """One node."""

    #: what its work takes to end beyond END_S [s]
    more_s = 0.0
    #: size of its files before anybody limited it, soft and hard [bytes]; None: nobody did
    _found_limits: tuple[int, int] | None = None

    def __init__(
        self, name: str, parameters: Mapping[str, Any], log: Path, environment: Mapping[str, str],
        *, follow: bool = False,
    ) -> None:
        """
        Start the node.

        :param parameters: its ROS parameters
        :param log: file of its output
        :param follow: keep standard output for `output`
        """
        self.name = name
        self.log = log
        #: what killed it on purpose; empty: nothing
        self.killed_by = ''
        words = [sys.executable, '-m', f'wm_eval_ros.nodes.{name}', '--ros-args']
        if enabled(environment):
            words += ['--enclave', enclave(name)]
        for key, value in parameters.items():
            words += ['-p', f'{key}:={json.dumps(value)}']
        with log.open('wb') as sink:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if follow else sink,
                stderr=sink, env=dict(environment), start_new_session=True)

    @property
    def code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    @property
    def finished(self) -> bool:
        """Say whether it did its work; SIGALRM ends one whose middleware hung after that."""
        return self.code in (0, -signal.SIGALRM)

    @property
    def output(self) -> IO[bytes]:
        """Its standard output; only of a node that is followed."""
        assert self._process.stdout is not None
        return self._process.stdout

    def interrupt(self) -> None:
        """Ask it to end."""
        if self.code is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self, why: str = '') -> None:
        """End it at once, by SIGKILL; where this ends the run, `why` is told."""
        self.killed_by = why
        self._process.kill()
        self._ended(ABORT_S)

    def suspend(self, on: bool) -> None:
        """Stop it where it is, or let it go on."""
        if self.code is None:
            self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def limit_files(self, most: int | None = None) -> None:
        """
        Let no file that it writes grow beyond a size: the kernel refuses the write.

        :param most: [bytes], where the limits it was started with allow as much; None: those again
        """
        if self.code is not None:
            return
        found = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        self._found_limits = soft, hard = self._found_limits or found
        if most is not None:
            # no limit is a negative number
            soft = most if soft == resource.RLIM_INFINITY else min(most, soft)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def wait(self) -> int | None:
        """
        Wait until it has ended; one that does not is ended, and its log says where it hung.

        :returns: exit code; None: not even SIGKILL ended it, since the kernel waits for its disk
        """
        for patience_s, last_resort in (
                (END_S + self.more_s, signal.SIGABRT), (ABORT_S, signal.SIGKILL)):
            code = self._ended(patience_s)
            if code is not None:
                return code
            self._process.send_signal(last_resort)
        return self._ended(ABORT_S)

    def _ended(self, within_s: float) -> int | None:
        try:
            return self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            return None

    def last_word(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(encoding='utf-8', errors='replace').strip().splitlines()
        return lines[-1] if lines else 'its log is empty'


def end(processes: Sequence[NodeProcess]) -> None:
    """End nodes together."""
    for process in processes:
        process.interrupt()
    for process in processes:
        process.wait()


def watch(plant: NodeProcess, processes: Collection[NodeProcess],
          tell: Callable[[dict[str, Any]], None],
          planned: Callable[[NodeProcess], bool] = lambda process: False) -> None:
    """
    Follow the plant until it says that it is done.

    :param processes: every node, the plant too; may change meanwhile
    :param tell: called with every line the plant prints
    :param planned: says whose death is part of the run
    :raises RunError: a node died first; the message holds its last words
    """
    import selectors
    stream = plant.output
    selector = selectors.DefaultSelector()
    selector.register(stream, selectors.EVENT_READ)
    os.set_blocking(stream.fileno(), False)
    pending = b''
    while True:
        if selector.select(timeout=0.2):
            chunk = stream.read() or b''
            pending += chunk
            *lines, pending = pending.split(b'\n')
            for line in lines:
                said = _parse(line)
                tell(said)
                if 'done' in said:
                    return
        for process in tuple(processes):
            if process.code is not None and not planned(process):
                raise failure(process)


def failure(process: NodeProcess) -> WmEvalError:
    """Return the error of a node that ended by itself, or not at all, with its exit code."""
    if process.code is None:
        return RecordingError(f'{process.name} node did not end, not even by SIGKILL: its disk '
                              f'does not answer (log: {process.log})')
    kind = _KINDS.get(process.code, RunError)
    if process.killed_by:
        return RecordingError(f'{process.name} node was killed by {process.killed_by} (log: '
                              f'{process.log})')
    if process.code in (-signal.SIGABRT, -signal.SIGKILL):
        return kind(f'{process.name} node was killed by signal {-process.code}: it did not end '
                    f'within {END_S + process.more_s:g} s, or somebody else killed it (log, with '
                    f'its stacks in the first case: {process.log})')
    return kind(f'{process.name} node ended with code {process.code}: {process.last_word()} '
                f'(log: {process.log})')


@contextmanager
def robot_domain(wanted: int | None) -> Iterator[int]:
    """Return the domain a robot is in: the wanted one, or the one of the environment."""
    text = os.environ.get('ROS_DOMAIN_ID', '') or '0'
    if wanted is None and not text.isdigit():
        raise ConfigError(f'ROS_DOMAIN_ID={text}: a DDS domain is 0 to 232')
    yield int(text) if wanted is None else wanted


@contextmanager
def reserved_domain(wanted: int | None) -> Iterator[int]:
    """
    Keep a DDS domain nobody on this host uses, for a run.

    :param wanted: a domain to use, None: any free one
    :raises ConfigError: the wanted domain is in use
    """
    candidates = [wanted] if wanted is not None else random.SystemRandom().sample(
        list(_DOMAINS), k=len(_DOMAINS))
    for domain in candidates:
        if domain_in_use(domain):
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
            if _bind(mark, _port(domain, _MARK_OFFSET)):
                yield domain
                return
    if wanted is None:
        raise ConfigError('every DDS domain from 1 to 100 is in use on this host')
    raise ConfigError(f'domain {wanted} is in use on this host; another run would be mixed in: '
                      'leave --domain out, or name a free one')


def domain_in_use(domain: int) -> bool:
    """Say whether a DDS participant of this host holds the first port of a domain."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return not _bind(probe, _port(domain, _FIRST_OFFSET))


def _port(domain: int, offset: int) -> int:
    return _PORT_BASE + _PORT_GAIN * domain + offset


def _bind(probe: socket.socket, port: int) -> bool:
    """Take a port; one beyond the range is nobody's."""
    try:
        if port <= 65535:
            probe.bind(('', port))
    except OSError:
        return False
    return True


def node_environment(domain: int, *, robot: bool = False) -> dict[str, str]:
    """
    Return the environment of a run's nodes: few threads, and without a robot this host only.

    :param robot: the plant is a robot, perhaps on another host
    """
    environment = dict(os.environ)
    environment['ROS_DOMAIN_ID'] = str(domain)
    if not robot:
        environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment.setdefault('OMP_NUM_THREADS', '1')
    environment['PYTHONUNBUFFERED'] = '1'
    return environment


def _parse(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
