"""Units of the fields of standard messages, by ROS REP 103 and the messages' own comments."""

from __future__ import annotations

import re

#: what a feature's name ends in -> its unit; the first that fits stands
_UNITS = tuple((re.compile(pattern), unit) for pattern, unit in (
    (r'\[[^\]\s]*\]\s*:(cos|sin)$|:(cos|sin)$', '1'),
    # a name that already says its unit
    (r'\s\[[^\]]+\]$', ''),
    (r'angular_velocity\.[xyz]$|angular\.[xyz]$', 'rad/s'),
    (r'linear_acceleration\.[xyz]$', 'm/s²'),
    (r'linear\.[xyz]$', 'm/s'),
    (r'(position|point|translation)\.[xyz]$', 'm'),
    (r'orientation\.[xyzw]$', '1'),
    (r'force\.[xyz]$', 'N'),
    (r'torque\.[xyz]$', 'N m'),
    (r'position\[[^\]]*\]$', 'rad or m'),
    (r'velocity\[[^\]]*\]$', 'rad/s or m/s'),
    (r'effort\[[^\]]*\]$', 'N m or N'),
))


def with_unit(name: str) -> str:
    """
    Return a feature's name with its unit, where the message type says it.

    >>> with_unit('pose.pose.position.x'), with_unit('joint_states.velocity[j]'), with_unit('z[0]')
    ('pose.pose.position.x [m]', 'joint_states.velocity[j] [rad/s or m/s]', 'z[0]')
    """
    unit = next((unit for pattern, unit in _UNITS if pattern.search(name)), '')
    return f'{name} [{unit}]' if unit else name
