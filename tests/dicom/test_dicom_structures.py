"""RT Structure Sets: what is drawn comes back point by point; what is damaged is left out, counted and not named."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.dicom import ReadLimits, read_case, read_structures
from protonqa.dicom.inventory import inventory
from protonqa.errors import DicomError, InputError

SQUARE = np.array([(-10.0, -10.0), (10.0, -10.0), (10.0, 10.0), (-10.0, 10.0)])


def flat(corners: np.ndarray, z_mm: float) -> list[float]:
    return np.column_stack([corners, np.full(len(corners), z_mm)]).ravel().tolist()


class Drawing:
    """An RT Structure Set from contours, each as its flat coordinates."""

    def __init__(self, samples):
        self.samples = samples

    def contour(self, data, kind="CLOSED_PLANAR", **facts):
        known = {"ContourGeometricType": kind, "NumberOfContourPoints": None, "ContourData": data, **facts}
        return self.samples.item(**{name: value for name, value in known.items() if value is not None})

    def save(self, path, structures, *, frame="frame", **facts):
        """`structures`: name -> list of contour items; colours are red."""
        s = self.samples
        rois, drawn = [], []
        for number, (name, contours) in enumerate(structures.items(), 1):
            rois.append(s.item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=s.uid(frame)))
            drawn.append(s.item(ReferencedROINumber=number, ROIDisplayColor=[255, 0, 0], ContourSequence=contours))
        series = s.item(SeriesInstanceUID=s.uid("series", "CT"))
        study = s.item(RTReferencedSeriesSequence=[series])
        known = {
            "StructureSetLabel": "drawn",
            "FrameOfReferenceUID": None,
            "ReferencedFrameOfReferenceSequence": [
                s.item(FrameOfReferenceUID=s.uid(frame), RTReferencedStudySequence=[study])
            ],
            "StructureSetROISequence": rois,
            "ROIContourSequence": drawn,
        }
        return s.save(s.dataset(s.RTSTRUCT, "RTSTRUCT", path.name, **(known | facts)), path)


@pytest.fixture
def drawing(samples):
    return Drawing(samples)


def codes(findings) -> set[str]:
    return {one.code for one in findings}


def test_a_cube_and_a_ring_come_back_point_by_point(samples, drawing, tmp_path):
    cube = [drawing.contour(flat(SQUARE, z), NumberOfContourPoints=4) for z in (-3.0, 0.0, 3.0)]
    ring = [drawing.contour(flat(scale * SQUARE, 1.5)) for scale in (2.0, 0.5)]
    path = drawing.save(tmp_path / "rs.dcm", {"CTV 1": cube, "Rind": ring})
    read, info, findings = read_structures(path)
    assert findings == ()
    assert [(one.name, one.number, one.colour_rgb) for one in read.structures] == [
        ("CTV 1", 1, (255, 0, 0)),
        ("Rind", 2, (255, 0, 0)),
    ]
    assert [one[0, 2] for one in read.structures[0].contours] == [-3.0, 0.0, 3.0]
    for contour in read.structures[0].contours:
        assert np.array_equal(contour[:, :2], SQUARE)
        assert not contour.flags.writeable
    assert np.array_equal(read.structures[1].contours[1][:, :2], 0.5 * SQUARE)
    assert read.frame_of_reference_uid == samples.uid("frame")
    assert read.referenced_series_uid == samples.uid("series", "CT")
    assert info.modality == "RTSTRUCT"


def test_the_structures_of_a_real_pet(reference_data):
    """One tumour outline of a planning system, in planes a PET slice of 3.27 mm apart."""
    read, _, findings = read_structures(reference_data / "dicom" / "STS_002_PET_with_RTSTRUCT.zip")
    (tumour,) = (one for one in read.structures if one.contours)
    assert tumour.name == "GTV_Mass_PET"
    planes = np.unique([contour[0, 2] for contour in tumour.contours])
    assert all(np.ptp(contour[:, 2]) == 0.0 for contour in tumour.contours)
    assert np.diff(planes) == pytest.approx(np.full(len(planes) - 1, 3.27), abs=0.03)
    assert "STRUCTURES-LEFT-OUT" not in codes(findings)


#: What the finding says -> the bad contour; text goes into the file as it is.
BAD = {
    "values that are not finite": {"data": "1\\2\\NaN\\1\\2\\3\\5\\5\\3"},
    "not finite or beyond": {"data": "1\\2\\-inf\\1\\2\\3\\5\\5\\3"},
    "beyond 10 m": {"data": "1e300\\2\\3\\1\\2\\3\\5\\5\\3"},
    "no numbers": {"data": "1\\2\\x\\1\\2\\3\\5\\5\\3"},
    "values that are no numbers": {"data": "1\\2\\\\1\\2\\3\\5\\5\\3\\1"},
    "not three a point": {"data": [*flat(SQUARE, 0.0), 1.0]},
    "fewer than 3": {"data": flat(SQUARE[:2], 0.0)},
    "fewer than 3 points": {"data": None},
    "than they declare": {"data": flat(SQUARE, 0.0), "NumberOfContourPoints": 5},
    "another type": {"data": flat(SQUARE, 0.0), "kind": "OPEN_PLANAR"},
    "type than CLOSED_PLANAR": {"data": [1.0, 2.0, 3.0], "kind": "POINT"},
}


@pytest.mark.parametrize("words", BAD)
def test_a_damaged_or_open_contour_is_left_out_and_the_others_stay(drawing, tmp_path, words):
    facts = dict(BAD[words])
    text = facts["data"] if isinstance(facts["data"], str) else ""
    if text:  # no writer takes such numbers: they are put into the bytes of others of the same length
        text += " " * (1 - len(text) % 2)
        facts["data"] = ["7"] * (len(text) // 2 + 1)
        sevens = b"\\".join([b"7"] * (len(text) // 2 + 1))
    contours = [drawing.contour(**facts), drawing.contour(flat(SQUARE, 6.0))]
    path = drawing.save(tmp_path / "rs.dcm", {"Canary": contours})
    if text:
        whole = path.read_bytes()
        assert whole.count(sevens) == 1
        path.write_bytes(whole.replace(sevens, text.encode()))
    read, _, findings = read_structures(path)
    assert [one[0, 2] for one in read.structures[0].contours] == [6.0]
    (told,) = (one.text for one in findings if one.code == "STRUCTURES-LEFT-OUT")
    assert "1 contours" in told
    assert words in told
    assert "Canary" not in told


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"ROIContourSequence": None}, 1),
        ({"ROIContourSequence": []}, 1),
        ({"StructureSetROISequence": None}, 0),
        ({"StructureSetROISequence": []}, 0),
        ({"ReferencedFrameOfReferenceSequence": None}, 1),
    ],
)
def test_missing_and_empty_sequences_are_no_crash(drawing, tmp_path, facts, found):
    read, _, _ = read_structures(
        drawing.save(tmp_path / "rs.dcm", {"a": [drawing.contour(flat(SQUARE, 0.0))]}, **facts)
    )
    assert len(read.structures) == found


def test_structures_and_contours_that_nobody_can_tell_apart_are_counted(samples, drawing, tmp_path):
    twice = [samples.item(ROINumber=1, ROIName=name) for name in "ab"] + [samples.item(ROIName="c")]
    drawn = [
        samples.item(ReferencedROINumber=1, ContourSequence=[drawing.contour(flat(SQUARE, z))]) for z in (0.0, 3.0)
    ]
    path = drawing.save(tmp_path / "rs.dcm", {}, StructureSetROISequence=twice, ROIContourSequence=drawn)
    read, _, findings = read_structures(path)
    assert [(one.name, len(one.contours), one.colour_rgb) for one in read.structures] == [("a", 1, None)]
    assert "2 structures without a number of their own" in " ".join(one.text for one in findings)


@pytest.mark.parametrize("limits", [{"max_contour_points": 7}, {"max_contours": 1}, {"max_structures": 1}])
def test_more_than_the_limit_is_refused_before_it_is_read(drawing, tmp_path, limits):
    two = {name: [drawing.contour(flat(SQUARE, 0.0))] for name in "ab"}
    path = drawing.save(tmp_path / "rs.dcm", two)
    with pytest.raises(InputError, match="too many"):
        read_structures(path, limits=ReadLimits(**limits))


def test_a_file_that_was_cut_off_is_refused(drawing, tmp_path):
    path = drawing.save(tmp_path / "rs.dcm", {"Canary": [drawing.contour(flat(SQUARE, 0.0))]})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DicomError, match="cut off") as caught:
        read_structures(path)
    assert "Canary" not in str(caught.value)


def test_the_structures_of_a_case(samples, drawing, tmp_path):
    samples.series(tmp_path / "ct", samples.ct)
    path = drawing.save(tmp_path / "rs.dcm", {"a": [drawing.contour(flat(SQUARE, 0.0))]})
    case = read_case(tmp_path / "ct", structures=path)
    assert len(case.structures.structures) == 1
    assert read_case(tmp_path / "ct").structures is None
    assert inventory(tmp_path).path_of("structures") == path


def test_structures_of_another_frame_are_left_out_of_a_case(samples, drawing, tmp_path):
    samples.series(tmp_path / "ct", samples.ct)
    path = drawing.save(tmp_path / "rs.dcm", {"a": [drawing.contour(flat(SQUARE, 0.0))]}, frame="elsewhere")
    case = read_case(tmp_path / "ct", structures=path)
    assert case.structures.structures == ()
    assert "STRUCTURES-FRAME" in codes(case.findings)
    vouched = read_case(tmp_path / "ct", structures=path, assume_registered=True)
    assert len(vouched.structures.structures) == 1
    assert "CASE-FRAME" in codes(vouched.findings)


def test_a_ct_without_a_frame_gets_no_structures(samples, drawing, tmp_path):
    samples.series(tmp_path / "ct", samples.ct, FrameOfReferenceUID=None)
    path = drawing.save(tmp_path / "rs.dcm", {"a": [drawing.contour(flat(SQUARE, 0.0))]})
    case = read_case(tmp_path / "ct", structures=path)
    assert case.structures.structures == ()
    assert "CASE-FRAME" in codes(case.findings)


def test_structures_of_another_patient_are_refused(samples, drawing, tmp_path):
    samples.series(tmp_path / "ct", samples.ct)
    path = drawing.save(tmp_path / "rs.dcm", {"a": [drawing.contour(flat(SQUARE, 0.0))]}, PatientID="SOMEBODY")
    with pytest.raises(DicomError, match="different patients") as caught:
        read_case(tmp_path / "ct", structures=path)
    assert "SOMEBODY" not in str(caught.value)
