"""A real Chromium before the portal: one browser and one server a run, a tab per person."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright
from starlette.types import ASGIApp, Receive, Scope, Send

from .suite import Suite

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
OF_AUTH = ("/login", "/logout", "/dev-issuer")
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 800}
#: Longest wait for anything in the browser, ms: never a verdict on speed, only the end of hope on a busy machine.
PATIENCE_MS = 90_000
#: How far the page reaches beyond its window, pixels.
_BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def front(suite: Suite) -> ASGIApp:
    """What the gateway does for a browser: auth's paths to auth, all others to the portal."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        to_auth = scope.get("path", "").startswith(OF_AUTH)
        await suite.apps["auth" if to_auth else "portal"](scope, receive, send)

    return app


@asynccontextmanager
async def served(suite: Suite) -> AsyncIterator[None]:
    """Listen on the suite's own port."""
    config = uvicorn.Config(
        front(suite),
        lifespan="off",
        log_config=None,
        ws="none",
        access_log=False,
        timeout_keep_alive=3600,  # a connection that ends just when the browser uses it again is not our subject
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[suite.door.dup()]))  # uvicorn closes what it is given
    while not server.started:
        assert not serving.done(), "the server did not start"
        await asyncio.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=PATIENCE_MS
        )
        yield opened
        await opened.close()


class Watched:
    """A tab that remembers what went wrong in it: errors said, errors thrown, rules of the CSP broken."""

    def __init__(self, page: Page, ours: str, folder: Path | None) -> None:
        self.page = page
        self.ours = ours
        self.folder = folder
        self.wrong: list[str] = []
        self.expected: tuple[str, str] | None = None
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning") and not self._is_expected(said):
            self.wrong.append(said.text)

    def expect_refusal(self, path: str, status: int) -> None:
        """A form sent to this path will be refused, which the browser reports by itself, sooner or later."""
        self.expected = (path, str(status))

    def _is_expected(self, said: ConsoleMessage) -> bool:
        if self.expected is None:
            return False
        path, status = self.expected
        return status in said.text and path in f"{said.location.get('url', '')} {said.text}"

    async def log_in(self, sub: str) -> None:
        await self.page.goto(f"{self.ours}/")
        await self.page.click(f'button[value="{sub}"]')
        await self.page.wait_for_url(f"{self.ours}/")

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.ours}{path}")

    async def follow(self, selector: str) -> None:
        """Click what leads to another page and be there: a click alone returns while the old page still stands."""
        async with self.page.expect_navigation(wait_until="load"):
            await self.page.click(selector)

    async def look(self, name: str) -> None:
        """The page, once it stands, has a title, fits its window and breaks no rule of axe."""
        await self.page.wait_for_load_state("load")
        await self.page.wait_for_function("!document.querySelector('.htmx-settling, .htmx-swapping')")
        assert (await self.page.title()).strip(" ·") != "教育数据湖", name
        await self.keep(name)
        assert await self.page.evaluate(_BEYOND) <= 0, f"{name} is wider than its window"
        found = (await Axe().run(self.page)).response["violations"]
        assert not found, (name, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found])

    async def keep(self, name: str) -> None:
        """A picture, when somebody wants pictures."""
        if self.folder:
            await self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)


def picture_folder() -> Path | None:
    """`EDULAKE_SCREENSHOTS`; without it no pictures are made."""
    wanted = os.environ.get("EDULAKE_SCREENSHOTS")
    if not wanted:
        return None
    made = Path(wanted)
    made.mkdir(parents=True, exist_ok=True)
    return made


@asynccontextmanager
async def tab(browser: Browser, suite: Suite, **options: Any) -> AsyncIterator[Watched]:
    """A browser window of its own, with its own cookies, closed at the end."""
    still = {"viewport": WIDE, "reduced_motion": "reduce"}  # what moves has another colour at every look
    context = await browser.new_context(locale="zh-CN", **{**still, **options})
    context.set_default_timeout(PATIENCE_MS)
    yield Watched(await context.new_page(), suite.settings.issuer, picture_folder())
    await context.close()
