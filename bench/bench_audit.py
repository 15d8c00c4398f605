"""Cost of the hash chain to the recorder, a message, and of verifying a bag."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from _machine import machine, machine_line
from _spread import ratio
import numpy as np

from wm_eval_ros.audit.seal import AuditSeal, SIDECAR
from wm_eval_ros.audit.verify import Outcome, verify
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.writer import BagWriter

SIZES = (200, 4_000, 900_000)
#: bytes written in one block of each size, about
BLOCK_BYTES = 30_000_000
MOST_MESSAGES = 20_000
#: the recorder's checkpoints are a second apart; here as many messages
EVERY = 1_000
NS_PER_US = 1_000


def write(folder: Path, payload: bytes, count: int, seal: AuditSeal | None) -> float:
    """Write messages; return CPU time a message [us], without what waits for the disk."""
    begun = time.process_time_ns()
    with BagWriter(folder, seal=seal) as writer:
        writer.add_topic('/data', 'std_msgs/msg/Empty')
        for number in range(1, count + 1):
            writer.write('/data', payload, 1_700_000_000_000_000_000 + number * 1_000_000,
                         None, number)
            if number % EVERY == 0:
                writer.sync()
    return (time.process_time_ns() - begun) / count / NS_PER_US


def seals(key: Path | None) -> dict[str, Callable[[Path], AuditSeal | None]]:
    """Return what makes the seal of a bag, by name."""
    found: dict[str, Callable[[Path], AuditSeal | None]] = {
        'plain': lambda folder: None, 'chained': lambda folder: AuditSeal(folder / SIDECAR)}
    if key is not None:
        from wm_eval_ros.audit.keys import load_signing_key
        signer = load_signing_key(key)
        found['signed'] = lambda folder: AuditSeal(folder / SIDECAR, signer)
    return found


def measure(size: int, blocks: int, key: Path | None) -> dict[str, Any]:
    """Write bags with and without a seal in turn, and read and verify the sealed one."""
    payload = os.urandom(size)
    count = max(10, min(MOST_MESSAGES, BLOCK_BYTES // size))
    makers = seals(key)
    times: dict[str, list[list[float]]] = {name: [] for name in (*makers, 'read', 'verify')}
    for block in range(blocks):
        for name, make in makers.items():
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / 'bag'
                print(f'{size} bytes, block {block + 1} of {blocks}: {name}', file=sys.stderr)
                times[name].append([write(folder, payload, count, make(folder))])
                if name != 'chained':
                    continue
                begun = time.process_time_ns()
                with open_bag(folder) as bag:
                    assert sum(len(columns) for columns in bag.columns()) == count
                between = time.process_time_ns()
                assert verify(folder).outcome is Outcome.INTACT
                done = time.process_time_ns()
                times['read'].append([(between - begun) / count / NS_PER_US])
                times['verify'].append([(done - between) / count / NS_PER_US])
    medians = {name: float(np.median(values)) for name, values in times.items()}
    extra = [a[0] - b[0] for a, b in zip(times['chained'], times['plain'], strict=True)]
    return {'bytes': size, 'messages': count, 'us': medians,
            'chain_us': {'median': float(np.median(extra)), 'low': min(extra), 'high': max(extra)},
            'chained_to_plain': ratio(times['chained'], times['plain']),
            'verify_to_read': ratio(times['verify'], times['read'])}


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    print(machine_line(found['machine'], found['load_end']))
    for row in found['sizes']:
        extra, us = row['chain_us'], row['us']
        told = ', '.join(f'{name} {value:.1f}' for name, value in us.items())
        print(f'{row["bytes"]:>7} bytes x {row["messages"]}: CPU time a message [us]: {told}')
        print(f'        the chain costs {extra["median"]:.1f} us '
              f'[{extra["low"]:.1f}, {extra["high"]:.1f}] a message; chained / plain '
              f'{np.median(row["chained_to_plain"]["blocks"]):.2f}, verify / read '
              f'{np.median(row["verify_to_read"]["blocks"]):.1f}')


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--blocks', type=int, default=7, help='times each is measured')
    parser.add_argument('--key', type=Path, help='Ed25519 private key: also measures signing')
    parser.add_argument('--quick', action='store_true', help='two blocks')
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    facts = machine()
    rows = [measure(size, 2 if args.quick else args.blocks, args.key) for size in SIZES]
    found = {'machine': facts, 'load_end': os.getloadavg()[0], 'sizes': rows}
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    return 0


if __name__ == '__main__':
    sys.exit(main())
