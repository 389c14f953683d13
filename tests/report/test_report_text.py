"""Texts and numbers as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protonqa.report.fonts import covered, drawable, font_runs
from protonqa.report.text import clean, patient_date, patient_name, visual_order, withheld
from protonqa.report.wording import number
from protonqa.values import Measurement, State


@given(st.text(max_size=200))
def test_any_text_becomes_one_printable_line(text):
    line = clean(text, limit=50)
    assert len(line) <= 50
    assert line == line.strip()
    assert all(one.isprintable() or one == "\u00a0" for one in line)
    line.encode("utf-8")


@given(st.text(max_size=60))
def test_visual_order_loses_no_letter(text):
    line = clean(text)
    assert len(visual_order(line)) == len(line)


def test_hebrew_runs_are_reversed_and_numbers_are_not():
    assert visual_order("abc אבג def") == "abc גבא def"
    assert visual_order("אבג 123 דה") == "הד 123 גבא"
    assert visual_order("כהן (משה) x") == "(השמ) ןהכ x"


def test_arabic_letters_join():
    """mim-ha-mim-dal: initial, medial, medial, final forms, last letter first."""
    assert visual_order("محمد") == "\ufeaa\ufee4\ufea4\ufee3"
    # reh does not join forward: the letter after it begins anew.
    assert visual_order("رب") == "\ufe8f\ufead"


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("DOE^JANE", "DOE, JANE"),
        ("DOE^JANE^ANN^DR^MD", "DOE, JANE ANN, DR MD"),
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou / 山田, 太郎"),
        ("^^^", ""),
        ("", ""),
        ("DOE", "DOE"),
    ],
)
def test_person_names(name, printed):
    assert patient_name(name) == printed


def test_dates():
    assert patient_date("19600229") == "1960-02-29"
    assert patient_date("unknown") == "unknown"


def test_withheld_texts_go_whatever_their_case_and_words_stay():
    assert (
        withheld("Doe and DOE_liver but not endoectomy", ["doe"])
        == "[withheld] and [withheld]_liver but not endoectomy"
    )
    assert withheld("id px-004711x", ["PX-004711"]) == "id [withheld]x"
    assert withheld("nothing", ["", "  "]) == "nothing"


def test_every_character_gets_a_font_or_a_replacement():
    assert font_runs("abc Ω") == [("", "abc Ω")]
    assert font_runs("山a") == [("STSong-Light", "山"), ("", "a")]
    assert font_runs("かな山") == [("HeiseiKakuGo-W5", "かな山")]
    assert font_runs("한") == [("HYGothic-Medium", "한")]
    assert font_runs("\U0001f9ea") == [("", "\ufffd")]
    assert drawable("a山") == "a\ufffd"
    assert all(ord(sign) in covered() for sign in "✓✗?!☐−±°–…\ufffd")


@pytest.mark.parametrize(
    ("value", "options", "printed"),
    [
        (None, {}, "–"),
        (True, {}, "yes"),
        (3, {}, "3"),
        (3.0, {}, "3"),
        (-0.416, {"unit": "mm"}, "−0.42"),
        (0.38, {"unit": "mm", "signed": True}, "+0.38"),
        (-0.0001, {"unit": "mm", "signed": True}, "0.00"),
        (1234.5678, {}, "1235"),
        (1e-7, {}, "1e−07"),
        ("text", {}, "text"),
    ],
)
def test_numbers(value, options, printed):
    assert number(value, **options) == printed


def test_states_and_severities_have_colours_that_white_text_can_be_read_on():
    from protonqa.report.style import SEVERITY_COLOUR, STATE_COLOUR, STATE_SIGN

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert set(STATE_COLOUR) == set(STATE_SIGN) == set(State)
    for colour in (*STATE_COLOUR.values(), *SEVERITY_COLOUR.values()):
        # WCAG 2.1: contrast of at least 4.5 to 1.
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_a_shift_is_signed_and_its_spread_is_not():
    from protonqa.report.wording import with_unit

    assert with_unit(Measurement(name="mean_shift", value=1.0, unit="mm")) == "+1.00\u00a0mm"
    assert with_unit(Measurement(name="shift_sd", value=1.0, unit="mm")) == "1.00\u00a0mm"
