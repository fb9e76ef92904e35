"""Bytes in: what is no instance is refused with the reason, and what is one is read without guessing."""

import struct

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from ingest.adapters.encoding import decode_frames, encode, header_differences, stored_syntax
from ingest.adapters.extraction import header_of, relative_numbers, suspicion_of
from ingest.adapters.parsing import RefusedInstance, parse
from ingest.domain.reasons import Refused, RejectReason


def data_set_of(file: bytes) -> bytes:
    """Cut preamble and file meta information off, as in a C-STORE."""
    length = struct.unpack("<I", file[140:144])[0]
    return file[144 + length :]


def with_pixels(phantoms, value: bytes, transfer_syntax_uid=ExplicitVRLittleEndian) -> bytes:
    """Write a file whose pixel data element is made by hand, as a damaged sender would."""
    file = phantoms.file(phantoms.slice(PixelData=None), transfer_syntax_uid)
    return file + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + value


ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"

BAD = {
    "nothing": (lambda p: b"", None, RejectReason.NOT_DICOM),
    "text": (lambda p: b"hello", None, RejectReason.NOT_DICOM),
    "a picture": (lambda p: b"\x89PNG" + bytes(500), None, RejectReason.NOT_DICOM),
    "prefix alone": (lambda p: bytes(128) + b"DICM", None, RejectReason.NOT_DICOM),
    "no transfer syntax": (
        lambda p: bytes(128) + b"DICM" + b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\0\1",
        None,
        RejectReason.NOT_DICOM,
    ),
    "no data set": (lambda p: p.file(p.slice())[: 144 + p.file(p.slice())[140]], None, RejectReason.TRUNCATED),
    "cut in the pixels": (lambda p: p.file(p.slice())[:-10], None, RejectReason.TRUNCATED),
    "cut in the header": (lambda p: p.file(p.slice())[:501], None, RejectReason.TRUNCATED),
    "cut inside an element's head": (lambda p: p.file(p.slice())[: -48 - 5], None, RejectReason.TRUNCATED),
    "no pixel data": (lambda p: p.file(p.slice(PixelData=None)), None, RejectReason.NO_PIXEL_DATA),
    "empty pixel data": (lambda p: p.file(p.slice(PixelData=b"")), None, RejectReason.NO_PIXEL_DATA),
    "no rows": (lambda p: p.file(p.slice(Rows=0)), None, RejectReason.NO_PIXEL_DATA),
    "fewer pixels than rows and columns say": (lambda p: p.file(p.slice(Rows=40)), None, RejectReason.TRUNCATED),
    "no Bits Allocated": (
        lambda p: p.file(p.slice(BitsAllocated=None, PixelData=None)) + b"\xe0\x7f\x10\x00OW\0\0\x02\0\0\0ab",
        None,
        RejectReason.UNDECODABLE,
    ),
    "no study": (lambda p: p.file(p.slice(StudyInstanceUID=None)), None, RejectReason.UNDECODABLE),
    "implicit called explicit": (
        lambda p: data_set_of(p.file(p.slice(), ImplicitVRLittleEndian)),
        ExplicitVRLittleEndian,
        RejectReason.UNDECODABLE,
    ),
    "explicit called implicit": (
        lambda p: data_set_of(p.file(p.slice())),
        ImplicitVRLittleEndian,
        RejectReason.UNDECODABLE,
    ),
    "little called big": (lambda p: data_set_of(p.file(p.slice())), ExplicitVRBigEndian, RejectReason.UNDECODABLE),
    "native called compressed": (lambda p: data_set_of(p.file(p.slice())), JPEGLSLossless, RejectReason.UNDECODABLE),
    "compressed called native": (
        lambda p: data_set_of(with_pixels(p, ITEM + b"\4\0\0\0abcd" + END)),
        ExplicitVRLittleEndian,
        RejectReason.UNDECODABLE,
    ),
    "unknown transfer syntax": (lambda p: data_set_of(p.file(p.slice())), "1.2.3", RejectReason.UNDECODABLE),
    "video": (lambda p: data_set_of(p.file(p.slice())), "1.2.840.10008.1.2.4.102", RejectReason.UNDECODABLE),
    "fragments without end": (
        lambda p: data_set_of(with_pixels(p, ITEM + b"\0\0\0\0" + ITEM + b"\4\0\0\0abcd")),
        RLELossless,
        RejectReason.TRUNCATED,
    ),
    "fragments that are none": (
        lambda p: data_set_of(with_pixels(p, b"abcdefgh" + END)),
        RLELossless,
        RejectReason.UNDECODABLE,
    ),
    "fragment longer than the data": (
        lambda p: data_set_of(with_pixels(p, ITEM + b"\0\0\0\0" + ITEM + b"\xff\0\0\0abcd" + END)),
        RLELossless,
        RejectReason.TRUNCATED,
    ),
    "deflated rubbish": (lambda p: b"\xff" * 60, DeflatedExplicitVRLittleEndian, RejectReason.UNDECODABLE),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(phantoms, name):
    make, transfer_syntax_uid, reason = BAD[name]
    with pytest.raises(Refused) as refused:
        parse(make(phantoms), transfer_syntax_uid)
    assert refused.value.reason is reason
    assert refused.value.detail
    assert "Doe" not in str(refused.value) and "PAT-1" not in str(refused.value) and "1.2.3.4" not in str(refused.value)


def test_a_refusal_names_the_study_once_it_is_known(phantoms):
    with pytest.raises(RefusedInstance) as refused:
        parse(phantoms.file(phantoms.slice())[:-10])
    assert (refused.value.study_instance_uid, refused.value.series_instance_uid) == ("1.2.3.4", "1.2.3.4.1")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_native_pixels_survive(phantoms, syntax):
    ds = phantoms.slice()
    words = np.arange(24, dtype=">u2" if syntax == ExplicitVRBigEndian else "<u2")
    ds.PixelData = words.tobytes()
    parsed = parse(phantoms.file(ds, syntax))
    data, header = encode(parsed, header_of(parsed, stored_syntax(parsed.transfer_syntax_uid)), "2.25.1")
    stored = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    assert stored.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert stored.file_meta.MediaStorageSOPInstanceUID == "2.25.1"
    assert (stored.Rows, stored.PixelSpacing, stored.Modality) == (4, [2.0, 3.0], "MR")
    assert stored.pixel_array.tolist() == words.reshape(4, 6).tolist() == decode_frames(data, header)[0].tolist()


def test_deflated_is_read(phantoms):
    import zlib

    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data_set_of(phantoms.file(phantoms.slice()))) + deflater.flush()
    parsed = parse(deflated, DeflatedExplicitVRLittleEndian)
    assert parsed.transfer_syntax_uid == ExplicitVRLittleEndian
    assert len(parsed.pixel_data) == 48


def test_bytes_after_the_image_are_not_kept(phantoms):
    ds = phantoms.slice()
    ds.PixelData = bytes(48) + b"Doe^Jane"
    assert parse(phantoms.file(ds)).pixel_data == bytes(48)


def test_the_same_instance_gives_the_same_bytes(phantoms):
    file = phantoms.file(phantoms.slice())

    def once() -> bytes:
        parsed = parse(file)
        return encode(parsed, header_of(parsed, stored_syntax(parsed.transfer_syntax_uid)), "2.25.1")[0]

    assert once() == once()


def test_header(phantoms):
    parsed = parse(phantoms.file(phantoms.slice(RescaleSlope=2, RescaleIntercept=-1024, PixelRepresentation=1)))
    header = header_of(parsed, ExplicitVRLittleEndian)
    assert (header.rows, header.columns, header.frames, header.signed) == (4, 6, 1, True)
    assert header.position_lps_mm == (-10.0, -20.0, 5.0)
    assert header.pixel_spacing_mm == (2.0, 3.0)
    assert (header.rescale_slope, header.rescale_intercept, header.slice_step_mm) == (2.0, -1024.0, 1.5)


@pytest.mark.parametrize("position", [["1", "2"], ["a", "b", "c"], ["nan", "1", "2"]])
def test_a_position_that_is_none(phantoms, position):
    ds = phantoms.slice()
    ds["ImagePositionPatient"].value = ["1", "2", "3"]
    parsed = parse(phantoms.file(ds))
    parsed.ds[0x00200032] = pydicom.DataElement(0x00200032, "LO", position)
    assert header_of(parsed, ExplicitVRLittleEndian).position_lps_mm is None


NUMBERS = {
    "temporal position": ({"TemporalPositionIdentifier": 3}, {"temporal-position": 3}),
    "trigger": ({"TriggerTime": 18.75}, {"trigger-time-ms": 18.75}),
    "cardiac trigger delay": ({"NominalCardiacTriggerDelayTime": 20.5}, {"trigger-time-ms": 20.5}),
    "echo, inversion": ({"EchoTime": 2.5, "InversionTime": 900}, {"echo-time-ms": 2.5, "inversion-time-ms": 900}),
    "b-value": ({"DiffusionBValue": 800.0}, {"b-value-s-mm2": 800}),
    "stack": ({"InStackPositionNumber": 4, "InstanceNumber": 9}, {"stack-position": 4, "instance-number": 9}),
    "acquisition offset": (
        {
            "SeriesDate": "20200131",
            "SeriesTime": "235950",
            "AcquisitionDate": "20200201",
            "AcquisitionTime": "000010.5",
        },
        {"acquisition-offset-s": 20.5},
    ),
    "offset with unreadable dates": (
        {
            "SeriesDate": "20120000",
            "SeriesTime": "083859",
            "AcquisitionDate": "20120000",
            "AcquisitionTime": "083920.5",
        },
        {"acquisition-offset-s": 21.5},
    ),
    "unreadable": ({"SeriesTime": "083859", "AcquisitionTime": "ab"}, {}),
    "weight": ({"PatientWeight": 72.5}, {"patient-weight-kg": 72.5}),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_relative_numbers(phantoms, name):
    attributes, expected = NUMBERS[name]
    assert relative_numbers(parse(phantoms.file(phantoms.slice(**attributes))).ds) == expected


def test_injection_in_relative_numbers(phantoms):
    tracer = pydicom.Dataset()
    tracer.RadiopharmaceuticalStartTime, tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = (
        "233000",
        3.5e8,
        6586.2,
    )
    ds = phantoms.slice(SeriesTime="003000", RadiopharmaceuticalInformationSequence=[tracer])
    numbers = relative_numbers(parse(phantoms.file(ds)).ds)
    assert numbers == {"injection-delay-s": 3600.0, "injected-dose-bq": 3.5e8, "half-life-s": 6586.2}


def test_pet_says_how_its_activity_becomes_suv(phantoms):
    tracer = pydicom.Dataset()
    tracer.RadiopharmaceuticalStartTime, tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = (
        "080000",
        3e8,
        6586.2,
    )
    ds = phantoms.slice(
        Modality="PT",
        Units="BQML",
        CorrectedImage=["ATTN", "DECY"],
        DecayCorrection="START",
        PatientWeight=75,
        SeriesTime="090000",
        AcquisitionTime="090012",
        RadiopharmaceuticalInformationSequence=[tracer],
    )
    numbers = relative_numbers(parse(phantoms.file(ds)).ds)
    assert numbers["suvbw-factor-g-ml"] == pytest.approx(75_000 / (3e8 * 0.5 ** (3600 / 6586.2)))


def group(**attributes):
    ds = pydicom.Dataset()
    for name, value in attributes.items():
        setattr(ds, name, [group(**value)] if isinstance(value, dict) else value)
    return ds


def enhanced(phantoms, frames=3, **changes):
    """An enhanced CT whose frames lie 2 mm apart, each with a slope of its own; orientation and spacing are shared."""
    ds = phantoms.slice(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", NumberOfFrames=frames)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing
    ds.PixelData = np.arange(frames * 24, dtype="<u2").tobytes()
    ds.SharedFunctionalGroupsSequence = [
        group(
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            PixelMeasuresSequence={"PixelSpacing": [2, 3], "SliceThickness": 2},
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, 2.0 * n]},
            PixelValueTransformationSequence={"RescaleSlope": n + 1, "RescaleIntercept": -1024},
            FrameContentSequence={"TemporalPositionIndex": 1, "InStackPositionNumber": n + 1},
        )
        for n in range(frames)
    ]
    for name, value in changes.items():
        setattr(ds, name, value)
    return ds


def test_each_frame_of_an_enhanced_instance_says_where_it_lies(phantoms):
    parsed = parse(phantoms.file(enhanced(phantoms)))
    data, header = encode(parsed, header_of(parsed, ExplicitVRLittleEndian), "2.25.1")
    assert header.frames == len(header.planes) == 3
    for n, plane in enumerate(header.planes):
        assert plane.position_lps_mm == (0, 0, 2.0 * n) and plane.orientation == (1, 0, 0, 0, 1, 0)
        assert (plane.pixel_spacing_mm, plane.slice_step_mm, plane.frames) == ((2, 3), 2, 1)
        assert (plane.rescale_slope, plane.rescale_intercept) == (n + 1, -1024)
        assert plane.numbers["stack-position"] == n + 1
    frames = decode_frames(data, header)
    assert [frame.tolist() for frame in frames] == np.arange(72).reshape(3, 4, 6).tolist()


@pytest.mark.parametrize(
    "groups", [[], [group()] * 2, [group()] * 3], ids=["no group", "fewer than frames", "without places"]
)
def test_frames_that_do_not_all_say_where_they_lie_are_none(phantoms, groups):
    parsed = parse(phantoms.file(enhanced(phantoms, PerFrameFunctionalGroupsSequence=groups)))
    assert header_of(parsed, ExplicitVRLittleEndian).planes == [header_of(parsed, ExplicitVRLittleEndian)]


@pytest.mark.parametrize(
    ("creator", "group", "element", "vr", "value", "expected"),
    [
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", "1000", 1000.0),
        ("GEMS_PARM_01", 0x0043, 0x39, "IS", ["1000000800", "8", "0", "0"], 800.0),
        ("Philips Imaging DD 001", 0x2001, 0x03, "FL", 500.0, 500.0),
    ],
)
def test_private_b_values(phantoms, creator, group, element, vr, value, expected):
    ds = phantoms.slice()
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    assert relative_numbers(parse(phantoms.file(ds)).ds)["b-value-s-mm2"] == expected


SUSPICIOUS = {
    "declared": ({"BurnedInAnnotation": "YES"}, "Burned In"),
    "secondary capture": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
    "multi-frame secondary capture": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, "secondary capture"),
    "ultrasound": ({"Modality": "US"}, "ultrasound"),
    "ultrasound by class": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
    "screen save": ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "SCREEN SAVE"),
    "declared clean": ({"BurnedInAnnotation": "NO"}, None),
    "plain": ({}, None),
    "reformatted": ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, None),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_suspicion(phantoms, name):
    attributes, expected = SUSPICIOUS[name]
    found = suspicion_of(parse(phantoms.file(phantoms.slice(**attributes))))
    assert (found is None) if expected is None else (found is not None and expected in found)


def test_overlay_inside_the_pixels_is_suspicious(phantoms):
    ds = phantoms.slice()
    ds.add_new(0x60000102, "US", 15)
    assert suspicion_of(parse(phantoms.file(ds))) == "an overlay inside the pixel data"


def test_differences_are_named(phantoms):
    a, b = (phantoms.file(phantoms.slice(**changes)) for changes in ({}, {"EchoTime": 3, "SliceThickness": 2}))
    assert header_differences(a, b) == ("SliceThickness", "EchoTime")
