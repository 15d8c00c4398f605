"""One package, two ways to install it: what both must have, and that they agree."""

from __future__ import annotations

import ast
from importlib import metadata
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from build_support.manifest import console_scripts, entry_points, read_manifest, requirements

ROOT = Path(__file__).resolve().parents[1]
NAME = 'wm_eval_ros'
PREFIX = Path(sys.prefix)
SHARE = PREFIX / 'share' / NAME
INTERFACES = sorted([*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')])
MANIFEST = read_manifest(ROOT)


def type_name(path: Path) -> str:
    return f'{NAME}/{path.parent.name}/{path.stem}'


def described_hash(share: Path, path: Path) -> str:
    """Return the RIHS01 hash that a build wrote beside the definition."""
    document = json.loads((share / path.parent.name / f'{path.stem}.json').read_text())
    hashes = {entry['type_name']: entry['hash_string'] for entry in document['type_hashes']}
    return hashes[type_name(path)]


def rosbags_hashes() -> dict[str, str]:
    """Return the hashes by the code of another project, from the definitions alone."""
    typesys = pytest.importorskip('rosbags.typesys')
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(ROOT.glob('msg/*.msg')):
        types.update(typesys.get_types_from_msg(path.read_text(), type_name(path)))
    store.register(types)
    return {name: store.hash_rihs01(name) for name in types}


def defined_names(module: str) -> set[str]:
    """Return what the module defines at top level, without importing it."""
    tree = ast.parse((ROOT / f'{module.replace(".", "/")}.py').read_text(encoding='utf-8'))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_versions_agree() -> None:
    changelog = (ROOT / 'CHANGELOG.rst').read_text(encoding='utf-8')
    newest = re.search(r'^(\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)$', changelog, re.MULTILINE)
    assert newest is not None
    assert {MANIFEST.version, newest[1], metadata.version(NAME)} == {MANIFEST.version}


def test_catkin_pkg_accepts_the_manifest() -> None:
    package = pytest.importorskip('catkin_pkg.package')
    warnings: list[str] = []
    parsed = package.parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    assert (parsed.name, parsed.get_build_type(), warnings) == (NAME, 'ament_cmake', [])


def test_cmake_builds_with_the_dependencies_of_the_manifest() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    listed = re.search(r'\bDEPENDENCIES ([^)]*)\)', cmake)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(MANIFEST.depends)


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / 'requirements' / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    pinned = {canonical(line.split('==')[0]) for line in lines if '==' in line}
    wanted = {canonical(re.split(r'[\[<>=; ]', line)[0])
              for line in requirements(ROOT, ['all', 'dev', 'colcon'])}
    assert wanted <= pinned


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name.strip()).lower()


@pytest.mark.parametrize('script', console_scripts(ROOT))
def test_a_console_script_has_an_executable_wrapper(script: str) -> None:
    wrapper = PREFIX / 'lib' / NAME / script
    module, function = console_scripts(ROOT)[script]
    assert os.access(wrapper, os.X_OK)
    assert f'from {module} import {function}\n' in wrapper.read_text(encoding='utf-8')


@pytest.mark.parametrize(('group', 'name'), [
    (group, name) for group, pairs in entry_points(ROOT).items() for name in pairs])
def test_an_entry_point_leads_somewhere(group: str, name: str) -> None:
    module, attribute = entry_points(ROOT)[group][name].split(':')
    assert attribute in defined_names(module)


def test_installed_entry_points_are_those_of_setup_cfg() -> None:
    found = {(point.group, point.name): point.value
             for point in metadata.distribution(NAME).entry_points}
    declared = {(group, name): target for group, pairs in entry_points(ROOT).items()
                for name, target in pairs.items()}
    assert found == declared


@pytest.mark.parametrize('folder', ['launch', 'config'])
def test_share_holds_every_file_of(folder: str) -> None:
    here = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / folder).rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}
    assert not [str(path) for path, content in here.items()
                if not (SHARE / path).is_file() or (SHARE / path).read_bytes() != content]


def test_ament_finds_the_package() -> None:
    index = PREFIX / 'share' / 'ament_index' / 'resource_index'
    assert (index / 'packages' / NAME).is_file()
    assert (SHARE / 'package.xml').read_bytes() == (ROOT / 'package.xml').read_bytes()


@pytest.mark.parametrize('path', sorted(ROOT.glob('launch/*.py')), ids=lambda path: path.name)
def test_every_launch_argument_has_a_description(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
             if isinstance(node, ast.Call)
             and 'DeclareLaunchArgument' in {getattr(node.func, 'id', ''),
                                             getattr(node.func, 'attr', '')}]
    assert not [f'{path.name}:{call.lineno}' for call in calls
                if not any(keyword.arg == 'description' for keyword in call.keywords)]


@pytest.mark.parametrize('path', sorted(ROOT.glob('msg/*.msg')), ids=lambda path: path.stem)
def test_the_type_hash_is_the_one_rosbags_computes(path: Path) -> None:
    assert described_hash(SHARE, path) == rosbags_hashes()[type_name(path)]


@pytest.mark.usefixtures('domain_id')
def test_a_live_node_announces_the_type_hash() -> None:
    rclpy = pytest.importorskip('rclpy')
    from wm_eval_ros.msg import PlannerCycle
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('hash', context=context)
    try:
        node.create_publisher(PlannerCycle, 'cycle', 1)
        (info,) = node.get_publishers_info_by_topic('cycle')
        live = f'RIHS{info.topic_type_hash.version:02}_{info.topic_type_hash.value.hex()}'
    finally:
        node.destroy_node()
        context.shutdown()
    assert live == described_hash(SHARE, ROOT / 'msg' / 'PlannerCycle.msg')


# ------------------------------------------------------------------ builds, each of its own


def checkout(target: Path) -> Path:
    """Copy the files that git knows: builds must not write into the sources."""
    listing = ['git', 'ls-files', '-co', '--exclude-standard', '-z']
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split('\0')):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run(command: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
                          check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def built_wheel(folder: Path) -> tuple[str, set[str]]:
    (wheel,) = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        return wheel.name, set(archive.namelist())


@pytest.mark.slow
def test_a_wheel_from_the_source_archive_is_complete(tmp_path: Path) -> None:
    source = checkout(tmp_path / 'source')
    run([sys.executable, 'setup.py', '-q', 'sdist', '-d', str(tmp_path)], source)
    (archive,) = tmp_path.glob('*.tar.gz')
    run([sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-w',
         str(tmp_path), str(archive)], tmp_path, WM_EVAL_ROS_REQUIRE_MESSAGES='1')
    _, names = built_wheel(tmp_path)
    data = f'{NAME}-{MANIFEST.version}.data/data'
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / NAME).rglob('*')
            if path.is_file() and path.suffix in {'.py', '.json', '.safetensors', '.xml', '.html'}
            and '__pycache__' not in path.parts}
    assert {*code, f'{NAME}/py.typed', f'{NAME}/msg/__init__.py', f'{NAME}/srv/__init__.py',
            f'{data}/share/{NAME}/package.xml', f'{data}/share/{NAME}/msg/InputRef.json',
            *(f'{data}/lib/{NAME}/{script}' for script in console_scripts(ROOT))} <= names


@pytest.mark.slow
def test_without_ros_the_wheel_is_pure_and_says_so(tmp_path: Path) -> None:
    source = checkout(tmp_path / 'source')
    hidden = tmp_path / 'hidden' / 'rosidl_adapter'
    hidden.mkdir(parents=True)
    (hidden / '__init__.py').write_text('raise ImportError("hidden by a test")\n')
    said = run([sys.executable, 'setup.py', 'bdist_wheel', '-d', str(tmp_path)], source,
               PYTHONPATH=str(hidden.parent))
    name, names = built_wheel(tmp_path)
    assert 'WITHOUT its ROS 2 messages' in said
    assert name.endswith('-py3-none-any.whl')
    assert f'{NAME}/errors.py' in names
    assert not [name for name in names if name.startswith(f'{NAME}/msg')]


def underlay() -> dict[str, str]:
    """Return the variables that make the ROS wheels, or the sourced ROS, the underlay."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    if os.environ.get('ROS_DISTRO'):
        return {'PATH': path}
    return {'PATH': path, 'AMENT_PREFIX_PATH': sys.prefix, 'CMAKE_PREFIX_PATH': sys.prefix,
            # the restart of Python with the wheels' library path is due anew
            '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '', 'LD_LIBRARY_PATH': ''}


@pytest.fixture(scope='module')
def colcon_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a fresh colcon build of these sources."""
    if shutil.which('colcon', path=underlay()['PATH']) is None:
        pytest.skip('no colcon here: pip install "wm_eval_ros[colcon]"')
    folder = tmp_path_factory.mktemp('colcon')
    run(['colcon', '--log-base', 'log', 'build', '--paths', str(checkout(folder / 'source')),
         '--event-handlers', 'console_direct+', '--cmake-args', '-DBUILD_TESTING=OFF',
         f'-DPython3_EXECUTABLE={sys.executable}', '-DPython3_FIND_VIRTUALENV=ONLY'],
        folder, **underlay())
    return folder / 'install'


@pytest.mark.slow
@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.stem)
def test_colcon_gives_the_type_hash_that_pip_gives(colcon_install: Path, path: Path) -> None:
    share = colcon_install / NAME / 'share' / NAME
    assert described_hash(share, path) == described_hash(SHARE, path)


SOURCED = """
import json, os, pathlib
from importlib import metadata
from ament_index_python import get_package_prefix
import wm_eval_ros
from wm_eval_ros.msg import PlannerCycle
from wm_eval_ros.srv import ResetEpisode
PlannerCycle.__class__.__import_type_support__()
ResetEpisode.__class__.__import_type_support__()
folder = pathlib.Path(get_package_prefix('wm_eval_ros'), 'lib', 'wm_eval_ros')
print(json.dumps({
    'package': wm_eval_ros.__file__,
    'supported': PlannerCycle.__class__._TYPE_SUPPORT is not None,
    'executables': sorted(p.name for p in folder.iterdir() if os.access(p, os.X_OK)),
    'planners': sorted(p.name for p in metadata.entry_points(group='wm_eval_ros.planners')),
}))
"""


@pytest.mark.slow
def test_the_colcon_build_works_when_sourced(colcon_install: Path) -> None:
    output = run(['sh', '-c', f'. {colcon_install}/setup.sh && exec "$@"', 'sh', sys.executable,
                  '-c', SOURCED], colcon_install, **underlay())
    found = json.loads(output.splitlines()[-1])
    assert Path(found['package']).is_relative_to(colcon_install)
    assert found['supported']
    assert found['executables'] == sorted(console_scripts(ROOT))
    assert found['planners'] == sorted(entry_points(ROOT)['wm_eval_ros.planners'])
