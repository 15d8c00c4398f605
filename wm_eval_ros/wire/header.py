"""The header stamp of a serialized message, without decoding it."""

from __future__ import annotations

from struct import Struct

#: encapsulation, seconds, nanoseconds: the first 12 bytes of a message that begins with a header
_LITTLE, _BIG = Struct('<xBxxiI'), Struct('>xBxxiI')


def header_stamp_ns(data: bytes) -> int | None:
    """
    Return the stamp of a message whose type begins with a ``std_msgs/Header``.

    :param data: CDR with its encapsulation header
    :returns: [ns, ROS]; None where the message is too short to hold one
    """
    if len(data) < _LITTLE.size:
        return None
    little, sec, nanosec = _LITTLE.unpack_from(data)
    if not little & 1:
        _, sec, nanosec = _BIG.unpack_from(data)
    return int(sec) * 1_000_000_000 + int(nanosec)
