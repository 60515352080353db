"""The page as a browser shows it: from disk, without a script, a request or a complaint."""

import pytest

from tests.report import _browser
from tf_sigma_vae.report import page

pytestmark = pytest.mark.skipif(
    _browser.find() is None,
    reason=f"no browser: none of {', '.join(_browser.NAMES)} in PATH, and no ${_browser.VARIABLE}",
)
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


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def shown(request, browser, path):
    browser.open(path, *request.param)
    return browser


def test_every_section_and_picture_is_on_the_screen(shown):
    assert shown.evaluate(SECTIONS_SEEN) == OF_IMAGES
    assert shown.evaluate("document.title").startswith("digits: gaussian_optimal")
    assert shown.evaluate("document.querySelectorAll('.charts figure').length") > 20
    assert shown.evaluate(BROKEN_PICTURES) == 0


def test_the_browser_asks_for_nothing_but_the_file_and_complains_of_nothing(shown, path):
    assert shown.requests() == [path.resolve().as_uri()]
    assert shown.complaints() == []


def test_nothing_is_wider_than_the_screen(shown):
    assert shown.evaluate(WIDER_THAN_THE_PAGE) == []
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_wide_tables_scroll_in_their_own_box(browser, path):
    browser.open(path, *PHONE)
    overflowing = (
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth)"
    )
    assert browser.evaluate(f"{overflowing}.length") > 0


def test_records_are_folded_away_and_open_on_demand(browser, path):
    browser.open(path, *PHONE)
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
    height = "document.querySelector('details').offsetHeight"
    folded = browser.evaluate(height)
    browser.evaluate("document.querySelector('summary').click()")
    assert browser.evaluate(height) > folded + 40
    assert browser.evaluate(WIDER_THAN_THE_PAGE) == []


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


def test_it_can_be_printed(browser, path):
    browser.open(path, *PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(WIDER_THAN_THE_PAGE) == []
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.pdf().startswith(b"%PDF")


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
