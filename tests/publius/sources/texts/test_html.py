"""HTML in texts of people is recognised and read as text; what is no HTML stays as it is."""

from __future__ import annotations

import time

import pytest

from publius.sources.texts.html import HtmlSeen, html_in, text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<p>Hello Maja,</p><p>sorry &amp; thanks.</p><p>Your team</p>",
            "Hello Maja,\n\nsorry & thanks.\n\nYour team",
        ),
        ("<p>Hello Ines,<br>the Burgstra&szlig;e.</p>\n<p>Bye</p>\n", "Hello Ines,\nthe Burgstraße.\n\nBye"),
        ("<div>One</div><div>Two<br/>Three</div>", "One\nTwo\nThree"),
        ('<p class="x > y">See <a href="https://example.org">our page</a>.</p>', "See our page."),
        ("<ul><li>one</li><li><b>two</b></li></ul>", "- one\n- two"),
        ("It&#39;s 5&nbsp;&euro; &#x20AC;", "It's 5 € €"),
        ("Hello,\n\nthis is <b>bold</b>\nand plain", "Hello,\n\nthis is bold\nand plain"),
        ("<style>p {color: red}</style><P>Hi</P><!-- a note -->", "Hi"),
        ("<p>One</p><style>two three", "One\n\ntwo three"),
        ("<p>Use <name> here</p>", "Use <name> here"),
        ("<p>&lt;p&gt; is a tag</p>", "<p> is a tag"),
        ("<p>Code:</p>\n```html\n<p>\n  Hi</p>\n```", "Code:\n\n```html\n<p>\n  Hi</p>\n```"),
        ("<p>a\n  b</p>", "a b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
    ],
)
def test_html_is_read_as_the_text_that_a_browser_shows(html: str, text: str):
    assert html_in(html)
    assert text_of_html(html) == text


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "a < b and b > c, x<y>z",
        "Fill in <name>, <title>, <link> and <your address>",
        "AT&T; R&D; &unknown; &copy=1",
        "The tag `<br>` breaks a line: `&amp;`",
        "```html\n<p>Hello &amp; bye</p>\n```",
        "```\n<p>an open fence",
        "vector<int> and List<String>",
    ],
)
def test_what_is_no_html_or_is_code_stays_as_it_is(text: str):
    assert html_in(text) == []
    assert text_of_html(text) == text


@pytest.mark.parametrize(
    "text", ["<p " * 50_000, '<p "' * 50_000, "<!--" * 20_000, "&amp" * 50_000, "`<" * 50_000]
)
def test_hostile_texts_are_read_in_little_time(text: str):
    begun = time.monotonic()
    text_of_html(text + "<br>")
    assert time.monotonic() - begun < 10


def test_a_count_names_the_first_tags():
    seen = HtmlSeen()
    seen.add(["<p>Hi</p>", "plain"])
    seen.add(["plain"])
    assert seen.in_words("replies") == "1 of 2 replies has HTML (<p>)"
    seen.add(["<div>&amp;<br><b>x</b></div>"])
    assert seen.in_words("replies") == "2 of 3 replies have HTML (<p>, <div>, <br>, ...)"
    assert HtmlSeen().in_words("replies") == ""
