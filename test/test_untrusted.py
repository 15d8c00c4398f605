"""Nothing in the package runs what a file says: no pickles, no code from text, one reader each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / 'wm_eval_ros'
SOURCES = sorted(ROOT.rglob('*.py'))
#: modules that load objects, or code
FORBIDDEN_MODULES = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'marshal',
                     'shelve', 'code', 'codeop', 'xmlrpc', 'jsonpickle', 'pty'}
#: calls that do
FORBIDDEN_CALLS = {
    'eval', 'exec', 'compile', 'torch.load', 'torch.jit.load', 'torch.hub.load', 'np.load',
    'numpy.load', 'pd.read_pickle', 'yaml.load', 'yaml.load_all', 'yaml.unsafe_load',
    'yaml.full_load', 'os.system', 'os.popen', 'ElementTree.parse', 'ElementTree.fromstring',
    'yaml.safe_load'}
#: call -> the one module that may make it
ONLY_IN = {'json.loads': 'config/json_text.py', 'json.load': '', 'yaml.parse':
           'config/yaml_file.py'}
#: what is read is of this package itself: what a node of ours says, what was just written, and its
#: own package.xml
OWN = {('cli/processes.py', 'json.loads'), ('report/exports/audit.py', 'json.loads'),
       ('config/software.py', 'ElementTree.parse')}


#: the one module that opens files of another project, by torch's loader of weights alone
UPSTREAM = 'models/adapters/stable_worldmodel.py'


def loads_weights_alone(call: ast.Call) -> bool:
    words = {k.arg: ast.unparse(k.value) for k in call.keywords}
    return ast.unparse(call.func) == 'torch.load' and words.get('weights_only') == 'True'


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize('path', SOURCES, ids=named)
def test_a_module_loads_no_objects_and_no_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
            [node.module or ''] if isinstance(node, ast.ImportFrom) else [])
        assert not FORBIDDEN_MODULES & {name.partition('.')[0] for name in names}
    for name, call in calls(path):
        if (named(path), name) in OWN or (named(path) == UPSTREAM and loads_weights_alone(call)):
            continue
        assert name not in FORBIDDEN_CALLS, f'{named(path)}:{call.lineno}: {name}'
        assert ONLY_IN.get(name, named(path)) == named(path), f'{named(path)}:{call.lineno}'
        words = {k.arg: k.value for k in call.keywords}
        assert 'allow_pickle' not in words
        assert not (isinstance(words.get('shell'), ast.Constant) and words['shell'].value)


def test_the_test_would_find_one(tmp_path: Path) -> None:
    path = tmp_path / 'x.py'
    path.write_text('import torch\nmodel = torch.load(path)\n')
    assert [name for name, _ in calls(path)] == ['torch.load']
    assert len(SOURCES) > 200
