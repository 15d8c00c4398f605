"""`wm-eval export BAG`: a bag for other tools."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
import contextlib
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.frames import COMPRESSED, IMAGE, pixels
from wm_eval_ros.errors import BagError, ConfigError, EXIT_PASS, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.bag.message import RawMessage
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.records import Record, RunInfo
    from wm_eval_ros.report.exports.rerun_log import RerunLog

EXAMPLE = """example:
  wm-eval export runs/reacher/bag --parquet tables --rerun reacher.rrd --foxglove layout.json

exit: 0 written, 2 the bag cannot be read or has nothing to export, 74 a file cannot be written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file (MCAP, sqlite3)')
    parser.add_argument('--parquet', metavar='DIR', type=Path,
                        help='folder of tables: slots, inputs, episodes, events, metrics')
    parser.add_argument('--rerun', metavar='FILE', type=Path,
                        help='Rerun recording (.rrd): numbers, images, events, and plans over '
                             'what happened')
    parser.add_argument('--foxglove', metavar='FILE', type=Path,
                        help='Foxglove layout (.json) with panels for the topics of this bag')
    parser.add_argument('--jsonl', metavar='FILE', type=Path,
                        help='every record of this package as a line of JSON')
    parser.add_argument('--audit', metavar='FILE', type=Path,
                        help='the audit record of every slot as a line of JSON, with its hash')
    parser.add_argument('--ocsf', metavar='FILE', type=Path,
                        help='alarms, hand-overs and refused commands as OCSF detection findings, '
                             'a line of JSON each')
    parser.add_argument('--salvage', action='store_true',
                        help='export what can be read of a damaged bag')
    parser.add_argument('--json', action='store_true', help='print the paths written as JSON')


def main(args: argparse.Namespace) -> int:
    """Export the bag in every form that was asked for."""
    wanted = {'parquet': _parquet, 'rerun': _rerun, 'foxglove': _foxglove, 'jsonl': _jsonl,
              'audit': _audit, 'ocsf': _ocsf}
    asked = {name: path for name in wanted if (path := getattr(args, name)) is not None}
    if not asked:
        raise ConfigError(f'nothing to write: give one of --{", --".join(wanted)}')
    if len({path.resolve() for path in asked.values()}) < len(asked):
        raise ConfigError('two of the forms go to the same place: give each a path of its own')
    written = {name: [str(p) for p in wanted[name](args.bag, path, args.salvage)]
               for name, path in asked.items()}
    if args.json:
        print(json.dumps(written, indent=1))
    else:
        print('\n'.join(path for paths in written.values() for path in paths))
    return EXIT_PASS


def _parquet(source: Path, folder: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.cli.reading import read
    from wm_eval_ros.report.exports.parquet import write_parquet
    from wm_eval_ros.report.exports.tables import tables
    from wm_eval_ros.scoring.scorecard import canonical
    found = read(source, salvage=salvage)
    manifest = canonical({**found.card.manifest, **found.card.provenance})
    return write_parquet(folder, tables(found.card, found.run), manifest)


def _foxglove(source: Path, path: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.exports.foxglove import layout, METRIC
    with open_bag(source, salvage=salvage) as bag:
        info = manifest_of(bag)
        topics = {t: kind for t, kind in bag.topics.items() if bag.declared.get(t, 1)}
        metrics = [t for t, kind in topics.items() if kind == METRIC]
        joints = [t for t, kind in topics.items() if kind == 'sensor_msgs/msg/JointState']
        names = list(getattr(_first(bag, metrics[0]), 'names', ())) if metrics else []
        counts = {topic: len(getattr(_first(bag, topic), 'name', ())) for topic in joints}
        deadline = info.deadline_ns / 1e6 if info is not None and info.deadline_ns > 0 else None
        found = layout(topics, names, counts, deadline)
    if not found['configById']:
        raise BagError(f'{source}: no topic a panel could show; it holds '
                       f'{", ".join(sorted(topics)) or "nothing"}')
    return [_write(path, json.dumps(found, indent=1, ensure_ascii=False) + '\n')]


def _jsonl(source: Path, path: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.cli.reading import progress
    from wm_eval_ros.records import SampleRecord
    from wm_eval_ros.report.exports.jsonl import line
    with open_bag(source, salvage=salvage) as bag:
        records = progress(bag.records(), sum(bag.declared.values()))
        return _write_lines(path, (line(r) for r in records if not isinstance(r, SampleRecord)))


def _audit(source: Path, path: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.records import CycleRecord
    from wm_eval_ros.report.exports.audit import audit_line, run_facts
    with open_bag(source, salvage=salvage) as bag:
        facts = run_facts(manifest_of(bag))
        return _write_lines(path, (
            audit_line(record, message.data, message.log_ns, facts)
            for message, record in _ours(bag) if isinstance(record, CycleRecord)))


def _ocsf(source: Path, path: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.exports.ocsf import finding_lines, found_spells
    with open_bag(source, salvage=salvage) as bag:
        spells = found_spells((message.log_ns, record) for message, record in _ours(bag))
        return _write_lines(path, finding_lines(spells, manifest_of(bag)))


def _ours(bag: Bag) -> Iterator[tuple[RawMessage, Record]]:
    """Yield the records of this package with the messages they are made of."""
    from wm_eval_ros.bag.reader import record_decoder
    from wm_eval_ros.cli.reading import progress
    ours = {c.topic: decode for c in bag.connections if (decode := record_decoder(c))}
    if not ours:
        raise BagError(f'{bag.path}: no record of this package; it holds '
                       f'{", ".join(sorted(bag.topics)) or "nothing"}')
    total = sum(bag.declared.get(topic, 0) for topic in ours)
    for message in progress(bag.messages(ours), total):
        yield message, ours[message.topic](bag.decoder.decode(message))


def _write_lines(path: Path, lines: Iterable[str]) -> list[Path]:
    """Write lines; the file is there whole or not at all."""
    part = path.with_name(f'{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open('w', encoding='utf-8') as file:
            file.writelines(lines)
        part.replace(path)
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return [path]


def _rerun(source: Path, path: Path, salvage: bool) -> list[Path]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.cli.reading import progress
    from wm_eval_ros.report.exports.rerun_log import RerunLog
    with open_bag(source, salvage=salvage) as bag:
        skipped = dict(bag.unreadable)
        with RerunLog(path, manifest_of(bag)) as log:
            for message in progress(bag.messages(), sum(bag.declared.values())):
                if message[1].topic in skipped:
                    continue
                try:
                    _tell(log, bag, message)
                except BagError as error:
                    if not salvage:
                        raise
                    log.note(message[1].topic, message[0], str(error))
    for topic, why in sorted(skipped.items()):
        print(f'{topic}: left out: {why}', file=sys.stderr)
    return [path]


def _tell(log: RerunLog, bag: Bag, message: RawMessage) -> None:
    """Hand one message over, as what it is."""
    from wm_eval_ros.bag.decode import header_stamp_ns
    from wm_eval_ros.bag.reader import record_decoder
    from wm_eval_ros.records import CycleRecord, EpisodeEvent
    connection = message[1]
    decode = record_decoder(connection)
    fields = bag.decoder.decode(message)
    if decode is not None:
        record = decode(fields)
        if isinstance(record, CycleRecord):
            log.cycle(record)
        elif isinstance(record, EpisodeEvent):
            log.event(record)
        return
    stamped = bag.decoder.is_stamped(connection.type)
    stamp = header_stamp_ns(message) if stamped else message[0]
    if connection.type == COMPRESSED:
        kind = 'image/png' if bytes(fields.data[:4]) == b'\x89PNG' else 'image/jpeg'
        log.encoded_image(connection.topic, stamp, bytes(fields.data), kind)
    elif connection.type == IMAGE:
        _image(log, connection.topic, stamp, fields)
    elif stamped or not log.simulated:
        log.message(connection.topic, stamp, fields)


def _image(log: RerunLog, topic: str, stamp_ns: int, fields: Any) -> None:
    try:
        log.image(topic, stamp_ns, pixels(fields))
    except ValueError as error:
        log.note(topic, stamp_ns, str(error))


def manifest_of(bag: Bag) -> RunInfo | None:
    """Return the run's manifest, None where the bag holds none."""
    from wm_eval_ros.bag.reader import record_decoder
    from wm_eval_ros.records import RunInfo
    ours = {c.topic: decode for c in bag.connections if (decode := record_decoder(c))
            and c.type == 'std_msgs/msg/String'}
    for topic, decode in ours.items():
        found = _first(bag, topic)
        if found is not None and isinstance(info := decode(found), RunInfo):
            return info
    return None


def _first(bag: Bag, topic: str) -> Any:
    """Return the first message of a topic with its fields, None where there is none."""
    if topic in bag.unreadable:
        return None
    return next((fields for _, fields in bag.decoded([topic])), None)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None
    return path
