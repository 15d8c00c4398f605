"""
What of the middleware is set by the environment, before a node is made.

A process that may die at any moment shares no memory with the others. Fast DDS guards the queue of
a shared-memory port by a lock that lies in that memory. One that is frozen or killed while it
holds one stops whoever writes to or reads from that port, until Fast DDS takes the port for dead:
after 1 s, in the supervisor or the driver as well. Over UDP nobody waits for the planner.

Beyond this host messages are lost. A reliable writer that has nothing more to say notices by its
next heartbeat, which Fast DDS sends every 3 s: a START or a goal would come that late. And a raw
image is larger than the buffer a socket has by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import sys

RANGE, TRANSPORTS = 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'FASTDDS_BUILTIN_TRANSPORTS'
PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
#: deprecated, but rcl honours it still, and then ignores the range
LOCALHOST_ONLY = 'ROS_LOCALHOST_ONLY'
#: peers that are named, not found
_PEERS = 'ROS_STATIC_PEERS'
#: the profile of a process on this host only, below the folder of the settings
LOOPBACK = Path('middleware', 'loopback.xml')
#: that of a process whose messages may be lost on their way
NETWORK = Path('middleware', 'network.xml')


def without_shared_memory(
    environ: Mapping[str, str], middleware: str, settings: Path
) -> dict[str, str]:
    """
    Return the variables that keep a process's middleware from shared memory.

    Whoever has chosen transports or profiles, named peers, or uses another middleware, keeps that.
    On this host only it takes the shipped profile: where that is missing everything stays as it
    is, and stderr says so.

    :param middleware: identifier of the implementation
    :param settings: folder of the shipped settings
    """
    chosen = any(environ.get(name) for name in (TRANSPORTS, *PROFILES, _PEERS))
    if chosen or 'fastrtps' not in middleware:
        return {}
    reach = _reach(environ)
    if reach == 'LOCALHOST':
        profile = _profile(settings / LOOPBACK,
                           'the planner shares memory with the other processes')
        # for this range rmw_fastrtps sets the transports itself, shared memory among them
        return profile and {LOCALHOST_ONLY: '0', RANGE: 'SYSTEM_DEFAULT', **profile}
    return {} if reach == 'OFF' else {TRANSPORTS: 'UDPv4'}


def beyond_this_host(
    environ: Mapping[str, str], middleware: str, settings: Path
) -> dict[str, str]:
    """
    Return the variables that make a process's middleware fit for a network beyond this host.

    Whoever has chosen a profile, or uses another middleware, keeps that; so does who stays on this
    host.

    :param middleware: identifier of the implementation
    :param settings: folder of the shipped settings
    """
    chosen = any(environ.get(name) for name in PROFILES)
    if chosen or 'fastrtps' not in middleware or _reach(environ) in ('LOCALHOST', 'OFF'):
        return {}
    return _profile(settings / NETWORK, 'what is lost on the network comes up to 3 s late')


def _reach(environ: Mapping[str, str]) -> str:
    return 'LOCALHOST' if environ.get(LOCALHOST_ONLY) == '1' else environ.get(RANGE, '')


def _profile(path: Path, otherwise: str) -> dict[str, str]:
    """Return the variables that name a profile; empty: it is missing, and stderr says so."""
    if not path.is_file():
        sys.stderr.write(f'{path}: is missing, so {otherwise}; reinstall wm_eval_ros\n')
        return {}
    return {name: str(path) for name in PROFILES}
