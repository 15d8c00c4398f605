"""
What the recorder costs, and whether it keeps up.

    python bench/bench_recorder.py --seconds 20 --pairs 3
    python bench/bench_recorder.py --parts stream --seconds 600       # the contract's load

call    the call of the receiving thread, while the writing thread writes 1 kHz x 200 B and
        30 Hz x 0.9 MB and waits for the disk: in one process, without DDS
stream  the same load over DDS from another process into the node: published = written + dropped
loop    the control loop of Reacher at 50 Hz with and without a recorder, in turn
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any
from unittest import mock

import _graph
from _machine import machine, machine_line
from _spread import shown, spread
import yaml

from wm_eval_ros.bag.limits import Limits
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.recording import Recording
from wm_eval_ros.bag.tally import from_summary
from wm_eval_ros.cli import graph
from wm_eval_ros.cli.processes import node_environment, NodeProcess, reserved_domain
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.wire.topics import SENSOR_OFFER

STATE_HZ, IMAGE_HZ, STATE_BYTES, IMAGE_BYTES = 1000.0, 30.0, 200, 640 * 480 * 3
CALL_P99_US, CALL_MAX_MS, LOOP_RATIO = 150.0, 10.0, 1.10
#: the disk of a machine that measures may be smaller than that of one that must not fail
ANY_SPACE = {'recorder.min_free_gib': 0.0, 'recorder.min_free_share': 0.0}
PROFILE = Path(__file__).with_name('shared_memory.xml')
FIGURES = ('sense_to_act', 'decision_latency')


def call(seconds: float, folder: Path) -> dict[str, Any]:
    """Time every call of a recording that is fed at the contract's rates."""
    recording = Recording(folder, Limits(free_bytes=0, free_share=0.0), '/recorder_status')
    loads = {'/state': (STATE_HZ, bytes(STATE_BYTES)), '/image': (IMAGE_HZ, bytes(IMAGE_BYTES))}
    for topic in loads:
        recording.add_topic(topic, 'std_msgs/msg/Empty', SENSOR_OFFER)
    took: list[float] = []
    begun = time.monotonic()
    due = dict.fromkeys(loads, begun)
    number = 0
    while (now := time.monotonic()) - begun < seconds:
        for topic, (rate, data) in loads.items():
            if now >= due[topic]:
                stamp, number = time.time_ns(), number + 1
                before = time.perf_counter_ns()
                recording.put(topic, data, stamp, stamp, number)
                took.append((time.perf_counter_ns() - before) / 1e3)
                due[topic] += 1 / rate
        time.sleep(max(0.0, min(due.values()) - time.monotonic()))
    final = recording.close()
    return {'call_us': spread(took), 'dropped': sum(final.dropped),
            'uncounted': number - sum(final.written) - sum(final.dropped)}


def stream(seconds: float, folder: Path, *, profile: bool) -> dict[str, Any]:
    """Publish the load from a process of its own into the recorder's node."""
    chosen = _graph.scenario('reacher', 'noop', plant__camera_hz=IMAGE_HZ,
                             plant__camera_width=640, plant__camera_height=480,
                             plant__camera_encoding='raw', **{
                                 key.replace('.', '__'): v for key, v in ANY_SPACE.items()})
    folder.mkdir()
    file = folder / 'scenario.yaml'
    file.write_text(yaml.safe_dump(to_plain(chosen), sort_keys=False), encoding='utf-8')
    with reserved_domain(None) as domain:
        environment = node_environment(domain)
        if profile:
            environment |= {'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE),
                            'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)}
        recorder = NodeProcess(
            'recorder', {'scenario': str(file), 'bag': str(folder / 'bag')},
            folder / 'recorder.log', environment)
        words = [sys.executable, str(Path(__file__).with_name('_stream_source.py')), str(file),
                 str(seconds), str(STATE_HZ), str(IMAGE_HZ)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment) as source:
            assert source.stdin is not None
            assert source.stdout is not None
            sent = json.loads(source.stdout.readline())
            time.sleep(2.0)
            if recorder.code is not None:
                raise SystemExit(f'the recorder died: {recorder.last_word()}')
            used = process_use(recorder._process.pid)
            recorder._process.send_signal(signal.SIGINT)
            recorder.wait()
            source.stdin.write('\n')
            source.stdin.close()
    if recorder.code != 0:
        raise SystemExit(f'the recorder ended with {recorder.code}: {recorder.last_word()}')
    return {'sent': sent, 'recorder': used, 'profile': profile, **kept(folder / 'bag', sent)}


def kept(folder: Path, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Read the whole bag and hold it against what was sent."""
    with open_bag(folder) as bag:
        for _ in bag.columns():
            pass
        read = dict(bag.read)
        disorder = bag.disorder
        status = None if bag.metadata is None else from_summary(bag.metadata.custom)
        size = bag.size
    assert status is not None
    dropped = dict(zip(status.topics, status.dropped, strict=True))
    rows = {topic: {'sent': count, 'read': read.get(f'/{topic}', 0),
                    'dropped': dropped.get(f'/{topic}', 0)}
            for topic, count in sent['counts'].items()}
    return {'topics': rows, 'bytes': size, 'disorder_s': disorder.worst_ns / 1e9,
            'disorder_within_topics': disorder.within_topics,
            'uncounted': sum(r['sent'] - r['read'] - r['dropped'] for r in rows.values())}


def process_use(pid: int) -> dict[str, float]:
    """Return CPU time [s] and largest memory [MB] of a process so far."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    status = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith('VmHWM'))
    return {'cpu_s': (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'),
            'peak_mb': int(peak) / 1e3}


def loop_block(recorder: bool, episodes: int, folder: Path) -> dict[str, float]:
    """Run Reacher once and return the live figures of its loop."""
    chosen = _graph.scenario('reacher', 'noop', episodes=episodes, planner__period_ms=20.0,
                             planner__deadline_ms=20.0, planner__budget_ms=14.0, **{
                                 key.replace('.', '__'): v for key, v in ANY_SPACE.items()})
    made = graph.GraphRun(folder)
    nodes, listeners = (tuple(n for n in names if recorder or n != 'recorder')
                        for names in (graph.NODES, graph.LISTENERS))
    with mock.patch.multiple(graph, NODES=nodes, LISTENERS=listeners):
        made.execute(chosen, lambda said: None)
    card = json.loads(made.live.read_text(encoding='utf-8'))
    found = {v['name']: v['value'] for v in card['values']}
    return {f'{name}.{q}': found[f'{name}.{q}'] for name in FIGURES for q in ('p50', 'p99')}


def loop(pairs: int, episodes: int, folder: Path) -> dict[str, Any]:
    """Run pairs of blocks, the order turned from one pair to the next."""
    blocks: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for pair in range(pairs):
        for recorder in ((True, False) if pair % 2 else (False, True)):
            name = f'{pair}{"on" if recorder else "off"}'
            blocks[recorder].append(loop_block(recorder, episodes, folder / name))
        print(f'pair {pair + 1}/{pairs} done', file=sys.stderr)
    return {'on': blocks[True], 'off': blocks[False]}


def ratios(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return on over off of each pair, by figure."""
    return {name: [on[name] / off[name]
                   for on, off in zip(found['on'], found['off'], strict=True)]
            for name in found['on'][0]}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the result as lines."""
    lines = []
    if (found := result.get('call')) is not None:
        worst = found['call_us']['max'] / 1e3
        lines += [f'call: {shown(found["call_us"], "us")}, max {worst:.2f} ms (goal p99 <= '
                  f'{CALL_P99_US:g} us, max <= {CALL_MAX_MS:g} ms); dropped {found["dropped"]}, '
                  f'uncounted {found["uncounted"]}']
    for found in result.get('stream', ()):
        share = found['recorder']['cpu_s'] / found['sent']['seconds']
        lines.append(f'stream, {"shared memory" if found["profile"] else "stock"} transport: '
                     f'{found["sent"]["seconds"]:.0f} s, {found["bytes"] / 1e6:.0f} MB, recorder '
                     f'{share:.0%} of a core, {found["recorder"]["peak_mb"]:.0f} MB; uncounted '
                     f'{found["uncounted"]} (goal 0); out of order by '
                     f'{found["disorder_s"]:.2f} s, within a topic '
                     f'{found["disorder_within_topics"]}')
        lines += [f'  {topic}: {row}' for topic, row in found['topics'].items()]
    if (found := result.get('loop')) is not None:
        for name, values in ratios(found).items():
            ordered = sorted(values)
            lines.append(f'loop {name}: recorder on / off, median {ordered[len(ordered) // 2]:.3f}'
                         f', pairs {ordered[0]:.3f} to {ordered[-1]:.3f}, n = {len(ordered)} '
                         f'(goal p99 <= {LOOP_RATIO:g})')
    return lines


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=['call', 'stream', 'loop'],
                        choices=['call', 'stream', 'stock', 'loop'],
                        help='stock: the stream without the profile for shared memory')
    parser.add_argument('--seconds', type=float, default=20.0, help='of call and of stream')
    parser.add_argument('--pairs', type=int, default=3, help='of runs with and without recorder')
    parser.add_argument('--episodes', type=int, default=4, help='of 3 s, of each of these runs')
    parser.add_argument('--folder', type=Path, help='where bags go (default: a temporary one)')
    parser.add_argument('--quick', action='store_true', help='short: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.pairs, args.episodes = 3.0, 1, 2
    facts = machine()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        folder = Path(scratch)
        if 'call' in args.parts:
            result['call'] = call(args.seconds, folder / 'call')
        result['stream'] = [
            stream(args.seconds, folder / name, profile=name == 'stream')
            for name in ('stream', 'stock') if name in args.parts]
        if 'loop' in args.parts:
            result['loop'] = loop(args.pairs, args.episodes, folder / 'loop')
    if args.json:
        print(json.dumps({'machine': facts, **result}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('\n'.join(table(result)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
