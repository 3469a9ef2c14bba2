"""A headless Chromium over its DevTools protocol: just what the tests of the web page need of it."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAIT_S = 60.0
"""For anything that does not come at once; only a failure takes so long."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, in containers
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


class Chromium:
    """A browser with one page, up within `async with`; `folder` takes its profile and its output."""

    def __init__(self, folder: Path, width: int = 1440, height: int = 900) -> None:
        self._folder = folder
        self._size = f"--window-size={width},{height}"
        self._ids = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session: str | None = None
        self._hurried = asyncio.Event()
        self.complaints: list[str] = []
        """What went wrong in the page: exceptions, console errors and warnings, requests that failed."""
        self.requests: list[str] = []
        """Every address that was asked for."""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium")
        assert program is not None, "the page's tests need Debian's package: apt-get install chromium"
        output = self._folder / "chromium.output"
        with output.open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                program, *FLAGS, self._size, f"--user-data-dir={self._folder / 'profile'}", "about:blank",
                stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            where = await self.until(lambda: re.search(r"listening on (ws://\S+)", output.read_text(errors="replace")))
            self._http = aiohttp.ClientSession()
            self._socket = await self._http.ws_connect(where[1], max_msg_size=0)
            self._reader = asyncio.create_task(self._read())
            self._target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
            attached = await self.call("Target.attachToTarget", targetId=self._target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                await self.call(f"{domain}.enable")
            await self.call("Performance.enable", timeDomain="threadTicks")
        except BaseException:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._http.close()
        os.killpg(self._process.pid, signal.SIGKILL)  # the group is its own: the browser and its children
        await self._process.wait()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result. RuntimeError with what the browser says against it."""
        return await self._command(method, params, self._session)

    async def _command(self, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._ids += 1
        message = {"id": self._ids, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        future = self._answers[self._ids] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(message)
        answer = await asyncio.wait_for(future, WAIT_S)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.shows("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def value(self, script: str) -> Any:
        """What an expression of JavaScript gives, as JSON."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def text(self, selector: str) -> str:
        """What the first element of that selector says."""
        found: str = await self.value(f"document.querySelector({selector!r}).textContent")
        return found

    async def shows(self, script: str, seconds: float = WAIT_S) -> Any:
        """Wait until an expression is true; gives its value."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := await self.value(script)):
            assert asyncio.get_running_loop().time() < deadline, f"waited {seconds:.0f} s for {script}"
            await asyncio.sleep(0.05)
        return found

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition()` is true, while the browser runs; gives what it gave."""
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not (found := condition()):
            output = (self._folder / "chromium.output").read_text(errors="replace")
            assert self._process.returncode is None, f"chromium ended: {output}"
            assert asyncio.get_running_loop().time() < deadline, f"waited {WAIT_S:.0f} s: {output}"
            await asyncio.sleep(0.05)
        return found

    async def press(self, key: str, code: int, text: str = "") -> None:
        """A key goes down and up again; `code` is its Windows virtual key code, `text` what it types."""
        keys = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **keys)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    async def type(self, text: str) -> None:
        """Put text where the focus is, as somebody who types or pastes it."""
        await self.call("Input.insertText", text=text)

    async def prefer(self, theme: str) -> None:
        """Have the system's theme "dark" or "light"."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def hide(self) -> None:
        """Put another tab before the page."""
        await self._command("Target.createTarget", {"url": "about:blank"}, None)

    async def unhide(self) -> None:
        await self._command("Target.activateTarget", {"targetId": self._target}, None)

    async def hurry(self, seconds: int) -> None:
        """Let so many seconds of the page's clock go by at once; time stands only while it waits for an answer."""
        self._hurried.clear()
        policy = {"policy": "pauseIfNetworkFetchesPending", "budget": seconds * 1000}
        await self.call("Emulation.setVirtualTimePolicy", **policy)
        await asyncio.wait_for(self._hurried.wait(), WAIT_S)
        await self.call("Emulation.setVirtualTimePolicy", policy="advance")

    async def screenshot(self, to: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        to.write_bytes(base64.b64decode(shot["data"]))

    async def metrics(self) -> dict[str, float]:
        """The page's own figures: TaskDuration (processor time of its main thread, s), JSHeapUsedSize, Nodes, ..."""
        found = await self.call("Performance.getMetrics")
        return {one["name"]: one["value"] for one in found["metrics"]}

    async def heap(self) -> float:
        """Bytes of JavaScript's heap in use after garbage collection."""
        await self.call("HeapProfiler.collectGarbage")
        return (await self.metrics())["JSHeapUsedSize"]

    async def tree(self) -> list[dict[str, Any]]:
        """What a screen reader is given: role, name and properties of every node that it sees."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            {
                "role": node.get("role", {}).get("value", ""),
                "name": node.get("name", {}).get("value", ""),
                **{one["name"]: one["value"].get("value") for one in node.get("properties", ())},
            }
            for node in nodes
            if not node["ignored"]
        ]

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(" ".join(str(arg.get("value", arg)) for arg in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.loadingFailed" if not params.get("canceled"):
                self.complaints.append(f"{params['type']}: {params['errorText']}")
            case "Network.responseReceived" if params["response"]["status"] >= 400:
                self.complaints.append(f"{params['response']['status']} {params['response']['url']}")
            case "Emulation.virtualTimeBudgetExpired":
                self._hurried.set()
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case _:
                pass
