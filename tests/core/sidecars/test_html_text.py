from __future__ import annotations

import pytest

from mlib.core.sidecars.html_text import MAX_INPUT, html_to_text, web_address


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<p>One<br>Two<br/>Three</p>", "One\nTwo\nThree"),
        ("<h2>Use</h2>\n<p>At <strong>0.7</strong>, <em>not</em> 1.</p>", "Use\n\nAt 0.7, not 1."),
        ("<ul><li>a</li><li><p>b</p></li></ul>after", "- a\n- b\n\nafter"),
        ("<ul>\n<li>\n<p>a</p>\n<p>c</p>\n</li>\n<li><p>b</p></li></ul>", "- a\n\nc\n- b"),
        ("<ul><li><ul><li>b</li></ul></li><li></li></ul>c", "- b\n\nc"),
        ("<p>x</p><ol><li>a<li>b</ol>", "x\n\n- a\n- b"),
        ("<P CLASS='x'>Tom &amp; Jerry &ndash; 5&nbsp;&lt; 6 &#x41;&#66;</P>", "Tom & Jerry \u2013 5 < 6 AB"),
        ('<p>See <a href="https://a.example/x">this page</a>.</p>', "See this page (https://a.example/x)."),
        ('<a href="https://www.a.example/">a.example</a>', "a.example"),
        ('<a title="x" href=https://a.example/?a=1&amp;b=2>go</a>', "go (https://a.example/?a=1&b=2)"),
        ('<a href="javascript:alert(1)">go</a> <a href="/models/7">rel</a>', "go rel"),
        ('<a href="https://a.example"><img src="x.png"></a>end', "end"),
        ('<a href="https://a.example">open', "open (https://a.example)"),
        ("a<!-- <p>hidden</p> -->b<br>", "ab"),
        ("<p>a</p><!-- never closed <p>b</p>", "a"),
        ("<p>a</p><script>if (1 < 2) alert('<p>')</script><style>p {}</style><p>b</p>", "a\n\nb"),
        ("<p>a</p><script>never closed <p>b</p>", "a"),
        ("<!DOCTYPE html><?x y?><p>a<![CDATA[b]]></p>", "a"),
        ("<p><img src='data:image/png;base64,AAAA' alt='x'>a</p>", "a"),
        ("<p>love <3 and <lora:name:0.8> a<b</p>", "love <3 and <lora:name:0.8> a<b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>one\n  two</pre><p>x</p>", "one\ntwo\n\nx"),
        ("<p>a\x00\x1b[2J\x7f</p>", "a[2J"),
        ("<p title='a > b'>c</p>", "c"),
        ("<p don't>c</p>", "c"),
        ("<p>&#" + "1" * 5000 + ";&#99999999999;&bogus;</p>", "\ufffd\ufffd&bogus;"),
        ("<p></p><br>", ""),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    "text", ["", "plain", "a < b > c", "Tom &amp; Jerry", "<lora:x:1>, word", "a\n\n- b\n  c", "<3"]
)
def test_text_that_is_no_html_stays_as_it_is(text: str) -> None:
    assert html_to_text(text) == text


def test_white_space_of_plain_text_is_tidied() -> None:
    assert html_to_text("\ufeff a \t\r\nb\r\r\r\rc\u2028d\x00\n") == "\ufeff a\nb\n\nc\nd"


def test_links_do_not_reach_beyond_the_web() -> None:
    assert web_address(" HTTPS://a.example/x ") == "HTTPS://a.example/x"
    for text in (
        "",
        "https://",
        "http:///",
        "ftp://a",
        "javascript:x",
        "https://a b",
        "https://a\x1b",
        'http://a"b',
        "//a.example",
        "https://" + "a" * 3000,
    ):
        assert web_address(text) == ""


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<!",
        "<!--",
        "<![CDATA[",
        "<?",
        "</",
        "<a ",
        "<a",
        "</a",
        "<a href='",
        '<a href="x">',
        "<p>",
        "<li>",
        "&",
        "&#1",
        "&#",
        "&amp;",
        "<script>",
        "<script",
        "<title>x</title>",
        "<pre>\n",
        " ",
        " \n",
        "\n",
        "\t",
        "<p '",
        "<p \"'",
        "<a href=href='",
        "<ul><li>",
        ">",
        '"',
        "</p",
        "<p/",
        "<td>",
    ],
)
def test_no_input_takes_more_than_its_length(unit: str) -> None:
    many = 2 * MAX_INPUT // len(unit)
    html_to_text("<p>" + unit * many)
    html_to_text(unit * many)
    html_to_text(unit * many + "<p>")
