"""
How a process that may die at any moment talks to the others: without memory shared with them.

Fast DDS guards the queue of a shared-memory port by a lock that lies in that memory. One that is
frozen or killed while it holds one stops whoever writes to or reads from that port, until Fast
DDS takes the port for dead: after 1 s, in the supervisor or the driver as well. Over UDP nobody
waits for the planner.
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
    reach = 'LOCALHOST' if environ.get(LOCALHOST_ONLY) == '1' else environ.get(RANGE, '')
    if reach == 'LOCALHOST':
        profile = settings / LOOPBACK
        if not profile.is_file():
            sys.stderr.write(f'{profile}: is missing, so the planner shares memory with the other '
                             'processes; reinstall wm_eval_ros\n')
            return {}
        # for this range rmw_fastrtps sets the transports itself, shared memory among them
        return {LOCALHOST_ONLY: '0', RANGE: 'SYSTEM_DEFAULT',
                **{name: str(profile) for name in PROFILES}}
    return {} if reach == 'OFF' else {TRANSPORTS: 'UDPv4'}
