"""Rays: entry, profiles and water-equivalent depth against closed forms and a brute-force oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import GeometryError, InputError
from protonqa.geometry.frames import beam_frame
from protonqa.geometry.paths import voxel_paths
from protonqa.geometry.rays import (
    RaySet,
    cast_rays,
    cast_rays_at,
    depth_profiles,
    lateral_lattice,
    path_integral,
    sample_along,
    upstream_wepl_mm,
    wepl_mm,
    wepl_to_depth_mm,
)
from protonqa.values import PATIENT_POSITIONS, Grid, Volume

# LPS directions of the room's right, gantry and up for someone who faces the gantry, derived by hand.
ROOM_AXES = {
    "HFS": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "HFP": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "FFS": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "FFP": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "HFDR": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "HFDL": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "FFDR": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "FFDL": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
}
SHAPE = (20, 26, 32)
SPACING_MM = (2.0, 1.5, 3.0)


def random_object(seed=3):
    """RSP in the room: an ellipsoid of random voxels in air, and a plate below it that is not body."""
    z, y, x = np.indices(SHAPE)
    inside = ((z - 10) / 7.5) ** 2 + ((y - 13) / 9.5) ** 2 + ((x - 16) / 12.5) ** 2 < 1
    rsp = np.where(inside, np.random.default_rng(seed).uniform(0.3, 1.6, SHAPE), 0.001)
    rsp[0] = 0.4
    return rsp, inside


def in_patient(rsp, position):
    """The same object in the room, as the CT of someone who lies like this. Array axes are room X, Y, Z."""
    direction = np.array(ROOM_AXES[position], dtype=float).T
    size = np.array(SPACING_MM) * (np.array(SHAPE[::-1]) - 1)
    grid = Grid(shape=SHAPE, spacing_mm=SPACING_MM, origin_mm=tuple(direction @ (-size / 2)), direction=direction)
    return Volume(grid=grid, array=rsp, unit="RSP")


def box(center_mm, half_mm, shape=(60, 60, 60), spacing_mm=1.0):
    """A volume around the origin whose voxels are 1 inside a box, 0 outside."""
    grid = Grid(
        shape=shape, spacing_mm=(spacing_mm,) * 3, origin_mm=tuple(-0.5 * spacing_mm * (n - 1) for n in shape[::-1])
    )
    z, y, x = np.indices(shape)
    at = grid.world_from_index(np.stack([x, y, z], axis=-1))
    inside = (np.abs(at - center_mm) < half_mm).all(axis=-1)
    return Volume(grid=grid, array=inside, unit="RSP"), inside


def slab_limits(point, direction, center_mm, half_mm):
    """Ways at which a line enters and leaves an axis-parallel box: the textbook slab method."""
    with np.errstate(divide="ignore"):
        ends = (np.stack([center_mm - half_mm, center_mm + half_mm]) - point) / direction
    return np.min(ends, axis=0).max(), np.max(ends, axis=0).min()


class TestEntry:
    @settings(max_examples=25, deadline=None)
    @given(gantry=st.floats(0, 360), couch=st.floats(-90, 90), sad=st.sampled_from([None, 300.0, (300.0, 250.0)]))
    def test_box_is_entered_where_the_closed_form_says(self, gantry, couch, sad):
        """Oblique rays, parallel or diverging: entry, exit, path and water-equivalent path of a box are exact."""
        center, half = np.array([2.0, -3.0, 1.0]), np.array([12.0, 9.0, 15.0])
        volume, inside = box(center, half)
        frame = beam_frame("HFS", gantry, couch, (1.0, 0.5, -0.5))
        rays = cast_rays(inside, volume.grid, frame, [-5.03, 0.07, 4.01], [-4.02, 3.03], sad_mm=sad)
        assert rays.valid.all()
        assert rays.shape == (2, 3)
        rsp = depth_profiles(volume.with_array(1.3 * volume.array), rays, 60, sampling="voxel")
        for i in range(rays.n_ray):
            low, high = slab_limits(rays.plane_point_mm[i], rays.direction[i], center, half)
            assert rays.entry_mm[i] == pytest.approx(low, abs=1e-6)
            assert rays.body_depth_mm[i] == pytest.approx(high - low, abs=1e-6)
            assert wepl_mm(rsp)[i, -1] == pytest.approx(1.3 * (high - low), rel=1e-5)

    def test_ball_is_entered_within_a_voxel(self):
        """The mask is voxels: depth 0 is the face of the first of them, within a voxel of the true surface."""
        grid = Grid(shape=(80, 80, 80), spacing_mm=(0.8, 0.8, 0.8), origin_mm=(-31.6, -31.6, -31.6))
        z, y, x = np.indices(grid.shape)
        at = grid.world_from_index(np.stack([x, y, z], axis=-1))
        ball = (at**2).sum(axis=-1) < 25.0**2
        frame = beam_frame("FFS", 33.0, 20.0, (0, 0, 0))
        rays = cast_rays(ball, grid, frame, *lateral_lattice((-20, 20), (-20, 20), 2.7))
        beside = np.hypot(*rays.lateral_mm.T)
        assert rays.valid[beside < 24.0].all()
        assert not rays.valid[beside > 25.0].any()
        gap = np.linalg.norm(rays.start_mm[rays.valid], axis=1) - 25.0
        assert np.abs(gap).max() < 0.5 * 0.8 * np.sqrt(3.0)
        assert abs(gap.mean()) < 0.25

    def test_first_body_voxel_counts_and_not_what_lies_before_it(self):
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        couch = volume.array.copy()
        couch[:, 55, :] = 1.0
        frame = beam_frame("HFS", 180.0, 0.0, (0, 0, 0))
        rays = cast_rays(inside, volume.grid, frame, [0.2], [0.3])
        assert rays.start_mm[0, 1] == pytest.approx(10.0, abs=1e-9)
        assert upstream_wepl_mm(volume.with_array(0.8 * couch), rays)[0] == pytest.approx(0.8, rel=1e-6)

    def test_rays_beside_the_body_are_marked(self):
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        rays = cast_rays(inside, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [-20.1, 0.1, 200.0], [0.2])
        assert rays.valid.tolist() == [False, True, False]
        assert rays.body_depth_mm.tolist() == [0.0, 20.0, 0.0]
        assert (depth_profiles(volume, rays, 10)[[0, 2]] == 0.0).all()
        assert upstream_wepl_mm(volume, rays).tolist() == [0.0, 0.0, 0.0]

    def test_air_inside_the_body_does_not_end_it(self):
        """A body that a ray leaves and enters again: depth 0 is the first entry, the exit is the last."""
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        hollow = inside.copy()
        hollow[:, 25:35, :] = False
        rays = cast_rays(hollow, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [0.2], [0.3])
        assert rays.body_depth_mm[0] == pytest.approx(20.0)

    def test_body_at_the_edge_of_the_grid_begins_there(self):
        volume, inside = box(np.zeros(3), np.full(3, 100.0))
        rays = cast_rays(inside, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [0.2], [0.3])
        assert rays.start_mm[0].tolist() == pytest.approx([0.2, -30.0, 0.3])
        assert upstream_wepl_mm(volume, rays)[0] == pytest.approx(0.0, abs=1e-9)

    def test_diverging_rays_meet_in_the_virtual_sources(self):
        """Fan seen along y from the one source, along x from the other."""
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        frame = beam_frame("HFS", 20.0, 10.0, (0, 0, 0))
        rays = cast_rays(inside, volume.grid, frame, [-6.0, 0.0, 6.0], [-3.0, 3.0], sad_mm=(200.0, 150.0))
        for along, axis in ((-200.0, 0), (-150.0, 1)):
            way = along / (rays.direction @ frame.direction)
            points = rays.plane_point_mm + way[:, None] * rays.direction
            np.testing.assert_allclose(frame.bev_from_lps(points)[:, axis], 0.0, atol=1e-9)

    def test_source_inside_the_body_is_refused(self):
        volume, inside = box(np.zeros(3), np.array([25.0, 25.0, 25.0]))
        frame = beam_frame("HFS", 0.0, 0.0, (0, 0, 0))
        with pytest.raises(GeometryError, match="source"):
            cast_rays(inside, volume.grid, frame, [0.0], [0.0], sad_mm=20.0)
        for sad in (0.0, -5.0, np.inf):
            with pytest.raises(GeometryError, match="source"):
                cast_rays(inside, volume.grid, frame, [0.0], [0.0], sad_mm=sad)

    def test_mask_of_another_grid_is_refused(self):
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        with pytest.raises(GeometryError, match="mask"):
            cast_rays(inside[1:], volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [0.0], [0.0])
        with pytest.raises(GeometryError, match="shape"):
            cast_rays_at(inside, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [0.0, 1.0])


class TestPatientPositions:
    @settings(max_examples=12, deadline=None)
    @given(gantry=st.floats(0, 360), couch=st.floats(-90, 90), sad=st.sampled_from([None, (400.0, 350.0)]))
    def test_the_same_object_gives_the_same_wepl_however_the_patient_lies(self, gantry, couch, sad):
        """Two rotations must cancel: that of the CT into the patient and that of the beam."""
        rsp, inside = random_object()
        found = []
        for position in PATIENT_POSITIONS:
            volume = in_patient(rsp, position)
            frame = beam_frame(position, gantry, couch, (0, 0, 0))
            rays = cast_rays(inside, volume.grid, frame, [-5.013, 0.011, 5.017], [-4.019, 4.023], sad_mm=sad)
            profile = depth_profiles(volume, rays, 50, sampling="voxel")
            smooth = depth_profiles(volume, rays, 50, cross_section_mm=3.0, lattice=2)
            found.append((rays.entry_mm, wepl_mm(profile, upstream_mm=upstream_wepl_mm(volume, rays)), smooth))
        for other in found[1:]:
            for have, want in zip(other, found[0], strict=True):
                np.testing.assert_allclose(have, want, atol=1e-5)

    @pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
    def test_flipped_grids_describe_the_same_object(self, flips):
        """Left-handed grids: an array stored backwards with its axis turned is the same patient."""
        rsp, inside = random_object()
        volume = in_patient(rsp, "HFS")
        direction, corner = volume.grid.direction.copy(), np.zeros(3)
        for axis in flips:
            direction[:, 2 - axis] *= -1
            corner[2 - axis] = SHAPE[axis] - 1
        grid = Grid(
            shape=SHAPE,
            spacing_mm=SPACING_MM,
            origin_mm=tuple(volume.grid.world_from_index(corner)),
            direction=direction,
        )
        turned = Volume(grid=grid, array=np.flip(rsp, flips), unit="RSP")
        frame = beam_frame("HFS", 52.0, 17.0, (0.013, 0.017, 0.019))
        found = []
        for one, mask in ((volume, inside), (turned, np.flip(inside, flips))):
            rays = cast_rays(mask, one.grid, frame, [-5.0, 1.0, 5.0], [-4.0, 4.0], sad_mm=500.0)
            profile = depth_profiles(one, rays, 50, sampling="voxel")
            found.append((rays.entry_mm, rays.exit_mm, profile, upstream_wepl_mm(one, rays)))
        for have, want in zip(*found, strict=True):
            np.testing.assert_allclose(have, want, atol=1e-5)


class TestPaths:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_path_integral_against_tiny_steps(self, seed):
        """Oracle: the mean of the voxel values at 40,000 points of the line."""
        rng = np.random.default_rng(seed)
        rsp, _ = random_object(seed)
        volume = in_patient(rsp, PATIENT_POSITIONS[seed % 8])
        start, end = rng.uniform(-45.0, 45.0, (2, 3))
        share = (np.arange(40_000) + 0.5) / 40_000
        index = np.floor(volume.grid.index_from_world(start + share[:, None] * (end - start)) + 0.5).astype(int)
        inside = ((index >= 0) & (index < np.array(SHAPE[::-1]))).all(axis=1)
        x, y, z = np.where(inside[:, None], index, 0).T
        values = np.where(inside, rsp[z, y, x], 0.25)
        oracle = values.mean() * np.linalg.norm(end - start)
        assert path_integral(volume, start, end, outside=0.25)[0] == pytest.approx(oracle, rel=2e-3, abs=2e-3)

    def test_axis_parallel_line_counts_each_voxel_once(self):
        rsp, _ = random_object()
        volume = in_patient(rsp, "HFS")
        paths = voxel_paths(
            volume.grid, volume.grid.world_from_index([[3.0, 4.0, 5.0]]), volume.grid.direction[:, :1].T
        )
        kept = paths.length_mm[0] > 0
        np.testing.assert_allclose(paths.length_mm[0, kept], SPACING_MM[0])
        assert paths.voxel[0, kept].tolist() == [(5 * SHAPE[1] + 4) * SHAPE[2] + x for x in range(SHAPE[2])]

    def test_line_in_a_face_counts_one_side_only(self):
        volume, _ = box(np.zeros(3), np.full(3, 100.0))
        line = path_integral(volume, [[-40.0, 0.0, 0.0]], [[40.0, 0.0, 0.0]])
        assert line[0] == pytest.approx(60.0)
        edge = path_integral(volume, [[-40.0, 30.0, 0.3], [-40.0, -30.0, 0.3]], [[40.0, 30.0, 0.3], [40.0, -30.0, 0.3]])
        np.testing.assert_allclose(edge, [0.0, 60.0])

    def test_line_of_no_length_and_line_beside(self):
        volume, _ = box(np.zeros(3), np.full(3, 100.0))
        found = path_integral(volume, np.zeros((2, 3)), [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
        np.testing.assert_allclose(found, [0.0, 10.0])
        assert path_integral(volume, [[-40.0, 50.0, 0.0]], [[40.0, 50.0, 0.0]], outside=2.0)[0] == pytest.approx(160.0)


class TestProfiles:
    def rays(self, gantry=35.0, sad=None):
        volume, inside = box(np.zeros(3), np.array([14.0, 14.0, 14.0]))
        frame = beam_frame("HFS", gantry, 10.0, (0, 0, 0))
        return volume, cast_rays(inside, volume.grid, frame, [-4.0, 0.1, 4.0], [-3.0, 3.1], sad_mm=sad)

    @pytest.mark.parametrize("cross_section_mm", [0.0, 4.0])
    @pytest.mark.parametrize("substeps", [1, 4])
    def test_linear_field_is_met_at_bin_centres(self, cross_section_mm, substeps):
        """Means over a bin and over a cross section of a linear field are its value on the axis."""
        volume, rays = self.rays(sad=500.0)
        z, y, x = np.indices(volume.grid.shape)
        at = volume.grid.world_from_index(np.stack([x, y, z], axis=-1))
        slope = np.array([0.02, -0.03, 0.05])
        field = volume.with_array(3.0 + at @ slope)
        profile = depth_profiles(field, rays, 20, bin_mm=1.0, substeps=substeps, cross_section_mm=cross_section_mm)
        centres = rays.position_mm(np.arange(20) + 0.5)
        np.testing.assert_allclose(profile, 3.0 + centres @ slope, atol=1e-4)
        np.testing.assert_allclose(sample_along(field, rays, np.arange(20) + 0.5), 3.0 + centres @ slope, atol=1e-4)

    def test_voxel_means_add_up_to_the_path_integral(self):
        rsp, inside = random_object()
        volume = in_patient(rsp, "FFP")
        rays = cast_rays(
            inside, volume.grid, beam_frame("FFP", 71.0, 5.0, (0, 0, 0)), [-3.0, 0.0, 3.0], [0.5], sad_mm=600.0
        )
        for bin_mm, n_depth in ((1.0, 40), (0.25, 160)):
            profile = depth_profiles(volume, rays, n_depth, bin_mm=bin_mm, sampling="voxel")
            whole = path_integral(volume, rays.start_mm, rays.position_mm([40.0])[:, 0])
            np.testing.assert_allclose(profile.sum(axis=1) * bin_mm, whole, rtol=1e-6)

    def test_upstream_and_inside_add_up_to_the_whole_line(self):
        rsp, inside = random_object()
        volume = in_patient(rsp, "HFDL")
        rays = cast_rays(inside, volume.grid, beam_frame("HFDL", 160.0, 0.0, (0, 0, 0)), [-3.0, 0.0, 3.0], [0.5])
        upstream = upstream_wepl_mm(volume, rays)
        assert (upstream > 0.4 * SPACING_MM[2]).all()
        inner = path_integral(volume, rays.start_mm, rays.position_mm([500.0])[:, 0])
        whole = path_integral(volume, rays.position_mm([-500.0])[:, 0], rays.position_mm([500.0])[:, 0])
        np.testing.assert_allclose(upstream + inner, whole, rtol=1e-6)

    def test_cross_section_averages_over_a_square(self):
        """Half of a 4 mm square beside an edge: the mean is one half, on a line it is 0 or 1."""
        volume, inside = box(np.zeros(3), np.array([14.0, 14.0, 14.0]))
        half = volume.with_array(np.where(np.arange(60) >= 30, 1.0, 0.0) * np.ones((60, 60, 60)))
        rays = cast_rays(inside, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [0.0], [0.3])
        wide = depth_profiles(half, rays, 10, sampling="voxel", cross_section_mm=4.0, lattice=4)
        np.testing.assert_allclose(wide, 0.5, atol=1e-6)
        off = cast_rays(inside, volume.grid, beam_frame("HFS", 0.0, 0.0, (0, 0, 0)), [-0.5, 0.5], [0.3])
        np.testing.assert_allclose(depth_profiles(half, off, 10, sampling="voxel")[:, 0], [0.0, 1.0], atol=1e-6)

    def test_beyond_the_volume_the_outside_value_holds(self):
        volume, rays = self.rays(gantry=0.0)
        for sampling in ("linear", "voxel"):
            profile = depth_profiles(volume, rays, 80, sampling=sampling, outside=-3.0)
            np.testing.assert_allclose(profile[:, 60:], -3.0)

    @pytest.mark.parametrize(
        "wrong", [{"n_depth": 0}, {"bin_mm": 0.0}, {"substeps": 0}, {"lattice": 0}, {"cross_section_mm": -1.0}]
    )
    def test_impossible_bins_are_refused(self, wrong):
        volume, rays = self.rays()
        with pytest.raises(InputError, match="bins"):
            depth_profiles(volume, rays, **{"n_depth": 10, **wrong})


class TestWepl:
    def test_ends_and_centres(self):
        rsp = np.array([[1.0, 0.5, 2.0]])
        np.testing.assert_allclose(wepl_mm(rsp, 2.0), [[2.0, 3.0, 7.0]])
        np.testing.assert_allclose(wepl_mm(rsp, 2.0, at="centre"), [[1.0, 2.5, 5.0]])
        np.testing.assert_allclose(wepl_mm(rsp, 2.0, upstream_mm=[1.5]), [[3.5, 4.5, 8.5]])

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.99), upstream=st.floats(0.0, 30.0))
    def test_depth_and_wepl_are_inverse(self, seed, share, upstream):
        rsp = np.random.default_rng(seed).uniform(0.1, 1.8, (3, 50))
        depth = share * 50.0
        wepl = np.array([np.interp(depth, np.arange(51), np.append(0.0, np.cumsum(r))) for r in rsp]) + upstream
        np.testing.assert_allclose(wepl_to_depth_mm(rsp, wepl, upstream_mm=upstream), depth, rtol=1e-9)

    def test_no_depth_where_the_profile_ends_before(self):
        rsp = np.ones((2, 10))
        assert np.isnan(wepl_to_depth_mm(rsp, 10.5)).all()
        assert np.isnan(wepl_to_depth_mm(rsp, 1.0, upstream_mm=[0.0, 2.0])).tolist() == [False, True]
        assert wepl_to_depth_mm(rsp, 10.0).tolist() == [10.0, 10.0]


class TestRaySet:
    def test_positions_and_depths_are_inverse(self):
        volume, inside = box(np.zeros(3), np.array([10.0, 10.0, 10.0]))
        rays = cast_rays(inside, volume.grid, beam_frame("HFS", 45.0, 0.0, (0, 0, 0)), [0.0, 2.0], [1.0], sad_mm=300.0)
        np.testing.assert_allclose(rays.depth_of_mm(rays.position_mm([7.5])[:, 0]), 7.5)
        each = rays.position_mm(np.array([[1.0, 2.0], [3.0, 4.0]]))
        np.testing.assert_allclose(rays.depth_of_mm(each[:, 1]), [2.0, 4.0])
        picked = rays.select(np.array([False, True]))
        assert picked.n_ray == 1
        assert picked.lateral_mm.tolist() == [[2.0, 1.0]]

    def test_lattice_is_symmetric(self):
        x, y = lateral_lattice((-11.0, 11.0), (-3.0, 4.0), 4.0)
        assert x.tolist() == [-10.0, -6.0, -2.0, 2.0, 6.0, 10.0]
        assert y.tolist() == [-1.5, 2.5]
        with pytest.raises(InputError, match="pitch"):
            lateral_lattice((-1.0, 1.0), (-1.0, 1.0), 0.0)

    def test_inconsistent_sets_are_refused(self):
        frame = beam_frame("HFS", 0.0, 0.0, (0, 0, 0))
        good = {
            "frame": frame,
            "lateral_mm": np.zeros((2, 2)),
            "plane_point_mm": np.zeros((2, 3)),
            "direction": np.tile(frame.direction, (2, 1)),
            "entry_mm": np.zeros(2),
            "exit_mm": np.ones(2),
            "valid": np.ones(2, dtype=bool),
        }
        assert RaySet(**good).n_ray == 2
        with pytest.raises(GeometryError, match="unit"):
            RaySet(**{**good, "direction": np.full((2, 3), 0.5)})
        with pytest.raises(GeometryError, match="lattice"):
            RaySet(**good, shape=(3, 1))
        with pytest.raises(GeometryError, match="shape"):
            RaySet(**{**good, "entry_mm": np.zeros(3)})
