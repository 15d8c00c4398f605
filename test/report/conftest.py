"""A real browser, driven over its debugging pipe: what a reader's browser says of a page."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import select
import shutil
import subprocess
import time
from typing import Any

import pytest

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
        until = time.monotonic() + PATIENCE_S
        while not self.evaluate(f'document.readyState === "complete" && {wait}'):
            assert time.monotonic() < until, f'{page} is not drawn: {self.seen.complaints}'
            time.sleep(0.05)
        self.seen.requests.remove(page.resolve().as_uri())
        return self.seen

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
