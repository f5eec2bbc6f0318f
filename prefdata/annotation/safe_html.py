"""A response as HTML that an annotator can trust: Markdown, code and maths, nothing that runs, loads or hides.

What rendering would lose is rather shown as it was written: raw HTML, images, link addresses, character references and
reference definitions stay text. Characters that show nothing are named. What is still not to be seen (the cells of a
table that has too many, say) is reported in ``Rendered.removed``, so that the page can say so beside the raw text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin

LONGEST = 200_000
"""Characters beyond which a text is shown as it is: Markdown of that size is no reading matter."""
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "code", "em"),
    *("strong", "s", "table", "thead", "tbody", "tr", "th", "td", "span", "div"),
}
MATH_TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
    *("munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
MATH_ATTRIBUTES = {
    *("xmlns", "display", "stretchy", "fence", "form", "separator", "lspace", "rspace", "columnalign", "mathvariant"),
    *("linethickness", "accent", "accentunder", "largeop", "movablelimits", "minsize", "maxsize", "symmetric", "width"),
}
SPACE = re.compile(r"[0-2](\.\d+)?em")
"""The widths of spaces that cannot push one thing over another."""
COMMAND = re.compile(r"\\(?:begin|end)\{[^}]*\}(?:\{[^}]*\})?|\\[A-Za-z]+\*?")
INVISIBLE = re.compile(
    "[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2028\u2029\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text as it is shown."""

    html: str
    removed: tuple[str, ...] = ()
    """What the raw text has and the page does not show; empty where everything is to be seen."""


def render(text: str) -> Rendered:
    """``text``, taken as Markdown, as HTML that neither runs, loads nor leaves anything.

    >>> render("**Hi** <b>you</b>").html
    '<p><strong>Hi</strong> &lt;b&gt;you&lt;/b&gt;</p>\\n'
    """
    if len(text) > LONGEST:
        return Rendered(plain(text))
    # Markdown takes NUL for something to be replaced; its picture is no letter of any language.
    source = text.replace("\r\n", "\n").replace("\0", "\u2400")
    environment: dict[str, Any] = {"maths": []}
    html = nh3.clean(
        _markdown().render(source, environment),
        tags=TAGS | MATH_TAGS,
        attributes={
            "ol": {"start"},
            "li": {"value"},
            "span": {"class"},
            "div": {"class"},
            "code": {"class"},
            "pre": {"class"},
            "th": {"class"},
            "td": {"class"},
            **{tag: MATH_ATTRIBUTES - {"xmlns"} for tag in MATH_TAGS},
        },
        link_rel=None,
    )
    shown = _Reader.text_of(html)
    if shown.maths != len(environment["maths"]):
        return Rendered(plain(text))
    return Rendered(html, _missing(source, shown.text + " ".join(environment["maths"])))


def plain(text: str) -> str:
    """``text`` to the letter, with characters that show nothing named."""
    return f'<pre class="raw">{_shown(text)}</pre>\n'


def _shown(text: str) -> str:
    """Text as HTML; characters that show nothing, or turn what follows around, are named."""
    if text.isascii() and text.isprintable():
        return escape(text)
    return INVISIBLE.sub(_named, escape(text))


def _named(found: re.Match[str]) -> str:
    text, at = found.string, found.start()
    beside = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    if found[0] in JOINERS and len(beside) == 2 and not beside.isascii():
        return found[0]  # as emoji, Persian and the scripts of India need them
    return f'<span class="codepoint">U+{ord(found[0]):04X}</span>'


@functools.cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False})
    made.enable(["table", "strikethrough"]).disable(["entity", "reference", "html_block", "html_inline"])
    made.use(texmath_plugin, delimiters="brackets")
    made.use(dollarmath_plugin, allow_labels=False, allow_space=False, double_inline=True)
    # An address is shown as it was written, and never followed: it needs no mending.
    made.normalizeLink = _as_written  # type: ignore[method-assign]
    made.normalizeLinkText = _as_written  # type: ignore[method-assign,assignment]
    for name, rule in RULES.items():
        made.add_render_rule(name, rule)
    return made


def _as_written(url: str) -> str:
    return url


def _text(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    return _shown(tokens[at].content)


def _code_inline(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    return f"<code>{_shown(tokens[at].content)}</code>"


def _code_block(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    return f"<pre><code>{_shown(tokens[at].content)}</code></pre>\n"


def _fence(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    about = tokens[at].info.strip()
    head = f'<div class="language">{_shown(about)}</div>' if about else ""
    return f'{head}<pre class="code"><code>{_highlighted(tokens[at].content, about)}</code></pre>\n'


def _highlighted(code: str, about: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    name = about.split()[0] if about else ""
    if name and not INVISIBLE.search(code):
        try:
            lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
        except ClassNotFound:
            return _shown(code)
        html = highlight(code, lexer, HtmlFormatter(nowrap=True))
        if _Reader.text_of(html).text == code:
            return str(html)
    return _shown(code)


def _link_close(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    """The address in words: a link that could be followed would take the annotator away."""
    opened = _opening(tokens, at)
    if opened.markup == "autolink":
        return ""
    title = f' "{_shown(str(opened.attrs["title"]))}"' if "title" in opened.attrs else ""
    return f'<span class="address"> ({_shown(str(opened.attrs.get("href", "")))}{title})</span>'


def _opening(tokens: Sequence[Token], at: int) -> Token:
    depth = 0
    for token in reversed(tokens[: at + 1]):
        depth += (token.type == "link_close") - (token.type == "link_open")
        if depth == 0:
            return token
    raise AssertionError("a link that closes was opened")


def _nothing(_self: Any, *_more: Any) -> str:
    return ""


def _image(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    """The image as it was written: to load it would tell a stranger who reads what."""
    token = tokens[at]
    title = f' "{token.attrs["title"]}"' if "title" in token.attrs else ""
    written = f"![{token.content}]({token.attrs['src']}{title})"
    return f'<code class="image">{_shown(written)}</code>'


def _list_item_open(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    """The number that was written, where Markdown would count for itself."""
    number = tokens[at].info
    return f'<li value="{int(number)}">' if number.isascii() and number.isdigit() else "<li>"


def _cell_open(_self: Any, tokens: Sequence[Token], at: int, *_more: Any) -> str:
    side = str(tokens[at].attrs.get("style", "")).rpartition(":")[2]
    return f'<{tokens[at].tag} class="{side}">' if side in ("left", "center", "right") else f"<{tokens[at].tag}>"


def _math(_self: Any, tokens: Sequence[Token], at: int, _options: Any, environment: dict[str, Any], *_more: Any) -> str:
    token = tokens[at]
    block = token.type != "math_inline"
    made = None if token.markup == "$" and _is_money(tokens, at) else mathml(token.content, block=block)
    if made is not None:
        environment["maths"].append(token.content)
        return f'<div class="math">{made}</div>\n' if token.type.startswith("math_block") else made
    opening = token.markup or "$"
    closing = {"\\(": "\\)", "\\[": "\\]"}.get(opening, opening)
    return f'<code class="math">{_shown(opening + token.content + closing)}</code>'


def _is_money(tokens: Sequence[Token], at: int) -> bool:
    """Whether these dollars are prices: "US$5 and US$6" (a letter before, or a digit after, as in Pandoc's rule)."""
    before = tokens[at - 1].content[-1:] if at and tokens[at - 1].type == "text" else ""
    after = tokens[at + 1].content[:1] if at + 1 < len(tokens) and tokens[at + 1].type == "text" else ""
    return before.isalnum() or after.isdigit()


def mathml(latex: str, *, block: bool = False) -> str | None:
    """LaTeX as MathML; ``None`` where it cannot be converted, or where something would be hidden."""
    from latex2mathml import exceptions
    from latex2mathml.converter import convert

    own = (kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception))
    # It also lets through what its reading of odd input runs into, a nesting too deep included.
    others = (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError)
    refused: tuple[type[Exception], ...] = (*own, *others)
    if not latex.strip() or re.search(r"(?<!\\)%", latex) or INVISIBLE.search(latex):
        return None
    try:
        made = convert(latex, display="block" if block else "inline")
    except refused:
        return None
    read = _Reader.text_of(made)
    if not read.harmless or "\\" in read.text or _letters(COMMAND.sub(" ", latex)) - _letters(read.text):
        return None
    return str(made)


class _Reader(HTMLParser):
    """Collects the text that a page shows, and whether its maths is of harmless elements only."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.maths = 0
        self.harmless = True

    @classmethod
    def text_of(cls, html: str) -> _Reader:
        """Read all of ``html``."""
        reader = cls()
        reader.feed(html)
        reader.close()
        return reader

    @property
    def text(self) -> str:
        """What is shown, end to end."""
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Part of HTMLParser."""
        given: Mapping[str, str | None] = dict(attrs)
        self.maths += tag == "math"
        if tag == "li" and given.get("value"):
            self.texts.append(f" {given['value']} ")
        if tag not in MATH_TAGS or set(given) - MATH_ATTRIBUTES:
            self.harmless = False
        if "width" in given and not (tag == "mspace" and SPACE.fullmatch(given["width"] or "")):
            self.harmless = False

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Part of HTMLParser."""
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        """Part of HTMLParser."""
        self.texts.append(data)


def _letters(text: str) -> Counter[str]:
    """Letters and digits, however maths or a ligature writes them."""
    return Counter(character for character in unicodedata.normalize("NFKC", text) if character.isalnum())


def _missing(source: str, shown: str) -> tuple[str, ...]:
    """The words of ``source`` that ``shown`` lacks; a count of letters where no whole word is missing."""
    missing = _letters(source) - _letters(shown)
    if not missing:
        return ()
    words = [word for word in dict.fromkeys(re.findall(r"\w+", source)) if word not in shown]
    return tuple(words) or (f"{sum(missing.values())} letters",)


RULES = {
    "text": _text,
    "code_inline": _code_inline,
    "code_block": _code_block,
    "fence": _fence,
    "link_open": _nothing,
    "link_close": _link_close,
    "image": _image,
    "list_item_open": _list_item_open,
    "th_open": _cell_open,
    "td_open": _cell_open,
    "math_inline": _math,
    "math_inline_double": _math,
    "math_block": _math,
    "math_block_eqno": _math,
}
