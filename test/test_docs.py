"""What the documentation says is there: commands, options, links, settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import importlib.util
from pathlib import Path
import re

import pytest
import yaml

from wm_eval_ros.cli.main import parser, VERBS
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import build

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / 'README.md', ROOT / 'CHANGELOG.rst', *ROOT.glob('docs/*.md')])
GENERATOR = ROOT / 'docs' / 'make_parameters.py'
LAUNCH_FILES = {path.name for path in ROOT.glob('launch/*.launch.py')}

#: paths of one machine, hosts of package registries; joined so that this file has none of them
FORBIDDEN = [re.compile(pattern, re.IGNORECASE) for pattern in (
    r'(?<![\w.])/' + 'work' + r'\b', r'/tmp' + r'/\w', r'(?<![\w.])/' + r'root\b',
    r'/' + r'home/\w', 'py' + r'pi\.org', 'download\\.' + r'pytorch\.org',
    'files\\.' + 'pythonhosted', r'\bAI' + r'[- ](?:generated|assist)', r'\bco-' + 'authored',
    'issues' + r' show\b', r'\blanguage ' + r'model\b', r'shared/' + 'design')]


def text_of(path: Path) -> str:
    return path.read_text(encoding='utf-8')


def code_of(path: Path) -> str:
    """Return the page's code: indented and fenced blocks, and words between backticks."""
    text = text_of(path)
    blocks = re.findall(r'^```.*?^```', text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r'^ {4,}\S.*$', text, re.MULTILINE)
    return '\n'.join([*blocks, *lines, *re.findall(r'`([^`\n]+)`', text)])


def options(verb: str) -> list[argparse.Action]:
    top = parser(verb)
    verbs = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    return [a for a in verbs.choices[verb]._actions if a.dest != 'help']


def section(text: str, title: str) -> str:
    """Return what stands below a heading, up to the next of its rank."""
    found = re.search(rf'^## {re.escape(title)}$(.*?)(?=^## |\Z)', text, re.MULTILINE | re.DOTALL)
    assert found is not None, f'no section {title!r}'
    return found[1]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r'^#{1,6} (.+)$', text_of(path), re.MULTILINE)
    plain = (re.sub(r'[^\w\- ]', '', heading.lower()) for heading in headings)
    return {heading.strip().replace(' ', '-') for heading in plain}


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, anchor) of every internal link."""
    for target in re.findall(r'\]\(([^)\s]+)\)', text_of(path)):
        if '://' not in target:
            file, _, anchor = target.partition('#')
            yield file, anchor


def generator() -> object:
    spec = importlib.util.spec_from_file_location('make_parameters', GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_readme_begins_with_name_one_sentence_and_the_two_commands() -> None:
    lines = [line for line in text_of(ROOT / 'README.md').splitlines() if line.strip()]
    assert lines[0] == '# wm_eval_ros'
    assert lines[1].count('.') == 1
    assert [line.split('#')[0].strip() for line in lines[2:4]] == ['make demo', 'make test']


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r'^([a-z-]+):', text_of(ROOT / 'Makefile'), re.MULTILINE))
    asked = set(re.findall(r'\bmake ([a-z-]+)(?=[\s,;.:]|$)', code_of(path)))
    assert asked <= targets


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_every_verb_and_its_options_exist(path: Path) -> None:
    for line in code_of(path).splitlines():
        for words in re.findall(r'(?<![\w/.-])wm-eval ((?:[a-z]+)\b[^\n]*)', line):
            verb, _, rest = words.partition(' ')
            assert verb in VERBS, line
            known = {o for action in options(verb) for o in action.option_strings} | {'--help'}
            own = rest.split('#')[0].split('wm-eval')[0]
            asked = set(re.findall(r'(?<!\S)\[?(--[a-z0-9-]+)', own))
            assert asked <= known, line


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_every_launch_file_named_exists(path: Path) -> None:
    assert set(re.findall(r'\b\w+\.launch\.py\b', text_of(path))) <= LAUNCH_FILES


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_every_launch_argument_exists(path: Path) -> None:
    joined = code_of(path).replace('\\\n', ' ')
    for file, rest in re.findall(r'ros2 launch wm_eval_ros (\w+\.launch\.py)([^\n]*)', joined):
        source = text_of(ROOT / 'launch' / file)
        for argument in re.findall(r'(\w+):=', rest):
            assert f"DeclareLaunchArgument('{argument}'" in source, f'{file}: {argument}'


@pytest.mark.parametrize('path', PAGES, ids=named)
def test_internal_links_resolve(path: Path) -> None:
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f'{named(path)}: {file}'
        if anchor:
            assert anchor in anchors(target), f'{named(path)}: {file}#{anchor}'


@pytest.mark.parametrize('path', [*PAGES, GENERATOR, *ROOT.glob('docs/images/*.svg')], ids=named)
def test_nothing_is_named_that_only_one_machine_has(path: Path) -> None:
    found = [match[0] for pattern in FORBIDDEN for match in pattern.finditer(text_of(path))]
    assert not found


@pytest.mark.parametrize('verb', VERBS)
def test_the_command_line_page_has_every_option(verb: str) -> None:
    page = section(text_of(ROOT / 'docs' / 'cli.md'), verb)
    table = [line.split('|')[1] for line in page.splitlines() if line.startswith('| `')]
    for action in options(verb):
        names = action.option_strings or [action.metavar or action.dest]
        for name in names:
            assert any(re.search(rf'`{re.escape(str(name))}[` ]', cell) for cell in table), name
    known = {str(n) for a in options(verb) for n in a.option_strings or [a.metavar or a.dest]}
    written = {cell.strip().strip('`').split()[0] for cell in table if '`--' in cell}
    assert written <= known


def test_the_command_line_page_lists_every_verb_in_its_table() -> None:
    head = text_of(ROOT / 'docs' / 'cli.md').partition('## Exit codes')[0]
    assert not [verb for verb in VERBS if f'| [`{verb}`](#{verb}) |' not in head]


def test_the_readme_lists_every_page() -> None:
    table = section(text_of(ROOT / 'README.md'), 'Documentation')
    assert not [page.name for page in ROOT.glob('docs/*.md') if f'(docs/{page.name})' not in table]


def test_the_command_line_page_has_every_exit_code() -> None:
    from wm_eval_ros import errors
    page = section(text_of(ROOT / 'docs' / 'cli.md'), 'Exit codes')
    codes = {value for name, value in vars(errors).items() if name.startswith('EXIT_')}
    assert all(re.search(rf'\b{code}\b', page) for code in codes)


def test_parameters_are_up_to_date() -> None:
    pytest.importorskip('rclpy', reason='the parameters are read off the nodes')
    pytest.importorskip('torch')
    pytest.importorskip('mujoco')
    document = generator().document()  # type: ignore[attr-defined]
    assert text_of(ROOT / 'docs' / 'parameters.md') == document, (
        'run .venv/bin/python docs/make_parameters.py')


def test_the_scenario_of_the_hardware_page_is_one() -> None:
    found = re.search(r'^```yaml\n(.*?)^```', text_of(ROOT / 'docs' / 'hardware.md'),
                      re.MULTILINE | re.DOTALL)
    assert found is not None
    scenario = build(Scenario, yaml.safe_load(found[1]), 'docs/hardware.md')
    assert scenario.plant.kind == 'hardware'
    assert scenario.clock == 'realtime'


def test_pictures_are_small_and_drawn_with_standard_fonts() -> None:
    picture = ROOT / 'docs' / 'images' / 'report.png'
    assert picture.read_bytes().startswith(b'\x89PNG')
    assert picture.stat().st_size < 400_000
    graph = text_of(ROOT / 'docs' / 'images' / 'graph.svg')
    assert 'sans-serif' in graph
    assert 'href' not in graph
