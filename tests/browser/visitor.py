"""Somebody in front of a browser: what tests click, and what is watched on every page meanwhile."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    WebSocket,
    expect,
)

from tests.support import PASSWORD, wait_until

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

REST = ("/services/casjobs/RestApi/", "/services/scidrive/api/", "/services/scidrive/fileservice/")

# A start takes two or three seconds; on a machine that runs other tests beside, many more.
START_LIMIT = 90_000

# Text whose contrast with what is behind it is below WCAG 2.1 AA (1.4.3): 4.5, or 3 for large text.
_LOW_CONTRAST = """(within) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = ([r, g, b, a = 1], back) => [r, g, b].map((value, i) => value * a + back[i] * (1 - a));
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(channels(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((back, layer) => over(layer, back), [255, 255, 255]);
  };
  const found = [];
  for (const element of document.querySelectorAll(`${within} *`)) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.closest("noscript, script, style")) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const [high, low] = [luminance(over(channels(style.color), back)), luminance(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.push(`${text} (${contrast.toFixed(2)})`);
  }
  return found;
}"""

FILES = "#filebrowser"
"""JupyterLab's own file browser; SciDrive has another one."""


class Visitor:
    """A browser profile of its own, with one page.

    Parameters
    ----------
    url
        Public origin of the deployment.
    """

    def __init__(self, browser: Browser, url: str, name: str, **options: object) -> None:
        self.url = url
        self.name = name
        self.strange: list[str] = []
        self._documents: set[str] = set()
        self.context: BrowserContext = browser.new_context(base_url=url, **({"viewport": DESKTOP} | options))
        self.context.on("request", self._on_request)
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self._on_page_error(error.error))
        self.page: Page = self.context.new_page()
        self.page.on("websocket", self._on_websocket)

    # What is watched

    def _on_request(self, request: Request) -> None:
        if request.is_navigation_request():
            self._documents.add(request.url)
        self._must_be_ours(request.url)

    def _on_websocket(self, socket: WebSocket) -> None:
        self._must_be_ours(socket.url)

    def _must_be_ours(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.url).netloc:
            self.strange.append(f"request to another host: {url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        source = message.location["url"]
        # Chromium also reports the status of an error page that was asked for; that is what such a page is.
        # And those of the services' answers, which their pages show by themselves.
        known = source in self._documents or any(part in source for part in REST)
        if message.type == "error" and self._on_our_page and not known:
            self._note(f"console: {message.text} ({source})", source)

    def _on_page_error(self, error: Error) -> None:
        if self._on_our_page:
            self._note(f"script error: {error.message}", error.stack or "")

    @property
    def _on_our_page(self) -> bool:
        """Not in JupyterLab or Canaille, whose scripts and consoles are their own."""
        return urlsplit(self.page.url).path.startswith(("/hub/", "/services/casjobs/", "/services/scidrive/"))

    def _note(self, problem: str, origin: str) -> None:
        # The page before this one may still have had something to say.
        if "/services/portal/" not in origin and "/user/" not in origin:
            self.strange.append(f"{self.page.url}: {problem}")

    def screenshot(self, name: str, style: str | None = None) -> None:
        """Keep a picture of what is visible now; `style` is CSS that hides what should not be in it."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", style=style)

    def assert_fits(self) -> None:
        """Nothing is wider than the window."""
        width, inner = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner, f"{self.page.url} scrolls sideways: {width} in {inner}"

    def assert_readable(self, within: str = "body") -> None:
        """Every text has the contrast of WCAG 2.1 AA; of an element that is not the page, `within` is the selector."""
        assert self.page.evaluate(_LOW_CONTRAST, within) == [], self.page.url

    # What is clicked

    def sign_in(self, password: str = PASSWORD) -> None:
        """From the hub's sign-in page through the portal's two pages."""
        self.page.goto("/hub/login")
        self.page.get_by_role("link", name="Sign in").first.click()
        self.enter_password(password)

    def enter_password(self, password: str = PASSWORD) -> None:
        """On the portal's sign-in page."""
        self.page.locator("[name=login]").fill(self.name)
        self.page.locator("[name=login]").press("Enter")
        self.page.locator("[name=password]").fill(password)
        self.page.locator("[name=password]").press("Enter")

    def choose(self, title: str) -> None:
        """An image in the menu."""
        self.page.get_by_role("radio", name=re.compile(f"^{title}")).check()

    def start(self, title: str) -> None:
        """From the menu of images to JupyterLab."""
        self.page.goto("/hub/spawn")
        self.choose(title)
        self.page.get_by_role("button", name="Start").click()
        self.wait_for_lab()

    def wait_for_lab(self) -> None:
        """Until the file browser of JupyterLab shows the user's folders."""
        self.page.wait_for_url(f"{self.url}/user/{self.name}/lab**", timeout=START_LIMIT)
        expect(self.entry("Storage")).to_be_visible(timeout=START_LIMIT)

    def entry(self, name: str) -> Locator:
        """A line of JupyterLab's file browser."""
        return self.page.locator(f"{FILES} .jp-DirListing-item").filter(has_text=name)

    def open_folder(self, *names: str) -> None:
        """Double-click down a path in JupyterLab's file browser."""
        for name in names:
            self.entry(name).dblclick()
            expect(self.page.locator(f"{FILES} .jp-BreadCrumbs")).to_contain_text(name)

    def stop(self) -> None:
        """On the hub's home page, until it says stopped."""
        self.page.goto("/hub/home")
        self.page.get_by_role("button", name="Stop my server").click()
        expect(self.page.locator("#my-server-state")).to_have_text("Stopped", timeout=START_LIMIT)

    def tab_to(self, selector: str, limit: int = 40) -> None:
        """Press Tab until the focus is there, and see that it is marked on the page."""
        for _ in range(limit):
            if self.page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
                break
            self.page.keyboard.press("Tab")
        expect(self.page.locator(selector)).to_be_focused()
        marked = """() => [document.activeElement, document.activeElement.closest("label")].some(
            (element) => element && getComputedStyle(element).outlineStyle === "solid")"""
        wait_until(lambda: self.page.evaluate(marked), limit=10, what=f"the focus on {selector} is visible")
