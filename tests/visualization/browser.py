"""A headless Chromium, driven over a pipe with the DevTools protocol; nothing but Python.

The protocol: https://chromedevtools.github.io/devtools-protocol/, JSON texts that end in a NUL,
which `--remote-debugging-pipe` reads from file 3 and writes to file 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
FLAGS = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-dev-shm-usage',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--remote-debugging-pipe',
]
KEY_CODES = {'Enter': 13, 'Escape': 27, 'ArrowLeft': 37, 'ArrowRight': 39, 'ArrowDown': 40}


class Browser:
    """One browser with one tab.

    Args:
        folder: for its profile and downloads; empty.

    Attributes:
        complaints: what the page has written to the console as an error, or thrown.
    """

    def __init__(self, folder: Path) -> None:
        self.downloads = folder / 'downloads'
        self.downloads.mkdir(parents=True)
        read_end, self._to = os.pipe()
        self._from, write_end = os.pipe()

        def place_pipes() -> None:
            ours = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (read_end, write_end)]
            os.dup2(ours[0], 3)
            os.dup2(ours[1], 4)

        command = [CHROMIUM, *FLAGS, f'--user-data-dir={folder / "profile"}', 'about:blank']
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=place_pipes,
        )
        os.close(read_end)
        os.close(write_end)
        self._buffer = b''
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        targets = self.call('Target.getTargets')['targetInfos']
        target = next(each['targetId'] for each in targets if each['type'] == 'page')
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Log'):
            self.call(f'{domain}.enable')
        self.call(
            'Browser.setDownloadBehavior', behavior='allow', downloadPath=str(self.downloads)
        )

    def close(self) -> None:
        """End it."""
        self._session = None
        try:
            self.call('Browser.close')
            self._process.wait(timeout=10)
        except Exception:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> dict:
        """Ask for something, and wait for the answer."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._to, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self._number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]}')
                return answer['result']

    def _read(self) -> dict:
        deadline = time.monotonic() + 60
        while b'\0' not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError('the browser says nothing')
            self._buffer += os.read(self._from, 2**20)
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        params = message.get('params', {})
        if message.get('method') == 'Runtime.exceptionThrown':
            self.complaints.append(str(params['exceptionDetails']))
        if message.get('method') == 'Runtime.consoleAPICalled' and params['type'] == 'error':
            self.complaints.append(str(params['args']))
        if message.get('method') == 'Log.entryAdded' and params['entry']['level'] == 'error':
            self.complaints.append(f'{params["entry"]["text"]} {params["entry"].get("url", "")}')
        return message

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = self.call(
            'Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True
        )
        if 'exceptionDetails' in answer:
            raise RuntimeError(f'{script}: {answer["exceptionDetails"]}')
        return answer['result'].get('value')

    def wait_for(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression of the page is true."""
        script = f"""new Promise((resolve, reject) => {{
            const end = Date.now() + {1000 * seconds};
            (function look() {{
                let done = false;
                try {{ done = {condition}; }} catch (error) {{ /* not there yet */ }}
                if (done) resolve(true); else if (Date.now() > end) resolve(false);
                else setTimeout(look, 20);
            }})();
        }})"""
        assert self.evaluate(script), f'still not so: {condition}'

    def open(self, page: Path, fragment: str = '') -> None:
        """Open a review page from the disk, and wait until it can be used."""
        self.call('Page.navigate', url='about:blank')
        self.call('Page.navigate', url=page.absolute().as_uri() + fragment)
        self.wait_for("document.body.dataset.ready === 'true'")

    def size(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """The window, in CSS pixels."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call('Emulation.setTouchEmulationEnabled', enabled=phone)
        scheme = dict(name='prefers-color-scheme', value='dark' if dark else 'light')
        self.call('Emulation.setEmulatedMedia', features=[scheme])

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text = dict(text=key) if len(key) == 1 else {}
            if key == 'Enter':
                text = dict(text='\r')
            code = dict(windowsVirtualKeyCode=KEY_CODES.get(key, 0))
            self.call('Input.dispatchKeyEvent', type='keyDown', key=key, **text, **code)
            self.call('Input.dispatchKeyEvent', type='keyUp', key=key, **code)

    def type(self, text: str) -> None:
        """Write into the field that has the focus."""
        self.call('Input.insertText', text=text)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        x, y = self.evaluate(
            f"""(() => {{ const box = document.querySelector({json.dumps(selector)})
            .getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to a field of files, as a person's choice does."""
        field = self.call(
            'Runtime.evaluate', expression=f'document.querySelector({json.dumps(selector)})'
        )['result']['objectId']
        self.call('DOM.setFileInputFiles', files=[str(path)], objectId=field)

    def download(self) -> Path:
        """The one file that the page has saved."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            files = [each for each in self.downloads.iterdir() if each.suffix == '.json']
            if files:
                return files[0]
            self.evaluate('new Promise((resolve) => setTimeout(resolve, 30))')
        raise TimeoutError('nothing was saved')

    def screenshot(self, path: Path) -> None:
        """The window as PNG."""
        path.write_bytes(base64.b64decode(self.call('Page.captureScreenshot')['data']))
