"""Cells and tables: plain names, canonical parameters, hashes that mean something."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.jobs.canonical import canonical_json
from protonqa.jobs.table import Cell, Job, cell, cell_seed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_parameters_come_back_as_they_were_drawn(value):
    assert cell("a", value).parameters == value


@settings(max_examples=40)
@given(value=st.dictionaries(st.text(), JSON, min_size=2, max_size=6))
def test_hash_does_not_know_the_order_in_which_parameters_were_named(value):
    turned = dict(reversed(value.items()))
    assert cell("a", value).content_hash == cell("a", turned).content_hash


@given(value=JSON)
def test_canonical_json_is_ascii_and_a_fixed_point(value):
    text = canonical_json(value)
    assert text.isascii()
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"rows": [{"mae_mm": float("nan")}]}, "rows[0].mae_mm"),
        ({"a": {1, 2}}, "set at a"),
        ({1: "a"}, "key of type int"),
        (object(), "object at the top"),
        ([float("inf")], "[0]"),
    ],
)
def test_what_json_has_no_word_for_is_named_with_its_place(value, place):
    """json.dumps would write NaN, turn keys into text or fail with a stack trace."""
    with pytest.raises(InputError, match="not plain JSON") as caught:
        canonical_json(value)
    assert place in caught.value.got


def test_endless_nesting_is_refused():
    value: list = []
    value.append(value)
    with pytest.raises(InputError, match="RecursionError"):
        canonical_json(value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "a b",
        "CON",
        "nul.txt",
        "com1",
        "a\n",
        "ü",
        "x" * 101,
        "end.",
        "=cmd",
        "a:b",
    ],
)
def test_names_that_some_file_system_would_not_bear_are_refused(name):
    with pytest.raises(InputError, match="not plain"):
        cell(name, {})


@pytest.mark.parametrize("name", ["a", "twin-00001", "case_3.v2", "Console", "0"])
def test_plain_names_are_taken(name):
    assert cell(name, {}).cell_id == name


def test_names_that_differ_only_by_case_are_one_folder_on_some_computers():
    with pytest.raises(InputError, match="same name"):
        Job(name="job", function="m:f", cells=(cell("Case", {}), cell("case", {})))


@pytest.mark.parametrize("function", ["", "f", "m.f", "m:", ":f", "m:f()", "m;import os:f", "m:f.g", "../m:f"])
def test_function_is_a_dotted_name_and_nothing_else(function):
    with pytest.raises(InputError, match="function"):
        Job(name="job", function=function, cells=(cell("a", {}),))


def test_a_job_without_cells_is_refused():
    with pytest.raises(InputError, match="no cells"):
        Job(name="job", function="m:f", cells=())


def test_table_hash_knows_order_parameters_function_and_version():
    a, b = cell("a", {"x": 1}), cell("b", {"x": 2})
    base = Job(name="job", function="m:f", cells=(a, b), version="1")
    others = [
        Job(name="job", function="m:f", cells=(b, a), version="1"),
        Job(name="job", function="m:f", cells=(a, cell("b", {"x": 2.5})), version="1"),
        Job(name="job", function="m:g", cells=(a, b), version="1"),
        Job(name="job", function="m:f", cells=(a, b), version="2"),
    ]
    assert len({one.table_hash for one in (base, *others)}) == 5
    assert Job(name="other", function="m:f", cells=(a, b), version="1").table_hash == base.table_hash


def test_cell_seeds_depend_on_study_and_name_alone():
    """A seed drawn from the order of cells would change every result when one cell is added."""
    seeds = {cell_seed(seed, f"c{i}") for seed in range(20) for i in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert cell_seed(3, "c7") == cell_seed(3, "c7")


def test_parameters_cannot_be_changed_behind_the_back_of_the_hash():
    one = cell("a", {"x": [1]})
    one.parameters["x"].append(2)
    assert one.parameters == {"x": [1]}
    assert isinstance(one, Cell)
