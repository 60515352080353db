"""The page as a browser shows it: from disk, without a script, a request or a complaint."""

import pytest

from tests.report import _browser
from tf_sigma_vae.report import page

pytestmark = _browser.needed
PHONE, DESKTOP, PAPER = (390, 844), (1200, 900), (793, 1122)
BROKEN_PICTURES = (
    "Promise.all([...document.images].map(image => image.decode().then(() => 0, () => 1)))"
    ".then(all => all.reduce((sum, one) => sum + one, 0) + [...document.images].filter("
    "image => !(image.naturalWidth > 0 && image.getBoundingClientRect().width > 20)).length)"
)
WIDER_THAN_THE_PAGE = (
    "[...document.querySelectorAll('body *')].filter(element => !element.closest('.scroll') && "
    "element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)"
    ".map(element => element.tagName)"
)
SECTIONS_SEEN = (
    "[...document.querySelectorAll('section')].filter(section => section.offsetHeight > 40)"
    ".map(section => section.querySelector('h2').id)"
)
OF_IMAGES = [anchor for anchor in page.SECTIONS if anchor != "rollouts"]
"""Sections of a page of images that has all that there is."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = _browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def path(text, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(text, "utf-8")
    return file


def test_a_screen_shows_all_of_the_page_and_the_browser_asks_for_nothing_else(browser, path):
    for size in (PHONE, DESKTOP):
        browser.open(path, *size)
        assert browser.evaluate(SECTIONS_SEEN) == OF_IMAGES
        assert browser.evaluate("document.title").startswith("digits: gaussian_optimal")
        assert browser.evaluate("document.querySelectorAll('.charts figure').length") > 20
        assert browser.evaluate(BROKEN_PICTURES) == 0
        assert browser.requests() == [path.resolve().as_uri()]
        assert browser.complaints() == []
        assert browser.evaluate(WIDER_THAN_THE_PAGE) == []
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_wide_tables_scroll_in_their_own_box(browser, path):
    browser.open(path, *PHONE)
    overflowing = (
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth)"
    )
    assert browser.evaluate(f"{overflowing}.length") > 0


@pytest.mark.slow
def test_records_are_folded_away_and_open_on_demand(browser, path):
    browser.open(path, *PHONE)
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
    height = "document.querySelector('details').offsetHeight"
    folded = browser.evaluate(height)
    browser.evaluate("document.querySelector('summary').click()")
    assert browser.evaluate(height) > folded + 40
    assert browser.evaluate(WIDER_THAN_THE_PAGE) == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read_in_both_themes(browser, path, theme):
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    browser.open(path, *DESKTOP)
    ink, back = (
        sum(map(int, browser.evaluate(f"getComputedStyle(document.body).{what}")[4:-1].split(",")))
        for what in ("color", "backgroundColor")
    )
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert (ink > back) == (theme == "dark")
    assert abs(ink - back) > 450


@pytest.mark.slow
def test_it_can_be_printed(browser, path):
    browser.open(path, *PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(WIDER_THAN_THE_PAGE) == []
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "look"),
    [
        ("<main>", "<main><script>console.error('x')</script>", "complaints"),
        ("<main>", "<main><img src='https://localhost/x.png' alt=''>", "complaints"),
        ("base64,", "base64,AAAA", "pictures"),
        ("<main>", "<main><div style='width:500px'>x</div>", "width"),
        ('<h2 id="samples">', '<h2 id="other">', "sections"),
    ],
)
def test_a_broken_page_is_noticed(browser, path, tmp_path, old, new, look):
    text = path.read_text("utf-8")
    assert old in text
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace(old, new, 1), "utf-8")
    browser.open(broken, *PHONE)
    found = {
        "complaints": lambda: browser.complaints() != [],
        "pictures": lambda: browser.evaluate(BROKEN_PICTURES) > 0,
        "width": lambda: browser.evaluate(WIDER_THAN_THE_PAGE) != [],
        "sections": lambda: browser.evaluate(SECTIONS_SEEN) != OF_IMAGES,
    }
    assert found[look]()
