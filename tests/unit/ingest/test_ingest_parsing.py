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

from ingest.adapters.encoding import decode_frame, encode, header_differences, stored_syntax
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
    assert stored.pixel_array.tolist() == words.reshape(4, 6).tolist() == decode_frame(data, header).tolist()


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
