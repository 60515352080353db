import base64
import io
import re

import numpy as np
from PIL import Image

from tf_sigma_vae.report import elements
from tf_sigma_vae.report.elements import Html, element


def test_text_is_escaped_and_html_is_not():
    assert element("p", "a < b & c", Html("<i>d</i>")) == "<p>a &lt; b &amp; c<i>d</i></p>"


def test_attributes_are_escaped_named_as_in_html_or_left_out():
    made = element("a", class_='x"y', aria_label="<", hidden=True, href=None)
    assert made == '<a class="x&quot;y" aria-label="&lt;" hidden></a>'


def test_an_element_without_content_has_no_end():
    assert element("meta", name="viewport", content="width=1") == (
        '<meta name="viewport" content="width=1">'
    )


def test_a_row_of_one_cell_heads_those_below_it():
    made = elements.table("caption", ["name", "value"], [["group"], ["a", "1"]])
    assert '<th scope="colgroup" colspan="2">group</th>' in made
    assert '<th scope="row">a</th><td>1</td>' in made


def test_small_pictures_keep_their_pixels_and_are_shown_enlarged():
    picture = np.arange(4 * 5, dtype=np.uint8).reshape(4, 5, 1) * 10
    made = elements.pixels(picture, "alt", "caption")
    content = base64.b64decode(re.search(r"base64,([^\"]+)", made).group(1))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture[..., 0])
    assert f'width="{5 * 112}" height="{4 * 112}"' in made
