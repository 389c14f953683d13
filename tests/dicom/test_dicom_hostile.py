"""Damaged and hostile files: one clear line, no quiet loss, no memory asked for before the limits were looked at."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from protonqa.dicom import ReadLimits, read_case, read_ct, read_dose, read_pet, read_plan
from protonqa.errors import DicomError, InputError, ProtonQAError

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def encoded(dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def undefined_lengths(dataset):
    """The same dataset with sequences and items of undefined length, as many systems write them."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for part in element.value:
                part.is_undefined_length_sequence_item = True
                undefined_lengths(part)
    return dataset


# --- files that were cut off -------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big-endian"])
def test_a_ct_slice_cut_at_every_16th_byte_is_refused_with_file_attribute_and_byte(samples, tmp_path, syntax):
    paths = samples.series(tmp_path, samples.ct, 5, syntax=syntax)
    whole = paths[2].read_bytes()
    for cut in range(132, len(whole), 16):
        paths[2].write_bytes(whole[:cut])
        with pytest.raises(DicomError) as caught:
            read_ct(tmp_path)
        text = str(caught.value)
        assert "s02.dcm" in text, cut
        assert "attribute" in text, cut
        assert "Canary" not in text, cut


def test_a_slice_cut_before_its_first_132_bytes_leaves_a_gap_that_is_refused(samples, tmp_path):
    paths = samples.series(tmp_path, samples.ct, 5)
    whole = paths[2].read_bytes()
    for cut in range(0, 132, 16):
        paths[2].write_bytes(whole[:cut])
        with pytest.raises(InputError, match="gap"):
            read_ct(tmp_path)


def test_the_last_slice_cut_to_nothing_is_at_least_a_finding(samples, tmp_path):
    paths = samples.series(tmp_path, samples.ct, 5)
    paths[-1].write_bytes(b"\0" * 100)
    volume, _, findings = read_ct(tmp_path)
    assert volume.grid.shape[0] == 4
    assert any(f.code == "DICOM-UNREADABLE-FILES" and f.severity == "warning" for f in findings)


@pytest.mark.parametrize("undefined", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big-endian"])
def test_a_plan_cut_anywhere_is_refused_or_has_lost_nothing_that_is_used(samples, tmp_path, syntax, undefined):
    dataset = samples.plan(syntax=syntax)
    whole = encoded(undefined_lengths(dataset) if undefined else dataset)
    path = tmp_path / "plan.dcm"
    path.write_bytes(whole)
    intact = read_plan(path)[0]
    survived = []
    for cut in range(0, len(whole), 7 if undefined else 16):
        path.write_bytes(whole[:cut])
        try:
            plan, _, findings = read_plan(path)
        except DicomError:
            continue
        survived.append(cut)
        assert plan.beams[0].meterset_mu == intact.beams[0].meterset_mu
        assert "PLAN-APPROVAL" in {f.code for f in findings}, "only the approval behind the beams may be lost"
    assert len(survived) <= 1


def test_an_rt_dose_cut_at_every_16th_byte_is_refused(samples, tmp_path):
    path = samples.save(samples.dose(np.ones((3, 4, 5), "<u2")), tmp_path / "dose.dcm")
    whole = path.read_bytes()
    for cut in range(0, len(whole), 16):
        path.write_bytes(whole[:cut])
        with pytest.raises(DicomError):
            read_dose(path)


@settings(max_examples=100, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_raise_anything_but_our_own_errors(samples, tmp_path_factory, flips):
    folder = tmp_path_factory.mktemp("flip")
    stored = np.arange(60, dtype="<u2").reshape(3, 4, 5)
    for name, dataset, read in (
        ("plan", samples.plan(), read_plan),
        ("dose", samples.dose(stored), read_dose),
    ):
        data = bytearray(encoded(dataset))
        for at, value in flips:
            data[at % len(data)] = value
        path = folder / f"{name}.dcm"
        path.write_bytes(bytes(data))
        line = ""
        try:
            read(path)
        except ProtonQAError as error:
            line = str(error)
        assert "\n" not in line
        assert len(line) < 600


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), syntax=st.sampled_from(SYNTAXES))
def test_random_bytes_behind_a_proper_start_are_refused(samples, tmp_path_factory, body, syntax):
    start = encoded(samples.dataset(samples.CT, "CT", "x", syntax=syntax))[:340]
    path = tmp_path_factory.mktemp("noise") / "x.dcm"
    path.write_bytes(start + body)
    with pytest.raises(ProtonQAError):
        read_ct(path)


def test_zeros_behind_the_last_element_are_padding(samples, tmp_path):
    for path in samples.series(tmp_path, samples.ct, 3):
        path.write_bytes(path.read_bytes() + b"\0" * 38)
    assert read_ct(tmp_path)[0].grid.shape == (3, 5, 4)


@pytest.mark.parametrize(
    "attribute", ["Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "BitsStored"]
)
def test_a_missing_required_attribute_is_named(samples, tmp_path, attribute):
    samples.series(tmp_path, samples.ct, 3, **{attribute: None})
    with pytest.raises(DicomError, match=f"attribute {attribute} of file s00.dcm is missing"):
        read_ct(tmp_path)


def test_missing_pixels_are_named(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, PixelData=None)
    with pytest.raises(DicomError, match=r"s00\.dcm cannot be used: .* incomplete at attribute PixelData"):
        read_ct(tmp_path)


# --- sizes that lie ----------------------------------------------------------------------------------------------


def test_a_matrix_of_60000_squared_in_a_small_file_is_refused_without_the_memory_it_asks_for(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, Rows=60000, Columns=60000)
    tracemalloc.start()
    with pytest.raises(InputError, match="60000 x 60000") as caught:
        read_ct(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "at most 4096" in str(caught.value)
    assert peak < 50e6


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"Rows": 50}, "does not match its rows"),
        ({"Rows": 4}, "does not match its rows"),
        ({"Columns": 2000}, "does not match its rows"),
        ({"NumberOfFrames": 2_000_000}, "more frames than the limit"),
        ({"NumberOfFrames": -1}, "empty image"),
        ({"Rows": 0}, "empty image"),
        ({"BitsAllocated": 64, "BitsStored": 64}, "unusable pixel depth"),
        ({"BitsStored": 17}, "unusable pixel depth"),
        ({"SamplesPerPixel": 3}, "colour"),
    ],
)
def test_rows_columns_frames_and_bits_that_do_not_fit_the_bytes_are_refused(samples, tmp_path, lie, message):
    samples.series(tmp_path, samples.ct, 3, **lie)
    with pytest.raises(InputError, match=message):
        read_ct(tmp_path)


def test_limits_are_arguments_and_stand_in_the_message_with_the_need(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 6)
    for limits, need in (
        (ReadLimits(max_voxels=100), "120"),
        (ReadLimits(max_files=5), "6"),
        (ReadLimits(max_rows_columns=4), "5 x 4"),
        (ReadLimits(max_file_bytes=500), "bytes"),
        (ReadLimits(max_total_bytes=3000), "bytes"),
        (ReadLimits(max_elements=5), "5"),
    ):
        with pytest.raises(InputError, match=need):
            read_ct(tmp_path, limits=limits)


def test_too_many_spots_are_refused(samples, tmp_path):
    path = samples.save(samples.plan(), tmp_path / "plan.dcm")
    with pytest.raises(InputError, match="more spots than the limit"):
        read_plan(path, limits=ReadLimits(max_spots=3))


def test_a_deflate_bomb_is_refused_before_it_unpacks(samples, tmp_path):
    small = encoded(samples.dataset(samples.CT, "CT", "x", syntax=DeflatedExplicitVRLittleEndian))
    head = small[: small.index(b"1.2.840.10008.1.2.1.99") + 22]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(b"\x10\x00\x10\x00PN" + struct.pack("<H", 0))
    bomb = block + b"".join(packer.compress(bytes(1 << 20)) for _ in range(60)) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(head + bomb)
    tracemalloc.start()
    with pytest.raises(DicomError, match="deflated transfer syntax"):
        read_ct(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("levels", [100, 400, 5000])
@pytest.mark.parametrize("implicit", [False, True])
def test_deeply_nested_sequences_are_refused_without_exhausting_the_stack(samples, tmp_path, levels, implicit):
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    start = encoded(samples.dataset(samples.CT, "CT", "x", syntax=syntax))
    tag = b"\x08\x00\x40\x11" + (b"" if implicit else b"SQ\0\0") + b"\xff\xff\xff\xff"
    body = (tag + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * levels
    body += (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * levels
    path = tmp_path / "nested.dcm"
    path.write_bytes(start + body)
    with pytest.raises(DicomError, match="nested more than 64 deep"):
        read_ct(path)


def test_nesting_inside_sequences_of_defined_length_is_seen_too(samples, tmp_path):
    body = b""
    for _ in range(300):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body
        body = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", len(item)) + item
    path = tmp_path / "nested.dcm"
    path.write_bytes(encoded(samples.dataset(samples.CT, "CT", "x")) + body)
    with pytest.raises(DicomError, match="nested more than 64 deep"):
        read_ct(path)


# --- encodings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [*SYNTAXES, RLELossless, JPEG2000Lossless])
def test_every_readable_encoding_gives_the_same_hu(samples, tmp_path, syntax):
    rng = np.random.default_rng(3)
    stored = rng.integers(-1000, 3000, size=(3, 16, 12)).astype("<i2")
    for k in range(3):
        native = syntax if syntax in SYNTAXES else ExplicitVRLittleEndian
        dataset = samples.ct(stored[k], (0, 0, 2.0 * k), RescaleIntercept=-24, syntax=native)
        if syntax == JPEG2000Lossless:
            dataset = _as_jpeg_2000(dataset, stored[k])
        elif syntax == RLELossless:
            dataset.compress(syntax, encoding_plugin="pydicom")
        elif syntax == ExplicitVRBigEndian:
            dataset.PixelData = stored[k].astype(">i2").tobytes()
        samples.save(dataset, tmp_path / f"{k}.dcm")
    volume = read_ct(tmp_path)[0]
    assert np.array_equal(volume.array, np.maximum(stored.astype(np.float32) - 24, -1000))


def _as_jpeg_2000(dataset, stored):
    from PIL import Image
    from pydicom.encaps import encapsulate

    # Pillow writes unsigned 16-bit images only: the stored values are moved up and the intercept down.
    buffer = io.BytesIO()
    Image.fromarray((stored.astype(int) + 2048).astype("<u2")).save(buffer, format="JPEG2000", irreversible=False)
    codestream = buffer.getvalue()
    codestream = codestream[codestream.index(b"\xff\x4f\xff\x51") :]
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = -24 - 2048
    return dataset


def test_a_jpeg_2000_image_that_unpacks_to_another_size_is_refused(samples, tmp_path):
    for k in range(3):
        dataset = _as_jpeg_2000(samples.ct(np.ones((16, 12), "<i2"), (0, 0, 2.0 * k)), np.ones((64, 48), "<i2"))
        samples.save(dataset, tmp_path / f"{k}.dcm")
    with pytest.raises(DicomError, match="unpacks to another size"):
        read_ct(tmp_path)


def test_a_damaged_jpeg_2000_stream_is_one_clear_line(samples, tmp_path):
    rng = np.random.default_rng(3)
    for k in range(3):
        stored = rng.integers(0, 900, (32, 32)).astype("<i2")
        path = samples.save(_as_jpeg_2000(samples.ct(stored, (0, 0, 2.0 * k)), stored), tmp_path / f"{k}.dcm")
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\x4f\xff\x51") + 60
        data[at : at + 60] = b"\x00" * 60
        path.write_bytes(bytes(data))
    with pytest.raises(DicomError):
        read_ct(tmp_path)


def test_a_compression_without_decoder_is_one_clear_line(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3)
    for path in tmp_path.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 not decoded "])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        samples.save(dataset, path)
    with pytest.raises(DicomError, match=r"compressed in a way that is not read.*JPEG-LS.*uncompressed"):
        read_ct(tmp_path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.99.1", "1.2.3.4"])
def test_an_unknown_transfer_syntax_is_refused(samples, tmp_path, syntax):
    data = encoded(samples.ct(np.ones((4, 4), "<i2"), (0, 0, 0)))
    old = b"1.2.840.10008.1.2.1\0"
    data = data.replace(old, syntax.encode().ljust(len(old), b"\0")[: len(old)])
    (tmp_path / "x.dcm").write_bytes(data)
    with pytest.raises(DicomError):
        read_ct(tmp_path)


def test_values_beyond_bits_stored_are_refused_and_unextended_signs_are_extended(samples, tmp_path):
    # 12 stored bits, sign bit 11, upper bits zero: 0xFFF is -1.
    stored = np.full((4, 4), 0x0FFF, "<i2")
    samples.series(tmp_path / "a", lambda _, p, **a: samples.ct(stored, p, **a), 3, BitsStored=12, RescaleIntercept=0)
    assert (read_ct(tmp_path / "a")[0].array == -1).all()
    high = np.full((4, 4), 0x1FFF, "<u2")
    samples.series(tmp_path / "b", lambda _, p, **a: samples.ct(high, p, **a), 3, BitsStored=12)
    with pytest.raises(DicomError, match="do not fit the declared bits"):
        read_ct(tmp_path / "b")


# --- archives ----------------------------------------------------------------------------------------------------


def test_a_zip_archive_reads_like_its_folder(samples, tmp_path):
    paths = samples.series(tmp_path / "ct", samples.ct)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"study/ct/{path.name}")
    packed, plain = read_ct(tmp_path / "ct.zip"), read_ct(tmp_path / "ct")
    assert np.array_equal(packed[0].array, plain[0].array)
    assert packed[0].grid.matches(plain[0].grid)


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "a/../../evil.dcm", "/etc/evil.dcm", "C:\\evil.dcm", "..\\evil.dcm", "\\\\host\\x.dcm"]
)
def test_an_archive_whose_names_leave_it_is_refused(samples, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in samples.series(tmp_path / "ct", samples.ct):
            archive.write(path, path.name)
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="leaves the archive"):
        read_ct(tmp_path / "x.zip")


def test_an_archive_with_a_link_is_refused(samples, tmp_path):
    entry = zipfile.ZipInfo("link.dcm")
    entry.create_system = 3
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        read_ct(tmp_path / "x.zip")


def test_a_zip_bomb_is_refused_by_ratio_size_and_count(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(3):
            archive.writestr(f"{k}.dcm", bytes(30 << 20))
    with pytest.raises(InputError, match="packed too densely"):
        read_ct(tmp_path / "bomb.zip")
    with pytest.raises(InputError, match="inflates beyond the limit"):
        read_ct(tmp_path / "bomb.zip", limits=ReadLimits(max_total_bytes=1 << 20))
    with pytest.raises(InputError, match="too many files"):
        read_ct(tmp_path / "bomb.zip", limits=ReadLimits(max_files=2))


def test_an_archive_that_understates_what_it_inflates_to_gives_no_more_than_it_declared(tmp_path):
    with zipfile.ZipFile(tmp_path / "liar.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * 128 + b"DICM" + bytes(8 << 20))
    data = (tmp_path / "liar.zip").read_bytes()
    (tmp_path / "liar.zip").write_bytes(data.replace(struct.pack("<I", (8 << 20) + 132), struct.pack("<I", 200)))
    tracemalloc.start()
    with pytest.raises(InputError):
        read_ct(tmp_path / "liar.zip")
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_an_unusual_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.dcm", b"x" * 1000)
    with pytest.raises(InputError, match="unusual compression"):
        read_ct(tmp_path / "x.zip")


def test_a_cut_or_damaged_archive_is_one_clear_line(samples, tmp_path):
    paths = samples.series(tmp_path / "ct", samples.ct)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    whole = (tmp_path / "x.zip").read_bytes()
    for cut in range(30, len(whole), len(whole) // 40):
        (tmp_path / "x.zip").write_bytes(whole[:cut])
        with pytest.raises(InputError):
            read_ct(tmp_path / "x.zip")
    broken = bytearray(whole)
    at = whole.index(b"Canary")
    broken[at : at + 3] = b"???"
    (tmp_path / "x.zip").write_bytes(bytes(broken))
    with pytest.raises(DicomError, match="damaged inside this file"):
        read_ct(tmp_path / "x.zip")


# --- identity ----------------------------------------------------------------------------------------------------


def test_no_name_id_or_birth_date_enters_messages_warnings_findings_or_logs(samples, tmp_path, caplog):
    who = {"PatientName": "Canary^Yellow", "PatientID": "CANARY-4711", "PatientBirthDate": "19500102"}
    other = who | {"PatientID": "CANARY-0815"}
    samples.series(tmp_path / "canary-ct", samples.ct, **who)
    samples.series(tmp_path / "pet", samples.pet, **other)
    samples.save(samples.plan(**who), tmp_path / "canary_yellow_plan.dcm")
    samples.series(tmp_path / "two", samples.ct, prefix="Yellow", **who)
    samples.series(tmp_path / "two", samples.ct, prefix="b", SeriesInstanceUID="../../x", **who)
    samples.series(tmp_path / "slope", samples.ct, prefix="CANARY", RescaleSlope=None, **who)
    broken = {"PatientID": "CANARY-4711" * 20, "StudyInstanceUID": "CANARY.Yellow", "PatientBirthDate": "canary"}
    odd = samples.ct(np.ones((4, 4), "<i2"), (0, 0, 0), **(who | broken))
    samples.save(odd, tmp_path / "odd" / "Canary.dcm")
    whole = encoded(samples.plan(**who))
    (tmp_path / "Canary_cut.dcm").write_bytes(whole[: len(whole) // 2])
    texts = []
    with caplog.at_level(logging.DEBUG):
        for action in (
            lambda: read_case(tmp_path / "canary-ct", tmp_path / "pet"),
            lambda: read_ct(tmp_path / "canary_yellow_plan.dcm"),
            lambda: read_ct(tmp_path / "two"),
            lambda: read_ct(tmp_path / "slope"),
            lambda: read_ct(tmp_path / "odd"),
            lambda: read_plan(tmp_path / "Canary_cut.dcm"),
            lambda: read_pet(tmp_path / "canary-missing"),
        ):
            with pytest.raises(ProtonQAError) as caught:
                action()
            texts.append(str(caught.value))
    case = read_case(tmp_path / "canary-ct", plan=tmp_path / "canary_yellow_plan.dcm")
    texts += [repr(case.ct_info), repr(case.plan_info), *(f.text for f in case.findings), caplog.text]
    for text in texts:
        assert "canary" not in text.lower(), text
        assert "yellow" not in text.lower(), text
        assert "19500102" not in text, text
        assert "4711" not in text, text
        assert str(tmp_path) not in text, text


def test_library_warnings_become_one_finding_without_the_values_they_quote(samples, tmp_path):
    for path in samples.series(tmp_path, samples.ct, 3):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"P-4711", b"P\x0747\x08."))
    uid = samples.uid("frame").encode()
    for path in tmp_path.glob("*.dcm"):
        path.write_bytes(path.read_bytes().replace(uid, b"0" + uid[1:-1] + b"x"))
    _, info, findings = read_ct(tmp_path)
    assert {"DICOM-NONCONFORMANT", "DICOM-UID"} <= {f.code for f in findings}
    assert info.frame_of_reference_uid == "", "a UID that breaks its grammar is treated as absent"
    assert all(samples.uid("frame")[5:30] not in f.text for f in findings)


def test_uids_that_climb_out_of_folders_never_leave_the_reader(samples, tmp_path):
    samples.series(tmp_path, samples.ct, SeriesInstanceUID="../../x", StudyInstanceUID="..\\..\\x")
    _, info, findings = read_ct(tmp_path)
    assert info.series_uid == info.study_uid == ""
    assert "DICOM-UID" in {f.code for f in findings}


@pytest.mark.parametrize(
    "name", ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a\nb", "שלום", "CON", "", "^^^^", "x" * 5000]
)
def test_nasty_names_are_kept_as_text_and_break_nothing(samples, tmp_path, name):
    samples.series(tmp_path, samples.ct, 3, PatientName=name, SpecificCharacterSet="ISO_IR 192")
    info = read_ct(tmp_path)[1]
    assert isinstance(info.patient.name, str)
    assert name[:3] in info.patient.name or not name.strip("^")


def test_nasty_file_names_are_shown_as_a_number(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3)
    (tmp_path / "<b>x\n.dcm").write_bytes(b"no")
    ignored = read_ct(tmp_path)[1].files_ignored
    assert ignored == (("file 1 of 4 in order of name", "not a DICOM file"),)
