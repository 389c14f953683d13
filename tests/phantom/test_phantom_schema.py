"""The phantom YAML: what is read, and that every mistake names its line and the nearest right word."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.phantom.schema import MAX_VOXELS, Box, Cylinder, Ellipsoid, parse_definition
from protonqa.yaml_lines import MAX_BYTES

SLAB = """name: slab
size_mm: [100, 100, 300]
spacing_mm: [1, 1, 1]
background: {material: water}
shapes:
  - {kind: box,       hu: 1000, center_mm: [0, 0, 50], size_mm: [100, 100, 20]}
  - {kind: ellipsoid, hu: 40,   center_mm: [10, 0, 80], radii_mm: [30, 20, 40]}
  - {kind: cylinder,  hu: -740, center_mm: [0, 0, 90], radius_mm: 15, length_mm: 60, axis: z}
"""


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_definition(text)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_the_published_example_is_read_as_written() -> None:
    phantom = parse_definition(SLAB)
    assert phantom.name == "slab"
    assert phantom.size_mm == (100, 100, 300)
    assert phantom.background.material == "water"
    box, ellipsoid, cylinder = phantom.shapes
    assert isinstance(box, Box)
    assert box.hu == 1000
    assert isinstance(ellipsoid, Ellipsoid)
    assert ellipsoid.radii_mm == (30, 20, 40)
    assert isinstance(cylinder, Cylinder)
    assert (cylinder.radius_mm, cylinder.length_mm, cylinder.axis) == (15, 60, "z")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("radii_mm", "radi_mm", ["unknown key 'radi_mm'", "line 7", "did you mean 'radii_mm'?"]),
        ("size_mm: [100, 100, 300]", "sise_mm: [100, 100, 300]", ["'sise_mm'", "line 2", "did you mean 'size_mm'?"]),
        ("{material: water}", "{materail: water}", ["'materail'", "line 4", "did you mean 'material'?"]),
        ("axis: z", "axes: z", ["'axes'", "line 8", "did you mean 'axis'?"]),
        ("kind: box,", "kind: bix,", ["unknown kind 'bix'", "line 6", "did you mean 'box'?"]),
        ("material: water", "material: watre", ["unknown material", "'watre'", "line 4", "did you mean 'water'?"]),
        ("kind: box,", "", ["'kind' is missing", "line 6"]),
        ("radius_mm: 15, ", "", ["'radius_mm' is missing", "line 8"]),
        ("name: slab\n", "", ["'name' is missing"]),
        ("hu: 40,", "hu: 40, material: water,", ["hu or material", "both", "line 7"]),
        ("hu: 40,", "", ["hu or material", "neither", "line 7"]),
        ("{material: water}", "{tissue: water}", ["hu or material", "neither", "line 4"]),
        ("radius_mm: 15", "radius_mm: -15", ["radius_mm", "-15", "line 8", "greater than 0"]),
        ("radius_mm: 15", "radius_mm: 0", ["radius_mm", "line 8", "greater than 0"]),
        ("radius_mm: 15", "radius_mm: .nan", ["radius_mm", "nan", "line 8", "finite"]),
        ("radius_mm: 15", "radius_mm: -.inf", ["radius_mm", "inf", "line 8"]),
        ("radius_mm: 15", "radius_mm: 1e400", ["radius_mm", "inf", "line 8"]),
        ("radius_mm: 15", "radius_mm: true", ["radius_mm", "True", "line 8", "number"]),
        ("radius_mm: 15", "radius_mm: '15'", ["radius_mm", "'15'", "line 8", "number"]),
        ("radius_mm: 15", "radius_mm: 15 mm", ["radius_mm", "'15 mm'", "line 8", "number"]),
        ("hu: 1000", "hu: 5000", ["hu", "5000", "line 6"]),
        ("axis: z", "axis: w", ["axis", "'w'", "line 8"]),
        ("radii_mm: [30, 20, 40]", "radii_mm: [30, 20]", ["radii_mm", "line 7", "more numbers"]),
        ("radii_mm: [30, 20, 40]", "radii_mm: [1, 2, 3, 4]", ["radii_mm", "line 7"]),
        ("spacing_mm: [1, 1, 1]", "spacing_mm: [0, 1, 1]", ["spacing_mm", "line 3", "greater than 0"]),
        ("100, 300]", "100.5, 300]", ["whole number of voxels along y", "100.5 mm", "line 3", "100 or 101 mm"]),
        ("spacing_mm: [1, 1, 1]", "spacing_mm: [0.1, 0.1, 0.1]", ["3e+09 voxels (24.0 GB)", "1e+08 (0.8 GB)"]),
        ("spacing_mm: [1, 1, 1]", "spacing_mm: [1, 1, 1e-300]", ["too many voxels", "line 3"]),
        ("axis: z", "axis: z, within: [watr]", ["'watr' is not painted before", "line 8", "did you mean 'water'?"]),
        ("name: slab", "name: ../../etc", ["name", "line 1"]),
        ("shapes:", "shapes: 3\nshape:", ["unknown key 'shape'", "line 6", "and 1 more"]),
        ("name: slab", "name: slab\nname: other", ["not valid YAML in line 2", "duplicate"]),
        ("radius_mm: 15", "radius_mm: [", ["not valid YAML in line 8"]),
        ("radius_mm: 15", "radius_mm: !!python/object/apply:os.system [x]", ["uses a tag in line 8"]),
        ("name: slab", "name: !slab x", ["uses a tag in line 1"]),
        ("name: slab", "name: &a slab\ndescription: *a", ["uses an alias or merge key in line 2"]),
        ("name: slab", "<<: {name: slab}", ["uses an alias or merge key in line 1"]),
        ("name: slab", "name: slab\n---\nname: slab", ["second document in line 2"]),
        ("name: slab", "1: 2\nname: slab", ["unknown key '1'", "line 1"]),
        ("name: slab", "name: \x00", ["not valid YAML"]),
    ],
)
def test_a_mistake_names_its_line_and_its_remedy(old: str, new: str, words: list[str]) -> None:
    assert old in SLAB
    line = message(SLAB.replace(old, new, 1))
    for word in words:
        assert word in line


@pytest.mark.parametrize("text", ["", "42", "- 1\n- 2", "just words"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    assert "holds no keys" in message(text)


def test_bombs_are_refused_before_they_grow() -> None:
    laughs = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*{p}, *{p}]\n" for p, k in zip("abcdefg", "bcdefgh", strict=True))
    assert "alias" in message(laughs)
    assert "nested too deeply" in message("[" * 5000)
    assert "too large" in message("# " + "x" * MAX_BYTES)
    assert "too many values" in message("[" + "0," * 60_000 + "]")


def test_a_shape_before_the_background_ends_in_no_silent_default() -> None:
    arc = (
        "  - {kind: arc, hu: 1, center_mm: [0, 0, 9], radii_mm: [9, 9], tube_mm: [2, 2], start_deg: 90, stop_deg: 80}\n"
    )
    assert "does not run forward (line 9)" in message(SLAB + arc)


def test_the_voxel_limit_is_a_limit_and_not_a_guess() -> None:
    side = round(MAX_VOXELS ** (1 / 3))
    text = SLAB.split("shapes:")[0]
    assert parse_definition(text.replace("[100, 100, 300]", f"[{side}, {side}, {side}]"))
    assert "too many voxels" in message(text.replace("[100, 100, 300]", f"[{side + 1}, {side + 1}, {side + 1}]"))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_no_text_raises_anything_but_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_definition(text)


number = st.floats(-50, 50).map(lambda v: round(v, 3))
length = st.floats(0.01, 90).map(lambda v: round(v, 3))
fill = st.one_of(
    st.fixed_dictionaries({"hu": st.integers(-1000, 2000)}),
    st.fixed_dictionaries({"material": st.sampled_from(["water", "pmma", "bone", "air"])}),
)
center = st.tuples(number, number, number)
shape = st.one_of(
    st.fixed_dictionaries({"kind": st.just("box"), "center_mm": center, "size_mm": st.tuples(length, length, length)}),
    st.fixed_dictionaries(
        {"kind": st.just("ellipsoid"), "center_mm": center, "radii_mm": st.tuples(length, length, length)}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("cylinder"),
            "center_mm": center,
            "radius_mm": length,
            "length_mm": length,
            "axis": st.sampled_from("xyz"),
        }
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 30)] * 3),
    st.sampled_from([0.5, 1.0, 2.5]),
    fill,
    st.lists(st.tuples(shape, fill).map(lambda pair: {**pair[0], **pair[1]}), max_size=5),
)
def test_every_valid_definition_survives_text(counts, spacing, background, shapes) -> None:  # type: ignore[no-untyped-def]
    document = {
        "name": "any",
        "size_mm": [n * spacing for n in counts],
        "spacing_mm": [spacing] * 3,
        "background": background,
        "shapes": shapes,
    }
    phantom = parse_definition(json.dumps(document))
    again = parse_definition(phantom.model_dump_json(exclude_none=True))
    assert again == phantom
    assert [s.kind for s in phantom.shapes] == [s["kind"] for s in shapes]
