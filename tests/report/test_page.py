"""A page of hostile texts stays a page: no script, nothing fetched, sound HTML and Markdown."""

import re
from html.parser import HTMLParser

import pytest

from tflite_edge.report.figures.bars import Column, Row, bars
from tflite_edge.report.page import (
    Code,
    Figure,
    Items,
    Note,
    Page,
    Section,
    Table,
    Text,
    Tile,
    fenced,
    html,
    markdown,
    plain,
)

HOSTILE = '<script>alert("1")</script><img src=http://evil.test/x onerror=y> | `a` [b](http://evil.test) \x00é'
VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """The elements with their attributes, and the text; `open` is empty when every element was closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def refuse_what_a_page_must_not_have(text):
    """No script, no handler, nothing that is fetched; what links there are stay on the page. Returns what was read."""
    read = Reader(text)
    assert read.open == []
    for tag, attributes in read.elements:
        assert tag not in ("script", "iframe", "object", "embed", "form", "base", "img")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "data", "action", "xlink:href", "poster", "srcset"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"url\(|@import|javascript:", re.sub(r">[^<]*<", "><", text))
    policy = next(a["content"] for tag, a in read.elements if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.elements:
        for name in attributes.get("aria-labelledby", "").split():
            assert name in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    return read


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def page(text):
    figure = Figure("f", text, text, lambda w: bars(w, [Column(text, str)], [Row(text, (1,), tip=text)]),
                    Table([text, f"{text} "], [[text, text]], text, 0), text)  # fmt: skip
    parts = [Text(text), Items([text]), Code(text), Note(text, [text], "bad"), Table([text], [[text]], text), figure]
    return Page(
        text, text, "degraded", text, [Tile(text, text, text, text)], [Section("s", text, parts)], text, [Note(text)]
    )


def test_a_stranger_s_text_is_text_everywhere():
    read = refuse_what_a_page_must_not_have(html(page(HOSTILE)))
    assert read.text.count('<script>alert("1")</script>') > 20
    assert "\x00" not in read.text
    assert "�é" in read.text


@pytest.mark.parametrize("text", ["", "]]>", "</style>", "{{ 7 * 7 }}{% raw %}", "数字 🙂 عربى", "--\n# head\n- item"])
def test_odd_texts_break_nothing(text):
    read = refuse_what_a_page_must_not_have(html(page(text)))
    assert "49" not in read.text
    assert "\n# " not in without_code(markdown(page(text))).partition("\n")[2]


def test_it_is_for_phones_paper_and_both_themes():
    text = html(page("x"))
    read = Reader(text)
    assert any(a.get("name") == "viewport" and "width=device-width" in a["content"] for _, a in read.elements)
    assert "@media print" in text
    assert "prefers-color-scheme:dark" in text
    assert [a["class"] for tag, a in read.elements if tag == "div" and a.get("class") in ("wide", "narrow")] == [
        "wide",
        "narrow",
    ]
    headings = [tag for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1", "h2"]


def test_a_section_without_parts_is_left_out():
    empty = Page("a", "b", "ok", "c", [], [Section("s", "nothing here", [])])
    assert "nothing here" not in html(empty)
    assert "nothing here" not in markdown(empty)


def test_markdown_shows_texts_as_they_are():
    text = markdown(page(HOSTILE))
    outside = without_code(text)
    assert not re.search(r"(?<!\\)<", outside)
    assert "](" not in re.sub(r"\\.", "", outside)
    for line in outside.splitlines():
        if line.startswith("|"):
            assert line.count("|") - line.count("\\|") in (2, 3, 4)
    assert plain("a\n\n| b") == "a \\| b"


def test_no_line_of_code_ends_its_block():
    text = fenced("a\n````\nb", "sh")
    assert text.splitlines()[0] == "`````sh"
    assert text.splitlines()[-1] == "`````"
