"""What the tests of reports share: a real browser, pages taken apart, comparisons made up."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
import json
import os
from pathlib import Path
import re
import select
import shutil
import subprocess
import time
from typing import Any

import pytest

from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.compare import (
    Better,
    Comparison,
    Contrast,
    Discordance,
    Effect,
    EvidencePoint,
    HypothesisTest,
    Rule,
    Side,
)
from wm_eval_ros.scoring.scorecard import EpisodeResult

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
#: a page of many figures on a slow machine [s]
PATIENCE_S = 90


@dataclass
class Seen:
    """What happened since the page was opened."""

    #: errors and warnings of the console, exceptions, refusals by the page's policy
    complaints: list[str] = field(default_factory=list)
    #: addresses asked for, apart from the page's own
    requests: list[str] = field(default_factory=list)


class Browser:
    """A headless Chromium with one tab."""

    def __init__(self, program: str, profile: Path) -> None:
        """Start it; commands go in on descriptor 3, answers come out on 4."""
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        words = [program, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
                 '--no-first-run', '--disable-background-networking',
                 '--disable-component-update', '--disable-sync', '--hide-scrollbars',
                 '--remote-debugging-pipe', f'--user-data-dir={profile}']
        shell = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self._process = subprocess.Popen(
            ['bash', '-c', shell, 'browser', *words], pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._session = b'', 0, ''
        self.seen = Seen()
        tab = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=tab,
                                  flatten=True)['sessionId']
        for part in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{part}.enable')

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its answer."""
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': parameters}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == self._number:
                assert 'error' not in answer, f'{method}: {answer["error"]}'
                return answer['result']

    def _next(self) -> Any:
        while b'\0' not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], PATIENCE_S)
            data = os.read(self._read, 1 << 20) if ready else b''
            assert data, 'the browser does not answer'
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        self._note(message.get('method', ''), message.get('params', {}))
        return message

    def _note(self, method: str, params: Any) -> None:
        if method == 'Runtime.exceptionThrown':
            self.seen.complaints.append(str(params['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning'):
            self.seen.complaints.append(str(params['args']))
        elif method == 'Log.entryAdded' and params['entry']['level'] in ('error', 'warning'):
            self.seen.complaints.append(params['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            address = params['request']['url']
            if not address.startswith(('data:', 'blob:')):
                self.seen.requests.append(address)

    def open(self, page: Path, width: int = 1280, height: int = 900, *, dark: bool = False,
             wait: str = 'document.documentElement.dataset.drawn === "yes"') -> Seen:
        """
        Open a file and wait until it is drawn.

        :param wait: JavaScript that turns true then
        """
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
        self.seen = Seen()
        self.call('Page.navigate', url=page.resolve().as_uri())
        self.until(f'document.readyState === "complete" && {wait}')
        self.seen.requests.remove(page.resolve().as_uri())
        return self.seen

    def until(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.evaluate(script):
            assert time.monotonic() < end, f'not {script}: {self.seen.complaints}'
            time.sleep(0.05)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call('Runtime.evaluate', expression=script, returnByValue=True,
                          awaitPromise=True)
        assert 'exceptionDetails' not in found, found['exceptionDetails']
        return found['result'].get('value')

    def screenshot(self, path: Path) -> None:
        """Write the whole page, as high as it is, as PNG."""
        data = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=True)
        path.write_bytes(b64decode(data['data']))

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


@pytest.fixture(scope='session')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all pages of the session."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f'no browser to open the page with: none of {", ".join(NAMES)} is installed')
    started = Browser(program, tmp_path_factory.mktemp('profile'))
    yield started
    started.close()


class Elements(HTMLParser):
    """Ids, links and their words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        #: addresses of anything that is loaded
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get('id'):
            self.ids.append(found['id'] or '')
        if tag == 'a':
            self.links.append(found.get('href') or '')
        else:
            self.loaded += [v or '' for k, v in attrs if k in ('src', 'href', 'action', 'data')]


@pytest.fixture
def elements() -> type[Elements]:
    return Elements


@pytest.fixture
def without_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without the five megabytes of plotly: faster to make and to take apart."""
    from wm_eval_ros.report import shell
    monkeypatch.setattr(shell, 'plotly_script', lambda: 'window.Plotly = null;')


@pytest.fixture(scope='session')
def figures_of() -> Callable[[str], dict[str, Any]]:
    """The figures that stand in a page, by place and label."""
    def read(text: str) -> dict[str, Any]:
        found = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)
        assert found is not None
        plots: dict[str, Any] = json.loads(found[1])
        return plots
    return read


@pytest.fixture(scope='session')
def comparison() -> Callable[..., Comparison]:
    """A comparison of two or more sides over seeds 100 and up, by their outcomes."""
    return _compared


def _compared(*outcomes: str, **changes: Any) -> Comparison:
    """
    Compare sides by strings of outcomes: `s` success, `t` timeout, `f` failure, one a seed.

    Figures are made up, apart from those that follow from the outcomes.
    """
    sides = tuple(_side('ABCDEF'[at], own) for at, own in enumerate(outcomes))
    contrasts = tuple(_contrast(a, b) for at, a in enumerate(sides) for b in sides[at + 1:])
    fields: dict[str, Any] = {
        'sides': sides, 'contrasts': contrasts, 'rule': Rule.BATCH, 'alpha': 0.05,
        'verdict': Verdict.PASS, 'sentence': 'A is better: 3 of 4 against 1 of 4',
        'notes': ('the two were recorded on different days',)}
    return Comparison(**{**fields, **changes})


_WORDS = {'s': 'success', 't': 'timeout', 'f': 'failure'}


def _rate(name: str, k: int, n: int) -> MetricValue:
    value = k / n
    ends = Interval(max(0.0, value - 0.25), min(1.0, value + 0.25))
    return MetricValue(name, value, '1', n, ends)


def _side(letter: str, outcomes: str) -> Side:
    episodes = tuple(EpisodeResult(at, _WORDS[kind], 100 + at, False, 20, 1.0, 20, 0)
                     for at, kind in enumerate(outcomes))
    rate = _rate('success_rate', outcomes.count('s'), len(outcomes))
    return Side(letter, f'planner {letter}', {'clock': 'lockstep', 'deadline_ns': 50_000_000},
                (f'run-{letter}',), (rate,), episodes)


def _contrast(a: Side, b: Side) -> Contrast:
    first, second = a.figures[0], b.figures[0]
    gap = (first.value or 0) - (second.value or 0)
    difference = MetricValue('success_rate', gap, '1', 4, Interval(gap - 0.4, gap + 0.4))
    shown = Better.FIRST if gap > 0.4 else Better.NEITHER
    success = Effect('success_rate', '1', True, first, second, difference, shown, (
        HypothesisTest('exact McNemar', 0.5, 0.05, 2, False),
        HypothesisTest('sign e-test', 1.5, 20, 2, False)))
    slow = Effect('plan_latency.p95', 'ms', False, MetricValue('plan_latency.p95', 30.0, 'ms', 80),
                  MetricValue('plan_latency.p95', 20.0, 'ms', 80),
                  MetricValue('plan_latency.p95', 10.0, 'ms', 4, Interval(5.0, float('inf'))),
                  Better.SECOND)
    unknown = Effect('cpu_time.p50', 'ms', False, MetricValue('cpu_time.p50', None, 'ms', 0),
                     MetricValue('cpu_time.p50', None, 'ms', 0),
                     MetricValue('cpu_time.p50', None, 'ms', 0, why='not recorded'),
                     Better.NEITHER)
    won = [(x.outcome == 'success', y.outcome == 'success')
           for x, y in zip(a.episodes, b.episodes, strict=True)]
    counts = [won.count(pair) for pair in (
        (True, True), (True, False), (False, True), (False, False))]
    path = tuple(EvidencePoint(100 + at, at, 0, 2.0**at) for at in range(len(won)))
    return Contrast(a.letter, b.letter, True, f'{len(won)} pairs of one seed each',
                    Discordance(*counts), success, (slow, unknown), path, shown,
                    f'{a.letter} and {b.letter}: nothing is shown', needed=40)
