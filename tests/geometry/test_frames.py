"""Where a field points in the patient, against directions derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import GeometryError, InputError
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.values import PATIENT_POSITIONS

LEFT, POSTERIOR, HEAD = np.eye(3)
ANGLE = st.floats(-360.0, 720.0, allow_nan=False)

# Someone at the foot of the table faces the gantry. Gantry 0 shines straight down, gantry 90 from that person's right
# to the left, and gantry Y points to the gantry.
#   supine, head first: down is to the back, that person's right is the patient's left;
#   decubitus right: the right side is down; head first the back is then on that person's right.
TRAVEL = {
    "HFS": (POSTERIOR, -LEFT, HEAD),
    "HFP": (-POSTERIOR, LEFT, HEAD),
    "FFS": (POSTERIOR, LEFT, -HEAD),
    "FFP": (-POSTERIOR, -LEFT, -HEAD),
    "HFDR": (-LEFT, -POSTERIOR, HEAD),
    "HFDL": (LEFT, POSTERIOR, HEAD),
    "FFDR": (-LEFT, POSTERIOR, -HEAD),
    "FFDL": (LEFT, -POSTERIOR, -HEAD),
}


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_directions_of_all_patient_positions(position):
    from_above, from_the_right, to_the_gantry = TRAVEL[position]
    down = beam_frame(position, 0.0, 0.0, (0, 0, 0))
    across = beam_frame(position, 90.0, 0.0, (0, 0, 0))
    assert down.direction.tolist() == from_above.tolist()
    assert across.direction.tolist() == from_the_right.tolist()
    assert beam_frame(position, 180.0, 0.0, (0, 0, 0)).direction.tolist() == (-from_above).tolist()
    assert beam_frame(position, 270.0, 0.0, (0, 0, 0)).direction.tolist() == (-from_the_right).tolist()
    for frame in (down, across):
        assert frame.y_axis.tolist() == to_the_gantry.tolist()
    assert down.x_axis.tolist() == (-from_the_right).tolist()
    # Gantry X of a beam from that person's right points down.
    assert across.x_axis.tolist() == from_above.tolist()


@pytest.mark.parametrize(("position", "gantry_deg"), [("HFS", 270.0), ("FFS", 90.0)])
def test_beam_from_the_right_side_of_the_patient(position, gantry_deg):
    """The check that the definitions name: right is low x, so the protons travel to growing x."""
    assert beam_frame(position, gantry_deg, 0.0, (0, 0, 0)).direction.tolist() == LEFT.tolist()


@pytest.mark.parametrize(
    ("gantry_deg", "travel"), [(0.0, POSTERIOR), (90.0, HEAD), (180.0, -POSTERIOR), (270.0, -HEAD)]
)
def test_couch_turns_counter_clockwise_seen_from_above(gantry_deg, travel):
    """HFS, couch 90: the head swings from the gantry to the left of someone who faces it, the patient's left side to
    the gantry. A beam from the right then travels from the feet to the head."""
    assert beam_frame("HFS", gantry_deg, 90.0, (0, 0, 0)).direction.tolist() == travel.tolist()


def test_y_axis_follows_the_couch():
    assert beam_frame("HFS", 0.0, 90.0, (0, 0, 0)).y_axis.tolist() == LEFT.tolist()
    assert beam_frame("FFS", 0.0, 90.0, (0, 0, 0)).y_axis.tolist() == (-LEFT).tolist()


def test_couch_in_between():
    """HFS, couch 30, gantry 90: the travel to the left of the room, seen from a couch turned by 30 degrees."""
    frame = beam_frame("HFS", 90.0, 30.0, (0, 0, 0))
    np.testing.assert_allclose(frame.direction, [-np.cos(np.pi / 6), 0.0, np.sin(np.pi / 6)], atol=1e-12)


def test_beam_limiting_device_turns_counter_clockwise_seen_from_the_source():
    """From above, HFS: X is to the patient's left, Y to the head; a quarter turn brings X to the head."""
    frame = beam_frame("HFS", 0.0, 0.0, (0, 0, 0), beam_limiting_device_deg=90.0)
    assert frame.x_axis.tolist() == HEAD.tolist()
    assert frame.y_axis.tolist() == (-LEFT).tolist()
    assert frame.direction.tolist() == POSTERIOR.tolist()


@settings(max_examples=60, deadline=None)
@given(position=st.sampled_from(PATIENT_POSITIONS), gantry=ANGLE, couch=ANGLE, device=ANGLE)
def test_axes_are_orthonormal_and_right_handed(position, gantry, couch, device):
    frame = beam_frame(position, gantry, couch, (1.0, 2.0, 3.0), beam_limiting_device_deg=device)
    axes = np.stack([frame.x_axis, frame.y_axis, -frame.direction])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(
    position=st.sampled_from(PATIENT_POSITIONS), gantry=ANGLE, couch=ANGLE, bev=st.tuples(*[st.floats(-300, 300)] * 3)
)
def test_bev_round_trip(position, gantry, couch, bev):
    frame = beam_frame(position, gantry, couch, (10.0, -20.0, 30.0))
    np.testing.assert_allclose(frame.bev_from_lps(frame.lps_from_bev(bev)), bev, atol=1e-9)
    np.testing.assert_allclose(frame.lps_from_bev(bev[:2], bev[2]), frame.lps_from_bev(bev), atol=1e-9)


def test_bev_positions_of_many_points():
    frame = beam_frame("HFS", 0.0, 0.0, (1.0, 2.0, 3.0))
    points = frame.lps_from_bev(np.zeros((4, 5, 2)), np.arange(5.0))
    assert points.shape == (4, 5, 3)
    np.testing.assert_allclose(points[0, :, 1], 2.0 + np.arange(5.0))
    assert frame.lps_from_bev((7.0, 0.0)).tolist() == [8.0, 2.0, 3.0]


@pytest.mark.parametrize("position", ["", "SUPINE", "hfs"])
def test_unknown_patient_position_is_refused(position):
    with pytest.raises(GeometryError, match="patient position"):
        beam_frame(position, 0.0, 0.0, (0, 0, 0))


def test_impossible_frames_are_refused():
    with pytest.raises(GeometryError, match="angle"):
        beam_frame("HFS", np.nan, 0.0, (0, 0, 0))
    with pytest.raises(InputError):
        beam_frame("HFS", 0.0, 0.0, (0, 0, np.nan))
    with pytest.raises(GeometryError, match="right-handed"):
        BeamFrame(isocenter_mm=np.zeros(3), x_axis=LEFT, y_axis=POSTERIOR, direction=HEAD)
    with pytest.raises(GeometryError, match="shape"):
        beam_frame("HFS", 0.0, 0.0, (0, 0, 0)).lps_from_bev(np.zeros(4))
