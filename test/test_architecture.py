"""Which room may import which, held as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

import pytest

PACKAGE = 'wm_eval_ros'
ROOT = Path(__file__).resolve().parents[1] / PACKAGE
EVERYTHING = frozenset({'*'})

#: rooms that need nothing else of the package and may be used by all
GROUND = frozenset({'errors', 'records', 'plugins'})
#: room -> rooms it may import, besides itself
ROOMS = {
    'errors': frozenset(),
    'records': frozenset({'errors'}),
    'config': frozenset({'errors', 'records'}),
    'plugins': frozenset({'errors', 'config'}),
    'stats': frozenset({'errors'}),
    'metrics': GROUND | {'stats'},
    'scoring': GROUND | {'metrics', 'stats', 'config'},
    'wire': GROUND | {'config'},
    'bag': GROUND | {'wire', 'config'},
    # wire: an adapter names the features of the scenario it serves
    'models': GROUND | {'config', 'wire'},
    'planning': GROUND | {'config', 'models'},
    'surprise': GROUND | {'config', 'models', 'stats'},
    'safety': GROUND | {'config'},
    # hash chain, signatures, verification, statements about a run; the recorder seals with it
    'audit': GROUND | {'config', 'wire', 'bag'},
    'perturb': GROUND | {'config'},
    # perturb: a change of the world is applied by the world
    'plants': GROUND | {'config', 'wire', 'models', 'perturb'},
    # plants and planning: a checkpoint is tried in the loop before it is kept
    # metrics: what a model says when it is asked again is figures like those of a run
    'training': GROUND | {'config', 'wire', 'bag', 'models', 'stats', 'metrics', 'plants',
                          'planning', 'surprise', 'perturb'},
    # a robot's own bag: no model to train, no plant, no torch
    'openloop': GROUND | {'config', 'wire', 'bag', 'stats'},
    'report': GROUND | {'config', 'scoring', 'metrics', 'stats', 'openloop'},
    'nodes': EVERYTHING,
    'cli': EVERYTHING,
}
#: library -> rooms that may import it
LIBRARIES = {
    'rclpy': {'nodes'},
    'rcl_interfaces': {'nodes'},
    'lifecycle_msgs': {'nodes'},
    'launch': set(),
    'launch_ros': set(),
    # plants: the oracle is a simulator behind the protocol of the models
    'torch': {'models', 'planning', 'surprise', 'training', 'plants', 'nodes', 'cli'},
    'safetensors': {'models', 'training'},
    'mujoco': {'plants', 'cli'},
    'gymnasium': {'plants', 'cli'},
    'cv2': {'plants', 'perturb', 'nodes', 'cli'},
    'rosbags': {'bag'},
    'mcap': {'bag'},
    'plotly': {'report'},
    'cryptography': {'audit'},
    # what the statistics are checked against, in the tests alone
    'sklearn': set(),
    'statsmodels': set(),
    'openvino': {'models'},
    'scipy': {'stats', 'metrics', 'models', 'training', 'perturb', 'plants'},
}
#: heavy at import, or absent where only bags are scored
HEAVY = ('torch', 'mujoco', 'gymnasium', 'cv2', 'scipy', 'rosbags', 'plotly', 'numpy')
ABSENT_FOR_CLI = ('torch', 'rclpy', 'mujoco', 'gymnasium', 'cv2', 'scipy', 'plotly')


def sources() -> list[Path]:
    return sorted(path for path in ROOT.rglob('*.py'))


def room_of(path: Path) -> str:
    """Return the first folder or module below the package; '' for the package itself."""
    first = path.relative_to(ROOT).parts[0].removesuffix('.py')
    return '' if first == '__init__' else first


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of every import, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import'
            module = node.module or ''
            # `from wm_eval_ros import records` names a room in the alias
            names = [f'{module}.{alias.name}' for alias in node.names]
            yield from ((node.lineno, name) for name in (names if module == PACKAGE else [module]))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('path', sources(), ids=named)
def test_a_room_imports_only_what_its_row_allows(path: Path) -> None:
    room = room_of(path)
    if not room:
        return
    assert room in ROOMS, f'{room}: give the new room a row in {Path(__file__).name}'
    allowed = ROOMS[room]
    wrong = [f'{named(path)}:{line}: {name}' for line, name in imported(path)
             if name.split('.')[0] == PACKAGE and '.' in name
             and name.split('.')[1] in ROOMS
             and name.split('.')[1] not in {room, *allowed} and '*' not in allowed]
    assert not wrong


@pytest.mark.parametrize('path', sources(), ids=named)
def test_a_library_is_imported_only_by_its_rooms(path: Path) -> None:
    wrong = [f'{named(path)}:{line}: {name}' for line, name in imported(path)
             if room_of(path) not in LIBRARIES.get(name.split('.')[0], {room_of(path)})]
    assert not wrong


def test_no_two_rooms_may_import_each_other() -> None:
    pairs = {(room, other) for room, allowed in ROOMS.items() for other in allowed - {'*'}}
    assert not [pair for pair in pairs if pair[::-1] in pairs]


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in sources()}
    assert not [str(folder) for folder in folders if not (folder / '__init__.py').is_file()]


@pytest.mark.parametrize(('module', 'unwanted'), [
    pytest.param(PACKAGE, HEAVY, id='package'),
    pytest.param(f'{PACKAGE}.cli.main', ABSENT_FOR_CLI, id='cli'),
])
def test_importing_it_imports_nothing_heavy(module: str, unwanted: tuple[str, ...]) -> None:
    code = (f'import sys, {module}; '
            f'print(*sorted(set({unwanted!r}) & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True, timeout=60)
    assert done.stdout.split() == []
