"""The header stamp of a serialized message, without decoding it."""

from __future__ import annotations

from struct import pack_into, Struct

#: seconds and nanoseconds, after the encapsulation of 4 bytes
_LITTLE, _BIG = Struct('<iI').unpack_from, Struct('>iI').unpack_from
_END = 12


def header_stamp_ns(data: bytes) -> int | None:
    """
    Return the stamp of a message whose type begins with a ``std_msgs/Header``.

    :param data: CDR with its encapsulation header
    :returns: [ns, ROS]; None where the message is too short to hold one
    """
    if len(data) < _END:
        return None
    sec, nanosec = _LITTLE(data, 4) if data[1] & 1 else _BIG(data, 4)
    stamp_ns: int = sec * 1_000_000_000 + nanosec
    return stamp_ns


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """
    Return a message whose type begins with a header under another stamp; all else stays.

    :param data: CDR with its encapsulation header, long enough to hold a stamp
    :param stamp_ns: [ns, ROS]
    """
    changed = bytearray(data)
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    pack_into('<iI' if data[1] & 1 else '>iI', changed, 4, sec, nanosec)
    return bytes(changed)
