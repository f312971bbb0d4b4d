"""Scales with round marks, texts that fit, and nothing of a stranger's that is taken for markup."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.report.svg import Canvas, Scale, clean, fit, marks, nice, number, squeeze, theme, width_of

SVG = "{http://www.w3.org/2000/svg}"


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e6), st.integers(2, 9))
def test_marks_lie_on_the_axis_in_order_and_are_round(low, span, most):
    scale = Scale(low, low + span, 0, 100)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    assert ticks == sorted(ticks)
    assert all(-0.01 <= scale(tick) <= 100.01 for tick in ticks)
    if len(ticks) > 1:
        step = nice(span / most)
        assert f"{step:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")
        assert all(math.isclose(b - a, step, rel_tol=1e-3) for a, b in pairwise(ticks))


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e9), st.integers(3, 9))
def test_marks_of_a_logarithmic_axis_lie_on_it_and_are_two_at_least(low, factor, most):
    scale = Scale(low, low * factor, 0, 100, log=True)
    ticks = scale.ticks(most)
    assert 2 <= len(ticks) <= most
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)


def test_a_scale_of_nothing_is_refused():
    for low, high, log in ((1, 1, False), (2, 1, False), (0, 1, True)):
        with pytest.raises(ValueError, match="no scale"):
            Scale(low, high, 0, 1, log=log)


def test_numbers_have_three_digits_that_mean_something():
    assert [number(x) for x in (0, 0.0123456, 1.5, 1234567, 99.95, -2)] == [
        "0",
        "0.0123",
        "1.5",
        "1,234,567",
        "100",
        "-2",
    ]
    assert marks([0.0, 0.5, 1.0]) == ["0.0", "0.5", "1.0"]
    assert marks([0.0, 500.0, 1000.0]) == ["0", "500", "1,000"]


@given(st.text(max_size=60), st.floats(20, 200))
def test_a_text_that_is_cut_fits_and_one_that_fits_is_whole(text, pixels):
    for cut in (fit(text, pixels), squeeze(text, pixels)):
        assert width_of(cut) <= max(pixels, width_of(text[:3] + " …"))
        assert cut == text or width_of(text) > pixels


def test_a_text_of_a_stranger_is_cut_in_no_time():
    began = perf_counter()
    text = "a" * 1_000_000
    assert (fit(text, 100), squeeze(text, 100)) == ("a" * 13 + "…", "aaa …" + "a" * 9)
    assert perf_counter() - began < 5
    assert fit("", 1) == ""


@given(st.text(max_size=40))
def test_a_stranger_s_text_stays_text(text):
    canvas = Canvas(100, 50)
    canvas.text(0, 10, f"<script>{text}</script>")
    canvas.rect(0, 0, 5, 5, "blue", tip=f'"><script>{text}')
    canvas.dot(0, 0, 5, "blue", tip=text)
    root = ET.fromstring(canvas.document(f"</title><b>{text}", f"&{text}", "name", alone=True))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "text",
        "circle",
    }
    shown = next(root.iter(f"{SVG}text")).text
    assert shown.replace("\r", "\n") == f"<script>{clean(text)}</script>".replace("\r", "\n")


def test_what_xml_forbids_or_turns_a_line_around_is_replaced():
    assert clean("a\x00b\x1bc\u202ed\ud800\n\té") == "a\ufffdb\ufffdc\ufffdd\ufffd\n\té"


def test_every_colour_has_a_light_and_a_dark_value():
    style = theme()
    light, dark = style.split("@media screen and (prefers-color-scheme:dark)")
    for name in ("blue", "red", "text", "ground"):
        assert f"--{name}:" in light
        assert f"--{name}:" in dark


def contrast(one, other):
    """WCAG 2.1, contrast ratio."""

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    first, second = sorted((light(one), light(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_and_marks_can_be_seen_on_the_ground(theme):
    from tflite_edge.report.svg import COLOURS

    ground = COLOURS["ground"][theme]
    for name in ("text", "muted"):
        assert contrast(COLOURS[name][theme], ground) >= 4.5
    for name in ("blue", "red", "green", "purple"):
        assert contrast(COLOURS[name][theme], ground) >= 3.0
