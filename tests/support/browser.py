"""The machine's Chromium, driven by Playwright: the pages as a person has them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

#: Debian's one without windows comes first: it takes half the CPU of the others.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

#: None: there is none on this machine, and Playwright's package brings none.
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)

#: Without a network of its own, Chromium's background services are refused at every start.
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_QUIET += ["--disable-component-update", "--disable-sync"]

#: Plays a muted video from a place, and returns where it is a second later.
_PLAY = """async ([place]) => {
    const video = document.querySelector("video");
    video.muted = true;
    if (place !== null) video.currentTime = place;
    await video.play();
    const from = video.currentTime;
    await new Promise(done => setTimeout(done, 1000));
    return {from, to: video.currentTime, duration: video.duration, width: video.videoWidth};
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start it, and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def people(browser: Browser, timeout: int) -> Iterator[Callable[..., Person]]:
    """
    Yield what brings a person with a browser of their own, and close them all at the end.

    It takes the address of an Airflow, the user's token, or None for one who has not signed in, and a window's width.
    To sign in as a person does loads all of Airflow's UI, which takes seconds of CPU.

    :param timeout: milliseconds that a page may take.
    """
    with contextlib.ExitStack() as stack:

        def come(base: str, token: str | None, width: int = 1300) -> Person:
            context = browser.new_context(viewport={"width": width, "height": 850})
            stack.callback(context.close)
            if token:
                context.add_cookies([{"name": "_token", "value": token, "url": base}])
            page = context.new_page()
            page.set_default_timeout(timeout)
            return Person(page)

        yield come


@dataclass
class Person:
    """Somebody with a page open.

    :param ranges: what was asked for of each clip: the header ``Range``, and the status of the answer.
    :param trouble: errors of scripts, and dialogs.
    :param refused: answers that are refusals.
    """

    page: Page
    ranges: list[tuple[str, int]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("dialog", lambda dialog: self.trouble.append(dialog.message))

    @property
    def frame(self) -> Any:
        """Return the frame in which Airflow shows a plugin's page; the page itself, where there is none."""
        return next((frame for frame in self.page.frames if frame.parent_frame), self.page.main_frame)

    def play(self, place: float | None = None) -> dict[str, float]:
        """Play the video of the page, and return ``from``, ``to``, ``duration`` (seconds) and ``width`` (pixels).

        :param place: seconds at which to begin.
        """
        self.frame.wait_for_selector("video")  # a click that leads here is over before the page is
        played: dict[str, float] = self.frame.evaluate(_PLAY, [place])
        return played

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def _note(self, response: Response) -> None:
        request: Request = response.request
        if "/pika/video" in response.url and "range" in request.headers:
            self.ranges.append((request.headers["range"], response.status))
        if response.status >= 400:
            self.refused.append(f"{response.status} {response.url}")
