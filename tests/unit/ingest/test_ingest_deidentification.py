"""De-identification against the standard's own table: every row, at top level and inside a sequence."""

import json
import os
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ingest.adapters.cleaning import NEWEST_EDITION, TABLE_EDITION, Cleaner, load_profile, table_of
from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of
from ingest.adapters.parsing import configure_libraries, parse
from ingest.adapters.values import standard_vr
from ingest.domain.deidentification import Action, Profile, dummy, shifted
from ingest.domain.pseudonyms import PatientIdentity, Pseudonyms
from radloop.errors import Invalid

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
ORACLE = DATA / "dicom_standard" / "confidentiality_profile_attributes.json"
ROWS = json.loads(ORACLE.read_text()) if ORACLE.exists() else []
PLAIN_ROWS = [row for row in ROWS if len(row["id"]) == 8 and "x" not in row["id"]]

PSEUDONYMS = Pseudonyms(bytes(32))
PATIENT = PSEUDONYMS.patient(PatientIdentity("", "PAT-1"), "1.2.3.4")
DAYS_BACK = PSEUDONYMS.days_back(PATIENT)

CANARY_UID = "1.2.840.99999.8.7.6"
CANARY = "CANARY"
CANARY_BYTES = b"CANARY!!"
DATES = {"DA": "20200131", "DT": "20200131235959.5+0100", "TM": "235959.5"}
NUMBER = 4242


def canary(tag: int) -> DataElement:
    """Return an element of a tag's own VR whose value gives itself away."""
    vr = (standard_vr(tag) or "LO").split(" or ")[0]
    if vr in DATES:
        return DataElement(tag, vr, DATES[vr])
    if vr == "UI":
        return DataElement(tag, vr, CANARY_UID)
    if vr == "SQ":
        item = Dataset()
        item.add(DataElement(0x00081155, "UI", CANARY_UID))
        item.add(DataElement(0x00104000, "LT", CANARY))
        return DataElement(tag, vr, Sequence([item]))
    if vr in ("DS", "IS"):
        return DataElement(tag, vr, str(NUMBER))
    if vr in ("US", "UL", "SS", "SL", "FL", "FD"):
        return DataElement(tag, vr, NUMBER)
    if vr in ("OB", "OW", "UN"):
        return DataElement(tag, vr, CANARY_BYTES)
    return DataElement(tag, vr, "042Y" if vr == "AS" else CANARY)


def minimal(*elements: DataElement | RawDataElement) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.1"
    ds.Rows = ds.Columns = 1
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 16, 16, 15, 0
    ds.PixelData = b"\1\0"
    for element in elements:
        ds[element.tag] = element
    return ds


def cleaned(ds: Dataset) -> tuple[Dataset, bytes]:
    """Send a data set through parsing, cleaning and encoding, as if it had come by C-STORE."""
    configure_libraries()
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(buffer, ds)
    parsed = parse(buffer.getvalue(), "1.2.840.10008.1.2.1")
    header = header_of(parsed, stored_syntax(parsed.transfer_syntax_uid))
    Cleaner(load_profile(), PSEUDONYMS).clean(parsed.ds, PATIENT, PSEUDONYMS.days_back(PATIENT))
    data, _ = encode(parsed, header, PSEUDONYMS.uid("1.2.3.4.5"))
    return pydicom.dcmread(BytesIO(data)), data


def moved(vr: str) -> str:
    day = (datetime(2020, 1, 31) - timedelta(days=DAYS_BACK)).strftime("%Y%m%d")
    return {"DA": day, "DT": day + "235959.5+0100", "TM": DATES["TM"]}[vr]


def check(ds: Dataset, tag: int, row: dict) -> None:
    """Check one attribute after cleaning against the row's codes."""
    vr = (standard_vr(tag) or "LO").split(" or ")[0]
    code = row["basicProfile"]
    element = ds.get(tag)
    if row.get("rtnLongModifDatesOpt") == "C" and vr in DATES:
        assert str(element.value) == moved(vr)
        return
    if element is None:
        assert "X" in code
    elif code == "X/Z/U*":
        assert vr == "SQ"
        assert [item.ReferencedSOPInstanceUID for item in element.value] == [PSEUDONYMS.uid(CANARY_UID)]
    elif element.is_empty:
        assert "Z" in code
    elif code == "Z" and tag == 0x00100010:
        assert str(element.value) == f"P-{PATIENT[:16]}"  # E.1.1: Z may be a value that says nothing
    elif code == "U":
        assert element.value == PSEUDONYMS.uid(CANARY_UID)
    else:
        assert "D" in code
        assert element.value != canary(tag).value


@pytest.mark.skipif(not ROWS, reason="no data/dicom_standard at hand")
@pytest.mark.parametrize("row", PLAIN_ROWS, ids=[row["id"] for row in PLAIN_ROWS])
def test_every_row_at_top_level_and_in_a_sequence(row):
    tag = int(row["id"], 16)
    item = Dataset()
    item.add(canary(tag))
    inner = Dataset()
    inner.add(canary(tag))
    references = 0x00081140 if tag != 0x00081140 else 0x00082112  # X/Z/U*: kept
    item.add(DataElement(references, "SQ", Sequence([inner])))
    shared_groups = DataElement(0x52009229, "SQ", Sequence([item]))  # no row: kept
    ds, data = cleaned(minimal(canary(tag), shared_groups))
    # The four UIDs that name the instance, and what records the de-identification, are checked below by themselves.
    levels = [ds, ds[0x52009229].value[0], ds[0x52009229].value[0][references].value[0]]
    if tag in (0x00001001, 0x00020003):  # commands and file meta information have no place in a data set
        assert not any(tag in level for level in levels)
        assert ds.file_meta.MediaStorageSOPInstanceUID == PSEUDONYMS.uid("1.2.3.4.5")
        levels = []
    for level in levels:
        if level is ds and tag in (0x00080018, 0x0020000D, 0x0020000E):
            continue
        check(level, tag, row)
    for value in (CANARY.encode(), CANARY_BYTES, CANARY_UID.encode()):
        assert value not in data


@pytest.mark.skipif(not ROWS, reason="no data/dicom_standard at hand")
def test_the_four_rows_that_are_patterns():
    assert {row["id"] for row in ROWS} - {row["id"] for row in PLAIN_ROWS} == {
        "50xxxxxx",
        "60xx3000",
        "60xx4000",
        "ggggeeee-where-gggg-is-odd",
    }


@pytest.mark.parametrize("group", [0x5000, 0x501E, 0x6000, 0x6002, 0x601E])
@pytest.mark.parametrize("element", [0x0010, 0x0022, 0x0040, 0x3000, 0x4000])
def test_repeating_groups_go_at_every_level(group, element):
    tag = group << 16 | element
    item = Dataset()
    item.add(DataElement(tag, "LO", CANARY))
    ds, data = cleaned(minimal(DataElement(tag, "LO", CANARY), DataElement(0x52009229, "SQ", Sequence([item]))))
    assert tag not in ds and tag not in ds[0x52009229].value[0]
    assert CANARY.encode() not in data


def test_private_attributes_go_at_every_level_with_their_creators():
    def private(ds: Dataset) -> Dataset:
        block = ds.private_block(0x0029, "ACME 1.0", create=True)
        block.add_new(0x10, "LO", CANARY)
        nested = Dataset()
        nested.PatientName = CANARY
        block.add_new(0x11, "SQ", [nested])
        return ds

    kept = private(Dataset())
    ds, data = cleaned(private(minimal(DataElement(0x52009229, "SQ", Sequence([kept])))))
    assert not [tag for tag in ds.keys() if tag.is_private]
    assert CANARY.encode() not in data and b"ACME" not in data


@pytest.mark.parametrize(
    ("tag", "vr"),
    [(0x00101002 + 0x7000, "LO"), (0x00400FFF, "UN"), (0x00100FF0, "PN")],
    ids=["tag the dictionary does not know", "unknown tag sent as UN", "a person's name under an unknown tag"],
)
def test_what_nobody_knows_goes(tag, vr):
    ds, data = cleaned(minimal(DataElement(tag, vr, CANARY_BYTES if vr == "UN" else CANARY)))
    assert tag not in ds
    assert CANARY.encode() not in data


def test_a_known_sequence_sent_as_unknown_is_walked():
    """A sender may write what it does not know as UN (PS3.5 section 6.2.2); inside is implicit VR."""
    item = Dataset()
    item.add(DataElement(0x00100010, "PN", CANARY))
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    pydicom.filewriter.write_sequence(buffer, DataElement(0x52009229, "SQ", Sequence([item])), ["iso8859"])
    value = buffer.getvalue()
    tag = pydicom.tag.Tag(0x52009229)
    _, data = cleaned(minimal(RawDataElement(tag, "UN", len(value), value, 0, False, True)))
    assert CANARY.encode() not in data


def test_what_describes_the_image_stays():
    kept = minimal(
        DataElement(0x00180050, "DS", "1.5"),
        DataElement(0x00180081, "DS", "2.96"),
        DataElement(0x00200032, "DS", ["1", "2", "3"]),
        DataElement(0x00181060, "DS", "18.75"),
    )
    ds, _ = cleaned(kept)
    assert (ds.SliceThickness, ds.EchoTime, ds.TriggerTime) == (1.5, 2.96, 18.75)
    assert ds.ImagePositionPatient == [1, 2, 3]
    assert ds.PixelData == b"\1\0"


def test_the_object_records_how_it_was_cleaned():
    ds, _ = cleaned(minimal())
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    assert list(ds.DeidentificationMethod) == ["radloop profile 1", "PS3.15 E.1-1 2024b with rows of 2026c"]
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in ds.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113107", "DCM")]
    assert all(len(value) <= 64 for value in ds.DeidentificationMethod)


def test_patient_is_the_same_pseudonym_in_every_instance():
    ds, _ = cleaned(minimal(DataElement(0x00100010, "PN", "Doe^Jane"), DataElement(0x00100020, "LO", "PAT-1")))
    assert ds.PatientID == str(ds.PatientName) == f"P-{PATIENT[:16]}"


@pytest.mark.skipif(not ROWS, reason="no data/dicom_standard at hand")
def test_table_of_the_package_says_what_the_standard_says():
    table = table_of(TABLE_EDITION)
    assert {int(row["id"], 16): row["basicProfile"] for row in PLAIN_ROWS} == table


def test_newer_edition_only_adds_rows():
    older, newer = table_of(TABLE_EDITION), table_of(NEWEST_EDITION)
    assert {tag: newer[tag] for tag in older} == older
    assert len(newer) - len(older) == 35


def test_profile_refuses_codes_it_does_not_know():
    with pytest.raises(Invalid, match="profile-code-unknown"):
        Profile({0x00100010: "X/K"}, standard_vr)


@pytest.mark.parametrize(
    ("tag", "vr", "action"),
    [
        (0x00100010, "PN", Action.PATIENT),
        (0x00080018, "UI", Action.UID),
        (0x00080020, "DA", Action.SHIFT),
        (0x00080020, "", Action.SHIFT),  # implicit VR
        (0x00100030, "DA", Action.EMPTY),  # birth date: not among the dates that are retained
        (0x00080050, "SH", Action.EMPTY),
        (0x00081030, "LO", Action.REMOVE),
        (0x00080016, "UI", Action.KEEP),  # SOP Class UID
        (0x00280010, "US", Action.KEEP),
        (0x00090010, "LO", Action.REMOVE),
        (0x00080000, "UL", Action.REMOVE),
        (0x00081140, "SQ", Action.KEEP),
        (0x0040A730, "SQ", Action.DUMMY),
    ],
)
def test_actions(tag, vr, action):
    assert load_profile().action(tag, vr) is action


@pytest.mark.parametrize(
    ("vr", "value", "days_back", "expected"),
    [
        ("DA", "20200301", 1, "20200229"),
        ("DA", "2020.03.01", 1, "20200229"),  # the form of ACR-NEMA, PS3.5 table 6.2-1
        ("DA", "20200301\\20200302", 1, "20200229\\20200301"),
        ("DA", "20200301 ", 366, "20190301"),
        ("DA", "", 1, ""),
        ("DA", "20120000", 1, None),  # as in sunnybrook_cine
        ("DA", "Doe^Jane", 1, None),
        ("DA", "00010101", 1, None),  # before the calendar
        ("DT", "20200301120000.5+0100", 1, "20200229120000.5+0100"),
        ("DT", "20200301", 1, "20200229"),
        ("DT", "2020", 1, None),  # no day to move
        ("TM", "235959.123456", 1, "235959.123456"),
        ("TM", "23:59:59", 1, "23:59:59"),
        ("TM", "Doe", 1, None),
    ],
)
def test_dates_move_by_whole_days(vr, value, days_back, expected):
    assert shifted(vr, value, days_back) == expected


def test_a_date_nobody_can_read_gets_the_basic_profile_instead():
    ds, data = cleaned(minimal(DataElement(0x00080020, "DA", "20120000"), DataElement(0x00080021, "DA", "19121299")))
    assert ds[0x00080020].is_empty  # Z
    assert 0x00080021 not in ds or ds[0x00080021].value == "19000101"  # X/D
    assert b"19121299" not in data


def test_no_dummy_for_what_has_none():
    with pytest.raises(Invalid, match="no-dummy"):
        dummy("SQ")
