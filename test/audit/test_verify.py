from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.audit.difference import Change
from wm_eval_ros.audit.seal import SIDECAR
from wm_eval_ros.audit.verify import Outcome, verify

#: tampered bags; the figure of the design is 10000
TAMPERS = int(os.environ.get('WM_EVAL_TAMPERS', '300'))


def test_a_bag_as_recorded_is_intact_to_the_final_seal(tools: Any, run_messages: Any) -> None:
    bag = tools.seal('bag', run_messages)
    found = verify(bag)
    assert found.outcome is Outcome.INTACT
    # 29 messages, a checkpoint after each 7, and the final one
    assert (found.messages, found.sealed, found.checkpoints) == (29, 29, 5)
    assert (found.bad, found.faults, found.notes, found.signer) == (None, (), (), '')


def test_a_bag_without_seals_is_not_sealed(tools: Any, run_messages: Any) -> None:
    content = tools.content(tools.seal('bag', run_messages))
    bare = tools.write('bare', replace(content, seals=()), None)
    assert verify(bare).outcome is Outcome.UNSEALED


@pytest.mark.parametrize(('what', 'index', 'change', 'was', 'now'), [
    ('payload', 9, Change.EDIT, 1, 1),
    ('log time', 9, Change.EDIT, 1, 1),
    ('sequence', 9, Change.EDIT, 1, 1),
    ('insert', 5, Change.INSERTION, 0, 1),
    ('append', 29, Change.INSERTION, 0, 1),
    ('delete', 5, Change.DELETION, 1, 0),
    ('swap', 4, Change.REORDER, 4, 4),
    ('truncate', 20, Change.TRUNCATION, 9, 0),
    ('splice', 10, Change.SPLICE, 3, 3),
])
def test_the_first_bad_record_is_named_with_what_was_done(
    tools: Any, run_messages: Any, what: str, index: int, change: Change, was: int, now: int,
) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    m = list(content.messages)
    if what == 'payload':
        m[9] = replace(m[9], data=m[9].data[:-1] + bytes([m[9].data[-1] ^ 1]))
    elif what == 'log time':
        m[9] = replace(m[9], log_ns=m[9].log_ns + 1)
    elif what == 'sequence':
        m[9] = replace(m[9], sequence=m[9].sequence + 1)
    elif what == 'insert':
        m.insert(5, replace(m[9], log_ns=m[5].log_ns))
    elif what == 'append':
        m.append(replace(m[9], log_ns=m[-1].log_ns + 1))
    elif what == 'delete':
        del m[5]
    elif what == 'swap':
        m[4], m[7] = m[7], m[4]
    elif what == 'truncate':
        del m[20:]
    else:
        m[10:13] = [replace(x, log_ns=x.log_ns + 3) for x in m[10:13]]
    found = verify(tools.write('bad', replace(content, messages=tuple(m)), bag / SIDECAR))
    assert found.outcome is Outcome.TAMPERED
    assert found.bad is not None
    assert (found.bad.index, found.bad.change) == (index, change)
    assert (found.bad.was, found.bad.now) == (was, now)
    place = found.bad.place
    if what == 'truncate':
        assert place is None
    else:
        assert place is not None
        assert (place.topic, place.log_ns) == (m[index].topic, m[index].log_ns)
        file = (tools.folder / 'bad' / place.file).read_bytes()
        # opcode, length, channel, sequence, two times, then the payload
        assert file[place.offset] == 5
        assert file[place.offset + 31:].startswith(m[index].data)


def test_another_definition_makes_every_record_of_its_topic_another(
    tools: Any, run_messages: Any,
) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    m = [replace(x, text=x.text + '\n#') if x.topic == '/planner_cycle' else x
         for x in content.messages]
    found = verify(tools.write('bad', replace(content, messages=tuple(m)), bag / SIDECAR))
    assert found.bad is not None
    # run info, START, then the first slot
    assert found.bad.index == 2


def test_a_planner_cycle_is_named_by_its_slot(tools: Any, run_messages: Any) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    m = list(content.messages)
    # run info, START, slots 0 to 11
    m[6] = replace(m[6], publish_ns=5)
    found = verify(tools.write('bad', replace(content, messages=tuple(m)), bag / SIDECAR))
    assert found.bad is not None
    assert found.bad.place is not None
    assert (found.bad.place.slot, found.bad.place.after_slot) == (4, 3)
    assert found.bad.between == (None, 0)


def test_a_message_that_is_gone_is_named_by_its_topic(tools: Any, run_messages: Any) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    m = list(content.messages)
    gone = m.pop(8)
    found = verify(tools.write('bad', replace(content, messages=tuple(m)), bag / SIDECAR))
    assert found.bad is not None
    assert found.bad.missing == ((gone.topic, 1),)
    assert found.bad.between == (0, 1)


def test_without_the_sidecar_the_bag_alone_shows_the_record(
    tools: Any, run_messages: Any,
) -> None:
    content = tools.content(tools.seal('bag', run_messages))
    m = list(content.messages)
    del m[5]
    found = verify(tools.write('bad', replace(content, messages=tuple(m)), None))
    assert found.outcome is Outcome.TAMPERED
    assert found.bad is not None
    assert found.bad.index == 5
    assert 'no sidecar' in found.notes[0]


def test_a_chain_made_anew_in_the_bag_contradicts_the_sidecar(
    tools: Any, run_messages: Any,
) -> None:
    bag = tools.seal('bag', run_messages)
    m = list(run_messages)
    m[9] = replace(m[9], data=m[9].data[:-1] + b'\7')
    forged = tools.content(tools.seal('forged', m))
    found = verify(tools.write('bad', forged, bag / SIDECAR))
    assert found.outcome is Outcome.TAMPERED
    assert 'another recording' in found.faults[0]


def test_both_made_anew_pass_unless_a_key_is_asked_for(
    tools: Any, run_messages: Any, keys: Path, signer: Any,
) -> None:
    from wm_eval_ros.audit.keys import load_public_key, load_signing_key
    pinned = load_public_key(keys / 'a.pub')
    m = [*run_messages[:9], *run_messages[10:]]
    assert verify(tools.seal('unsigned', m)).outcome is Outcome.INTACT
    assert verify(tools.folder / 'unsigned', pinned).outcome is Outcome.UNSIGNED
    own = verify(tools.seal('own', m, signer=load_signing_key(keys / 'b.pem')))
    assert own.outcome is Outcome.INTACT
    assert own.signer.startswith('ed25519:')
    assert not own.trusted
    found = verify(tools.folder / 'own', pinned)
    assert found.outcome is Outcome.TAMPERED
    assert 'not by the given key' in found.faults[0]
    assert verify(tools.seal('true', run_messages, signer=signer), pinned).trusted


def test_a_signed_checkpoint_that_was_touched_is_named(
    tools: Any, run_messages: Any, signer: Any,
) -> None:
    bag = tools.seal('bag', run_messages, signer=signer)
    content = tools.content(bag)
    seals = list(content.seals)
    seals[2] = (seals[2][0], {**seals[2][1], 'time_ns': '5'})
    found = verify(tools.write('bad', replace(content, seals=tuple(seals)), bag / SIDECAR))
    assert found.outcome is Outcome.TAMPERED
    assert 'checkpoint 2' in found.faults[0]
    assert 'signature does not hold' in found.faults[0]
    assert found.bad is None


def test_a_bag_without_its_end_holds_to_the_last_checkpoint(
    tools: Any, run_messages: Any,
) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    lines = (bag / SIDECAR).read_bytes().splitlines(keepends=True)
    # killed after the third checkpoint, while the fourth line was being written
    (bag / SIDECAR).write_bytes(b''.join(lines[:3]) + lines[3][:40])
    killed = tools.write('killed', replace(
        content, messages=content.messages[:24], seals=content.seals[:3]), bag / SIDECAR)
    found = verify(killed)
    assert found.outcome is Outcome.OPEN
    assert (found.messages, found.sealed, found.unsealed, found.checkpoints) == (24, 21, 3, 3)
    shorter = tools.write('cut', replace(
        content, messages=content.messages[:20], seals=content.seals[:2]), bag / SIDECAR)
    found = verify(shorter)
    assert found.outcome is Outcome.TAMPERED
    assert found.bad is not None
    assert (found.bad.change, found.bad.index) == (Change.TRUNCATION, 20)


def test_an_insertion_into_a_bag_without_its_end_is_told_as_one(
    tools: Any, run_messages: Any,
) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    m = list(content.messages[:21])
    m.insert(3, replace(m[9], log_ns=m[3].log_ns))
    lines = (bag / SIDECAR).read_bytes().splitlines(keepends=True)
    (bag / SIDECAR).write_bytes(b''.join(lines[:3]))
    found = verify(tools.write('bad', replace(
        content, messages=tuple(m), seals=content.seals[:3]), bag / SIDECAR))
    assert found.bad is not None
    assert (found.bad.change, found.bad.index) == (Change.INSERTION, 3)


def test_a_damaged_chunk_is_told_and_located(tools: Any, run_messages: Any) -> None:
    bag = tools.seal('bag', run_messages)
    file = next(bag.glob('*.mcap'))
    data = bytearray(file.read_bytes())
    at = data.index(run_messages[9].data) + 40
    data[at] ^= 1
    file.write_bytes(bytes(data))
    found = verify(bag)
    assert found.outcome is Outcome.TAMPERED
    assert found.bad is not None
    # the chunk of the second checkpoint, messages 7 to 13, cannot be believed
    assert (found.bad.index, found.bad.change) == (7, Change.DELETION)
    assert 'checksum is wrong' in found.damage


def tampered(m: list[Any], other: list[Any], rng: np.random.Generator) -> tuple[list[Any], int]:
    """Change a list of messages in one of many ways; return it and the first that differs."""
    n = len(m)
    i = int(rng.integers(0, n))
    kind = rng.choice(['data', 'log', 'publish', 'sequence', 'topic', 'definition', 'insert',
                       'copy', 'delete', 'swap', 'move', 'truncate', 'splice'])
    new = list(m)
    if kind == 'data':
        data = bytearray(m[i].data)
        data[int(rng.integers(4, len(data)))] ^= 1 << int(rng.integers(0, 8))
        new[i] = replace(m[i], data=bytes(data))
    elif kind in ('log', 'publish'):
        name = f'{kind}_ns'
        new[i] = replace(m[i], **{name: getattr(m[i], name) + int(rng.integers(1, 10**9))})
    elif kind == 'sequence':
        new[i] = replace(m[i], sequence=m[i].sequence + int(rng.integers(1, 1000)))
    elif kind == 'topic':
        new[i] = replace(m[i], topic=m[i].topic + '_')
    elif kind == 'definition':
        new = [replace(x, text=x.text + '#') if x.topic == m[i].topic else x for x in m]
    elif kind == 'insert':
        new.insert(i, other[int(rng.integers(0, len(other)))])
    elif kind == 'copy':
        new.insert(i, m[int(rng.integers(0, n))])
    elif kind == 'delete':
        del new[i:i + int(rng.integers(1, 4))]
    elif kind == 'swap':
        j = int(rng.integers(0, n))
        new[i], new[j] = m[j], m[i]
    elif kind == 'move':
        new.insert(int(rng.integers(0, n)), new.pop(i))
    elif kind == 'truncate':
        del new[max(i, 1):]
    else:
        size = int(rng.integers(2, 6))
        new[i:i + size] = other[i:i + size]
    first = next((k for k, (a, b) in enumerate(zip(m, new, strict=False)) if a != b),
                 min(n, len(new)))
    return new, first


def test_every_change_is_located_to_the_first_bad_record(
    tools: Any, run_messages: Any, signer: Any,
) -> None:
    """Somebody who knows the format changes a bag and makes every checksum and count right."""
    rng = np.random.default_rng(0)
    bag = tools.seal('bag', run_messages, signer=signer)
    content = tools.content(bag)
    other = [replace(m, log_ns=m.log_ns + 7, sequence=m.sequence + 100) for m in run_messages]
    located = changes = 0
    while changes < TAMPERS:
        new, first = tampered(list(content.messages), other, rng)
        if new == list(content.messages):
            continue
        changes += 1
        kept = tuple(s for s in content.seals if s[0] <= len(new)) if rng.random() < 0.5 else (
            content.seals)
        sidecar = bag / SIDECAR if rng.random() < 0.7 or len(kept) < len(content.seals) else None
        changed = replace(content, messages=tuple(new), seals=kept)
        found = verify(tools.write(f'bad{changes}', changed, sidecar))
        assert found.outcome is Outcome.TAMPERED
        located += found.bad is not None and found.bad.index == first
        for path in (tools.folder / f'bad{changes}').iterdir():
            path.unlink()
    assert located == TAMPERS


def test_bags_as_recorded_are_never_reported(tools: Any, run_messages: Any, signer: Any) -> None:
    rng = np.random.default_rng(1)
    for number in range(max(30, TAMPERS // 10)):
        every = int(rng.integers(1, 40))
        bag = tools.seal(f'clean{number}', run_messages[:int(rng.integers(1, 30))], every=every,
                         signer=signer if rng.random() < 0.5 else None)
        assert verify(bag).outcome is Outcome.INTACT
        for path in bag.iterdir():
            path.unlink()
