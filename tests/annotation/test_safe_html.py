"""Rendered responses: nothing in them runs, loads or leads away, and what is not shown is said."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.annotation.safe_html import LONGEST, MATH_ATTRIBUTES, MATH_TAGS, TAGS, mathml, plain, render
from tests.annotation.attacks import ALL, MARKDOWN, MATHS, RAW_HTML, UNICODE

HARMLESS = {"class", "start", "value", *MATH_ATTRIBUTES}


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def check_harmless(html: str) -> Page:
    page = Page(html)
    assert set(page.tags) <= TAGS | MATH_TAGS
    assert {name for name, _ in page.attributes} <= HARMLESS
    assert not any("script:" in (value or "") or "//" in (value or "") for _, value in page.attributes)
    return page


@pytest.mark.parametrize("text", ALL)
def test_an_attack_is_shown_and_does_nothing(text: str) -> None:
    check_harmless(render(text).html)
    check_harmless(plain(text))


@pytest.mark.parametrize("text", [text for text in RAW_HTML if "\0" not in text and "\n" not in text])
def test_raw_html_is_text_to_the_letter(text: str) -> None:
    # Markdown's own signs (a code span's backticks) are the only thing that may go.
    assert Page(render(text).html).text.strip() == text.strip("`").strip()


@pytest.mark.parametrize("text", [*MATHS, *MARKDOWN])
def test_no_word_is_hidden_in_silence(text: str) -> None:
    found = render(text)
    shown = Page(found.html).text
    for word in ("hidden", "words", "buried", "lost", "pwned", "attack"):
        if word in text:
            assert word in shown or word in found.removed


def test_what_cannot_be_shown_is_said() -> None:
    assert render("| a | b |\n|---|---|\n| 1 | 2 | lost |").removed == ("lost",)
    assert "buried" in render("> " * 40 + "buried").removed
    assert render("# T\n\n- [x] a `b` **c** [d](e) ![f](g) ~~h~~\n\n1. i\n7. j\n\n```k\nl\n```\n\n$m^2$").removed == ()


@pytest.mark.parametrize("text", UNICODE)
def test_characters_that_show_nothing_are_named(text: str) -> None:
    for character in text:
        if ord(character) > 0x7E and not character.isalnum() and character not in " .":
            assert f"U+{ord(character):04X}" in Page(render(text).html).text
            assert f"U+{ord(character):04X}" in Page(plain(text)).text
    assert not any(character in render(text).html for character in "\u202e\u200b\ufeff\x07\u3164")


def test_joiners_stay_where_scripts_and_emoji_need_them() -> None:
    assert "U+" not in render("👩\u200d💻 and می\u200cخواهم").html
    assert "U+200D" in render("pass\u200dword").html


def test_numbers_of_lists_are_those_that_were_written() -> None:
    page = Page(render("3. a\n3. b\n9. c").html)
    assert [value for name, value in page.attributes if name == "value"] == ["3", "3", "9"]


@pytest.mark.parametrize("text", ["It costs $5 and $6.", "US$5 and US$6", "$5-$6", "a $ b $ c"])
def test_prices_are_no_maths(text: str) -> None:
    assert "<math" not in render(text).html
    assert Page(render(text).html).text.strip() == text


@pytest.mark.parametrize("text", ["$x^2$", "$x^2$ costs $5", r"\(\frac{a}{b}\)", "$$\na=b\n$$", "\\[\na < b\n\\]"])
def test_maths_is_maths(text: str) -> None:
    assert render(text).html.count("<math") == 1
    assert render(text).removed == ()


def test_maths_that_hides_something_is_shown_as_it_was_written() -> None:
    assert mathml(r"\phantom{x}") is None
    assert mathml(r"x % y") is None
    assert mathml(r"\begin{matrix} a") is None
    assert mathml(r"\mathbb{R}^n") is not None
    assert r"\phantom{x}" in Page(render(r"$\phantom{x}$").html).text


def test_code_keeps_every_character() -> None:
    code = "\n\n  def f(x):\n\treturn '<b>' & x\n\n\n"
    page = Page(render(f"```python\n{code}```").html)
    assert page.text == f"python{code}\n"
    assert "language" in dict(page.attributes).values() or ("class", "language") in page.attributes


def test_a_text_too_long_to_be_read_is_shown_as_it_is() -> None:
    text = "*a*\n" * (LONGEST // 4 + 1)
    assert Page(render(text).html).text.rstrip("\n") == text.rstrip("\n")


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1 \n*_`#>-|$\\[](){}<>!&;:~\"'\t^/=."), max_size=60))
def test_whatever_is_written_is_harmless_and_no_letter_is_lost_in_silence(text: str) -> None:
    found = render(text)
    page = check_harmless(found.html)
    listed = "".join(value or "" for name, value in page.attributes if name == "value")
    for letter in "ab1":
        if text.count(letter) > (page.text + listed).count(letter):
            assert found.removed
