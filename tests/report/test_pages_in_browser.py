"""Pages in real Chromium: nothing runs, nothing is loaded, and a phone is wide enough."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

import pytest

from report import pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here (apt-get install chromium)"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="Playwright is not installed (pip install 'mfp[dev]')",
    ),
]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 900}
KINDS = ("film", "run")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox; the pages are our own.
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for kind, html in zip(KINDS, (pages.film_html(), pages.run_html()), strict=True):
        (folder / f"{kind}.html").write_text(html, encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser, files):
    """opened(kind, viewport, ...) -> the page; whatever it says or asks for fails the test."""
    said, asked = [], []
    contexts = []

    def call(kind, viewport=DESK, **options):
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((files / f"{kind}.html").as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    assert sum(url.startswith("file:") for url in asked) == len(contexts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_a_page_without_scrolling_sideways(opened, kind, scheme):
    page = opened(kind, PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # Of what is wider, only a table may be, within a region that scrolls by itself.
    wide = page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


def test_hostile_text_is_text_to_a_browser(opened):
    page = opened("film")
    assert page.locator("h1").inner_text() == pages.TITLE
    assert page.title().startswith(pages.TITLE)
    assert page.locator("p.text").text_content() == pages.PLOT
    assert page.locator("script").count() == 0
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_the_policy_stops_a_script_that_got_in(browser, files, tmp_path):
    html = (files / "film.html").read_text("utf-8")
    hole = "<script>document.title='ran'</script><img src='http://192.0.2.1/x.png'>"
    path = tmp_path / "hole.html"
    path.write_text(html.replace("<main>", "<main>" + hole), encoding="utf-8")
    page = browser.new_page()
    asked = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.title() != "ran"
    assert not any(url.startswith("http") for url in asked)
    page.close()


# WCAG: 4.5 for text, by relative luminance of colours as the browser computes them.
CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (/^rgb\\(/.test(c)) return c; } };
  return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility()
      && !e.closest('svg')
      && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
    const [a, b] = [getComputedStyle(e).color, behind(e)].map(light).sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)]; }).filter(p => p[0] < 4.5);
}"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened, kind, scheme):
    page = opened(kind, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []


def test_light_and_dark_differ(opened):
    colours = [
        opened("film", color_scheme=scheme).evaluate("getComputedStyle(document.body).color")
        for scheme in ("light", "dark")
    ]
    assert len(set(colours)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_prints(opened, kind):
    assert opened(kind).pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("kind", KINDS)
def test_a_screenshot_is_not_blank(opened, kind, tmp_path):
    from PIL import Image

    path = tmp_path / f"{kind}.png"
    opened(kind).screenshot(path=path)
    colours = Image.open(path).convert("RGB").getcolors(2**24)
    assert len(colours) > 50
