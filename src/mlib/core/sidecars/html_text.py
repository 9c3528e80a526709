"""Convert HTML to plain text in linear time, whatever the input.

Not with `html.parser`: 64 KiB of `<a ` take it a minute, and which inputs do so differs between releases. All
it would be needed for is one attribute of one tag.
"""

from __future__ import annotations

import html
import re

#: Characters read; the rest is dropped.
MAX_INPUT = 256 * 1024
_MAX_URL = 2000

_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main",
    "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "thead", "ul",
})  # fmt: skip
_INLINE = frozenset({
    "a", "abbr", "b", "big", "body", "cite", "code", "del", "em", "font", "head", "html", "i", "iframe",
    "img", "input", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "source", "span", "strike",
    "strong", "style", "script", "sub", "sup", "td", "th", "title", "tt", "u", "var", "video", "wbr",
})  # fmt: skip
_LINES = frozenset(("br", "tr"))
_KNOWN = _BLOCKS | _INLINE | _LINES | {"li"}
#: Elements whose content is not text.
_HIDDEN = {
    name: re.compile(rf"</{name}(?=[\s/>])[^<>]*+>", re.IGNORECASE)
    for name in ("script", "style", "iframe", "title")
}

# Possessive, and no part extends past the next "<": each character is read at most twice.
_TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]{0,15})(?=[\s/>])
        (?P<rest> (?:[^<>"']++ | "[^<"]*+" | '[^<']*+')*+ (?=>) | [^<>]*+ )>""",
    re.VERBOSE,
)
_HREF = re.compile(r"""(?:^|[\s"'/])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
_ANY_TAG = re.compile(
    rf"</?(?:{'|'.join(sorted(_KNOWN, key=len, reverse=True))})(?=[\s/>])[^<>]*+>", re.IGNORECASE
)
#: html.unescape converts any number of digits to an int, which Python refuses beyond 4300.
_LONG_REFERENCE = re.compile(r"&#[0-9]{8,}+;?")

_LINE_END = re.compile(r"\r\n?|[\x85\u2028\u2029\x0b\x0c]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]+")
_BEFORE_LINE_END = re.compile(r"(?<![ \t\xa0])[ \t\xa0]++\n")
_EMPTY_LINES = re.compile(r"\n{3,}+")


class _Page:
    """Text under construction; breaks and spaces are held back until something follows them."""

    __slots__ = ("_break", "_bullet", "_href", "_items", "_link", "_parts", "_space", "preformatted")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._break = 0
        self._space = False
        self._bullet = False
        self._items = False
        self._href = ""
        self._link = 0
        self.preformatted = False

    def text(self, raw: str) -> None:
        raw = html.unescape(_LONG_REFERENCE.sub("\ufffd", raw)) if "&" in raw else raw
        if self.preformatted and "\n" in raw:
            for line in raw.split("\n"):
                self._words(line)
                self.line_break(1)
        else:
            self._words(raw)

    def _words(self, raw: str) -> None:
        words = " ".join(raw.split())
        if not words:
            self._space = self._space or raw != ""
            return
        if self._parts and self._break:
            self._parts.append("\n" * self._break)
        elif self._parts and not self._bullet and (self._space or raw[0].isspace()):
            self._parts.append(" ")
        if self._bullet:
            self._parts.append("- ")
        self._parts.append(words)
        self._break, self._bullet = 0, False
        self._space = raw[-1].isspace()

    def line_break(self, lines: int) -> None:
        if not self._bullet:
            self._break = max(self._break, lines)

    def item(self) -> None:
        """Begin a list item: on the line after the last one, even if items contain paragraphs."""
        self._break = 1 if self._items else max(self._break, 1)
        self._bullet = self._items = True

    def list_edge(self) -> None:
        self._items = self._bullet = False
        self.line_break(2)

    def space(self) -> None:
        self._space = True

    def link(self, href: str) -> None:
        self.link_end()
        self._href, self._link = href, len(self._parts)

    def link_end(self) -> None:
        """Add a link's address, unless its text is the address."""
        href, self._href = self._href, ""
        if not href:
            return
        text = "".join(self._parts[self._link :]).strip(" \n-")
        if text and _address(text) != _address(href):
            self._parts.append(f" ({href})")

    def finished(self) -> str:
        self.link_end()
        return "".join(self._parts)


def html_to_text(text: str) -> str:
    """Convert a description to plain text: paragraphs, lines, `- ` for list items, links as `text (url)`.

    Images, scripts, styles and comments are dropped; only http and https links are shown. Text without HTML
    tags stays unchanged except for control characters, empty lines and trailing white space. At most
    MAX_INPUT characters are read.
    """
    text = _LINE_END.sub("\n", text[:MAX_INPUT])
    plain = _from_html(text) if is_html(text) else text
    return tidied(plain)


def is_html(text: str) -> bool:
    """Whether a text has at least one HTML tag."""
    return _ANY_TAG.search(text) is not None


def tidied(text: str) -> str:
    """Text with LF line ends, without control characters, trailing spaces and repeated empty lines."""
    text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", _BEFORE_LINE_END.sub("\n", text)).strip()


def _from_html(text: str) -> str:
    page = _Page()
    place = 0
    while place < len(text):
        start = text.find("<", place)
        if start < 0:
            page.text(text[place:])
            break
        if start > place:
            page.text(text[place:start])
        if text.startswith(("<!", "<?"), start):
            place = _after_declaration(text, start)
        elif (tag := _TAG.match(text, start)) and (name := tag["name"].lower()) in _KNOWN:
            place = tag.end()
            if name in _HIDDEN and not tag["end"]:
                end = _HIDDEN[name].search(text, place)
                place = end.end() if end else len(text)
            else:
                _apply(page, name, tag["rest"], ends=bool(tag["end"]))
        else:
            # A "<" that does not begin an HTML tag: a comparison, a heart, or a prompt's <lora:name:1>.
            page.text("<")
            place = start + 1
    return page.finished()


def _after_declaration(text: str, start: int) -> int:
    """The end of a comment, CDATA section or declaration; the end of the text if it is not closed."""
    mark = "-->" if text.startswith("<!--", start) else ">"
    end = text.find(mark, start + 2)
    return len(text) if end < 0 else end + len(mark)


def _apply(page: _Page, name: str, attributes: str, *, ends: bool) -> None:
    if name == "a":
        if ends:
            page.link_end()
        else:
            page.link(_href(attributes))
    elif name in _LINES:
        page.line_break(1)
    elif name == "li":
        if not ends:
            page.item()
    elif name in ("ol", "ul"):
        page.list_edge()
    elif name in ("td", "th"):
        page.space()
    elif name in _BLOCKS:
        if name == "pre":
            page.preformatted = not ends
        page.line_break(2)


def _href(attributes: str) -> str:
    """A link's address, if it is a web page and can be shown."""
    match = _HREF.search(attributes)
    if match is None:
        return ""
    return web_address(html.unescape(_LONG_REFERENCE.sub("", match[1] or match[2] or match[3] or "")))


def web_address(text: str) -> str:
    """An http or https address as written; "" for anything else."""
    text = text.strip()
    if len(text) > _MAX_URL or not text.isprintable() or any(character in text for character in " <>\"'\\`"):
        return ""
    scheme, colon, rest = text.partition("://")
    return text if colon and scheme.lower() in ("http", "https") and rest.strip("/.:@?#") else ""


def _address(text: str) -> str:
    """Normalise an address, to compare spellings."""
    return text.casefold().removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")
