"""
The hash chain over the messages of a bag, in the order of its file.

Of each message a *leaf* is made, of its topic with type and definition, its times, its sequence
number and its CDR bytes; of the leaves a chain::

    topic  = sha256('wm_eval_ros audit 1 topic' || for topic, type, definition: length, text)
    leaf   = sha256(0x01 || topic || log_ns || publish_ns || sequence || length || data)
    head_0 = sha256('wm_eval_ros audit 1 begin' || salt)
    head_i = sha256(0x02 || head_(i-1) || leaf_i)

Everything of a variable length has its length before it, so that no two sequences of messages
give one stream of bytes. Leaves and heads begin with different bytes: none passes for the other.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from struct import Struct

_TOPIC = b'wm_eval_ros audit 1 topic'
_BEGIN = b'wm_eval_ros audit 1 begin'
#: log and publish time [ns], sequence modulo 2**32, bytes of the payload
_FIELDS = Struct('<qqIQ')
_LENGTH = Struct('<Q')
#: of each leaf so much is kept, to say which one is wrong; that one is, the head says [bytes]
LINK_BYTES = 8


def topic_digest(topic: str, type_name: str, text: str) -> bytes:
    """
    Return what stands for a topic in a leaf: another type or definition is another topic.

    :param text: definition of the type as the bag embeds it, empty: none
    """
    parts = [part.encode() for part in (topic, type_name, text)]
    return sha256(_TOPIC + b''.join(_LENGTH.pack(len(part)) + part for part in parts)).digest()


def leaf(topic: bytes, log_ns: int, publish_ns: int, sequence: int, data: bytes) -> bytes:
    """
    Return the digest of one message.

    :param topic: see :func:`topic_digest`
    :param log_ns: arrival at the recorder [ns, system]
    :param publish_ns: publication [ns, system]
    :param sequence: as the file has it, 0 <= sequence < 2**32
    """
    return sha256(b'\1' + topic + _FIELDS.pack(log_ns, publish_ns, sequence, len(data))
                  + data).digest()


class Chain:
    """The chain as far as it goes."""

    __slots__ = ('counts', 'head', 'index')

    def __init__(self, salt: bytes) -> None:
        """
        Begin a chain.

        :param salt: drawn for each bag, so that no two bags share a head
        """
        self.head = sha256(_BEGIN + salt).digest()
        #: number of messages
        self.index = 0
        #: of them by topic
        self.counts: Counter[str] = Counter()

    def add(self, topic: str, digest: bytes) -> None:
        """Take the leaf of the next message of a topic in."""
        self.head = sha256(b'\2' + self.head + digest).digest()
        self.index += 1
        self.counts[topic] += 1
