"""
Write the table of docs/perturbations.md from the registered perturbations.

Usage, in the environment of `make setup`::

    .venv/bin/python docs/make_perturbations.py
"""

from __future__ import annotations

from pathlib import Path
import sys

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / 'docs' / 'perturbations.md'
BEGIN, END = '<!-- table -->', '<!-- end of table -->'
sys.path.insert(0, str(ROOT))

from wm_eval_ros.perturb import catalogue  # noqa: E402


def main() -> int:
    """Write the file."""
    TARGET.write_text(document(TARGET.read_text(encoding='utf-8')), encoding='utf-8')
    return 0


def document(text: str) -> str:
    """Return the page with the table as it should be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f'{head}{BEGIN}\n{table()}\n{END}{tail}'


def table() -> str:
    """Return one row for each perturbation."""
    rows = ['| name | what it does at severity s | parameters and their defaults |',
            '|---|---|---|']
    rows += [f'| `{name}` | {catalogue.description(name)} | {parameters(name)} |'
             for name in catalogue.names()]
    return '\n'.join(rows)


def parameters(name: str) -> str:
    """Return a perturbation's own parameters, each with what it means."""
    return '; '.join(
        f'`{key}` {field.default:g}: {field.metadata["doc"]}'
        + (f' [{field.metadata["unit"]}]' if field.metadata['unit'] else '')
        for key, field in catalogue.parameters_of(name).items())


if __name__ == '__main__':
    sys.exit(main())
