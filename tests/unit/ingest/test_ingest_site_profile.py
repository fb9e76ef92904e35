"""What a site may choose beyond the Basic Profile: each option at top level and in a sequence, against the standard's own table."""

import json
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom._private_dict import private_dictionaries
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ingest.adapters.cleaning import Cleaner, load_profile
from ingest.adapters.encoding import encode, stored_syntax
from ingest.adapters.extraction import header_of
from ingest.adapters.parsing import configure_libraries, parse
from ingest.adapters.retention import read_retention
from ingest.adapters.site_profile import read_site_profile
from ingest.adapters.values import standard_vr
from ingest.domain import profile_columns as columns
from ingest.domain.pseudonyms import PatientIdentity, Pseudonyms
from ingest.domain.site_profile import (
    STANDARD_SAFE_PRIVATE,
    Dates,
    Document,
    Retained,
    SafePrivate,
    SiteProfile,
)
from radloop.errors import Invalid
from tests.unit.ingest.test_ingest_deidentification import (
    CANARY,
    DATES,
    DAYS_BACK,
    PATIENT,
    PLAIN_ROWS,
    PSEUDONYMS,
    ROWS,
    canary,
    check,
    minimal,
    moved,
)

needs_oracle = pytest.mark.skipif(not ROWS, reason="no data/dicom_standard at hand")

SHARED_GROUPS = 0x52009229
NAMED = {0x00080018, 0x0020000D, 0x0020000E, 0x00080016}
"""What names the instance and its kind."""


def cleaned(
    ds: Dataset, site: SiteProfile | None = None, syntax: str = ExplicitVRLittleEndian
) -> tuple[Dataset, bytes]:
    """Send a data set through parsing, cleaning and encoding under a profile."""
    configure_libraries()
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    pydicom.filewriter.write_dataset(buffer, ds)
    profile = load_profile(site)
    parsed = parse(buffer.getvalue(), syntax, profile.site.documents)
    header = header_of(parsed, stored_syntax(parsed.transfer_syntax_uid))
    Cleaner(profile, PSEUDONYMS).clean(parsed.ds, PATIENT, DAYS_BACK, document=parsed.is_document)
    data, _ = encode(parsed, header, PSEUDONYMS.uid("1.2.3.4.5"))
    return pydicom.dcmread(BytesIO(data)), data


def rows_of_data_sets() -> list[tuple[int, dict]]:
    rows = [(int(row["id"], 16), row) for row in PLAIN_ROWS]
    return [(tag, row) for tag, row in rows if tag >> 16 >= 8 and tag not in NAMED]


def everything() -> Dataset:
    """Return a data set with every row of the table, at top level and in a sequence."""
    item = Dataset()
    for tag, _ in rows_of_data_sets():
        item.add(canary(tag))
    ds = minimal(*(canary(tag) for tag, _ in rows_of_data_sets()))
    ds[SHARED_GROUPS] = DataElement(SHARED_GROUPS, "SQ", Sequence([item]))
    return ds


def levels(ds: Dataset) -> list[Dataset]:
    return [ds, ds[SHARED_GROUPS].value[0]]


def site(**choices) -> SiteProfile:
    return SiteProfile("test", 1, **choices)


def codes(ds: Dataset) -> list[str]:
    return [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


@needs_oracle
@pytest.mark.parametrize(
    ("mine", "column", "code"),
    [
        (columns.PATIENT_CHARACTERISTICS, "rtnPatCharsOpt", "K"),
        (columns.PATIENT_CHARACTERISTICS_TEXT, "rtnPatCharsOpt", "C"),
        (columns.DEVICE_IDENTITY, "rtnDevIdOpt", "K"),
        (columns.DEVICE_IDENTITY_TEXT, "rtnDevIdOpt", "C"),
        (columns.INSTITUTION_IDENTITY, "rtnInstIdOpt", "K"),
        (columns.DESCRIPTORS, "cleanDescOpt", "C"),
        (columns.STRUCTURED_CONTENT, "cleanStructContOpt", "C"),
        (columns.GRAPHICS, "cleanGraphOpt", "C"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_columns_say_what_the_standard_says(mine, column, code):
    assert mine == {int(row["id"], 16) for row in PLAIN_ROWS if row.get(column) == code}


@needs_oracle
def test_both_longitudinal_columns_name_the_same():
    full, modified = ({r["id"] for r in ROWS if r.get(f"rtnLong{name}DatesOpt")} for name in ("Full", "Modif"))
    assert full == modified and len(full) == 165


def test_no_choice_is_todays_behaviour_byte_for_byte():
    assert cleaned(everything())[1] == cleaned(everything(), SiteProfile())[1]
    ds, _ = cleaned(minimal())
    assert list(ds.DeidentificationMethod) == ["radloop profile 1", "PS3.15 E.1-1 2024b with rows of 2026c"]
    assert codes(ds) == ["113100", "113107"] and ds.LongitudinalTemporalInformationModified == "MODIFIED"


@needs_oracle
@pytest.mark.parametrize(
    ("what", "column", "code"),
    [
        (Retained.PATIENT_CHARACTERISTICS, "rtnPatCharsOpt", "113108"),
        (Retained.DEVICE_IDENTITY, "rtnDevIdOpt", "113109"),
        (Retained.INSTITUTION_IDENTITY, "rtnInstIdOpt", "113112"),
    ],
)
def test_what_is_retained_at_top_level_and_in_a_sequence(what, column, code):
    ds, _ = cleaned(everything(), site(retained=frozenset({what})))
    without, _ = cleaned(everything())
    kept = 0
    for level, before in zip(levels(ds), levels(without), strict=True):
        for tag, row in rows_of_data_sets():
            vr = (standard_vr(tag) or "LO").split(" or ")[0]
            if row.get(column) != "K":
                assert level.get(tag) == before.get(tag), row["name"]
            elif vr in DATES:  # the dates' option goes before: a date that stays would give the days away
                assert str(level[tag].value) == moved(vr), row["name"]
            elif vr != "SQ":
                assert level[tag].value == canary(tag).value, row["name"]
                kept += 1
            else:  # kept, and cleaned inside
                assert level[tag].value[0].ReferencedSOPInstanceUID == PSEUDONYMS.uid("1.2.840.99999.8.7.6")
    assert kept
    assert codes(ds) == sorted(["113100", "113107", code])
    assert list(ds.DeidentificationMethod)[1] == "test 1"


@needs_oracle
def test_full_dates_at_top_level_and_in_a_sequence():
    ds, _ = cleaned(everything(), site(dates=Dates.FULL))
    without, _ = cleaned(everything())
    for level, before in zip(levels(ds), levels(without), strict=True):
        for tag, row in rows_of_data_sets():
            vr = (standard_vr(tag) or "LO").split(" or ")[0]
            if row.get("rtnLongFullDatesOpt") == "K" and vr in DATES:
                assert str(level[tag].value) == DATES[vr], row["name"]
            else:
                assert level.get(tag) == before.get(tag), row["name"]
    assert codes(ds) == ["113100", "113106"] and ds.LongitudinalTemporalInformationModified == "UNMODIFIED"


@needs_oracle
def test_no_dates_at_top_level_and_in_a_sequence():
    ds, data = cleaned(everything(), site(dates=Dates.NONE))
    for level in levels(ds):
        for tag, row in rows_of_data_sets():
            check(level, tag, {key: value for key, value in row.items() if key != "rtnLongModifDatesOpt"})
    assert DATES["DA"].encode() not in data and DATES["TM"].encode() not in data
    assert codes(ds) == ["113100"] and ds.LongitudinalTemporalInformationModified == "REMOVED"


def test_a_name_under_a_date_goes_even_with_full_dates():
    ds, data = cleaned(minimal(DataElement(0x00080020, "DA", "Doe^Jane")), site(dates=Dates.FULL))
    assert ds[0x00080020].is_empty and b"Doe" not in data


def test_only_listed_values_of_descriptors_stay():
    listed = site(allowed_values={0x0008103E: frozenset({"T1 MPRAGE"}), 0x00081030: frozenset({"HEAD"})})

    def described(series: str, study: str) -> Dataset:
        inner = Dataset()
        inner.SeriesDescription, inner.StudyDescription = series, study
        return minimal(
            DataElement(0x0008103E, "LO", series),
            DataElement(0x00081030, "LO", study),
            DataElement(SHARED_GROUPS, "SQ", Sequence([inner])),
        )

    ds, data = cleaned(described("T1 MPRAGE ", "Jane's head"), listed)
    for level in levels(ds):
        assert level.SeriesDescription == "T1 MPRAGE" and "StudyDescription" not in level
    assert b"Jane" not in data
    assert codes(ds) == ["113100", "113105", "113107"]
    assert "SeriesDescription" not in cleaned(described("T1 MPRAGE for Jane", "HEAD"), listed)[0]


def test_values_are_listed_only_where_the_standard_has_them_cleaned():
    with pytest.raises(Invalid, match=r"\(0010,0010\)"):
        site(allowed_values={0x00100010: frozenset({"Jane"})})
    with pytest.raises(Invalid, match=r"\(0040,0241\)"):  # Performed Station AE Title
        site(allowed_values={0x00400241: frozenset({"CT1"})})
    site(allowed_values={0x00400241: frozenset({"CT1"})}, retained=frozenset({Retained.DEVICE_IDENTITY}))


# Private attributes


def with_private(level: Dataset, creator: str = "SIEMENS MR HEADER", block: int = 0x11) -> Dataset:
    level.add_new(0x00190000 | block, "LO", creator)
    level.add_new(0x00190000 | block << 8 | 0x0C, "IS", "1000")
    level.add_new(0x00190000 | block << 8 | 0x0E, "FD", [0.5, 0.25, -1.0])
    level.add_new(0x00190000 | block << 8 | 0x01, "LO", CANARY)
    level.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    level.add_new(0x00291010, "OB", b"CANARY!!")
    return level


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_private_attributes_of_the_safe_list_stay_at_every_level(syntax):
    inner = with_private(Dataset(), block=0x12)
    ds = with_private(minimal(DataElement(SHARED_GROUPS, "SQ", Sequence([inner]))))
    ds, data = cleaned(ds, site(safe_private=STANDARD_SAFE_PRIVATE), syntax)
    for level, block in zip(levels(ds), (0x11, 0x12), strict=True):
        found = level.private_block(0x0019, "SIEMENS MR HEADER")
        assert found.block_start == block << 8
        assert found[0x0C].value == 1000 and list(found[0x0E].value) == [0.5, 0.25, -1.0]
        assert [tag for tag in level.keys() if tag.is_private and tag.group == 0x0029] == []
        assert 0x01 not in found
    assert CANARY.encode() not in data and b"CSA" not in data
    assert codes(ds) == ["113100", "113107", "113111"]


def test_another_creator_in_the_block_and_none_at_all():
    safe = site(safe_private=STANDARD_SAFE_PRIVATE)
    ds, data = cleaned(with_private(minimal(), creator="ACME"), safe)
    assert not [tag for tag in ds.keys() if tag.is_private] and b"ACME" not in data
    orphan = minimal()
    orphan.add_new(0x0019110C, "IS", "1000")
    assert not [tag for tag in cleaned(orphan, safe)[0].keys() if tag.is_private]


@pytest.mark.parametrize(
    ("vr", "sent_as", "value", "stays"),
    [
        ("IS", "IS", "12", True),
        ("IS", "IS", "Doe^Jane", False),
        ("DS", "DS", "1.5\\-2e3", True),
        ("DS", "LO", "1.5", False),  # another VR than the list's
        ("CS", "CS", "Doe^Jane", False),
        ("US", "US", 7, True),
        ("LO", "LO", "fl3d", True),
        ("UI", "UI", "1.2.840.99999.8.7.6", True),
        ("DA", "DA", "20200131", True),
        ("DA", "DA", "Doe^Jane", False),
    ],
)
def test_a_private_value_has_the_form_of_its_vr(vr, sent_as, value, stays):
    ds = minimal()
    ds.add_new(0x00190010, "LO", "ACME")
    sent = value.to_bytes(2, "little") if isinstance(value, int) else value.encode()
    ds[0x00191001] = RawDataElement(Tag(0x00191001), sent_as, len(sent), sent, 0, False, True)
    found, data = cleaned(ds, site(safe_private=(SafePrivate(0x0019, "ACME", 1, vr),)))
    assert (0x00191001 in found) is stays
    assert b"Doe" not in data
    if vr == "UI":
        assert found[0x00191001].value == PSEUDONYMS.uid(value)
    if vr == "DA" and stays:
        assert found[0x00191001].value == moved("DA")


def test_the_standard_list_is_known_to_the_private_dictionary():
    for entry in STANDARD_SAFE_PRIVATE:
        known = private_dictionaries[entry.creator][f"{entry.group:04X}xx{entry.element:02X}"]
        assert known[0] == entry.vr, entry


@pytest.mark.parametrize("vr", ["OB", "UN", "SQ", "PN", "LT", "UT"])
def test_nobody_vouches_for_what_cannot_be_read(vr):
    with pytest.raises(Invalid, match="safe-private-invalid"):
        SafePrivate(0x0019, "ACME", 1, vr)


# Intervals

DAYS = st.dates(date(1995, 1, 1), date(2030, 12, 31))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(DAYS, DAYS, DAYS), min_size=2, max_size=4), st.binary(min_size=32, max_size=32))
def test_all_intervals_of_a_patient_stay(studies, key):
    """Across studies, nested sequences, and a restart of the service, which has nothing but the key."""
    configure_libraries()
    before, after = [], []
    for number, (study, acquired, nested) in enumerate(studies):
        pseudonyms = Pseudonyms(key)  # a session of its own
        patient = pseudonyms.patient(PatientIdentity("HOSP", "PAT-1"), f"1.2.{number}")
        inner, inmost = Dataset(), Dataset()
        inmost.AcquisitionDateTime = f"{nested:%Y%m%d}101500.5"
        inner.AcquisitionDate, inner.ReferencedImageSequence = f"{acquired:%Y%m%d}", [inmost]
        ds = minimal(
            DataElement(SHARED_GROUPS, "SQ", Sequence([inner])), DataElement(0x00080020, "DA", f"{study:%Y%m%d}")
        )
        Cleaner(load_profile(), pseudonyms).clean(ds, patient, pseudonyms.days_back(patient))
        inner = ds[SHARED_GROUPS].value[0]
        inmost = inner.ReferencedImageSequence[0]
        assert str(inmost.AcquisitionDateTime)[8:] == "101500.5"
        before += [study, acquired, nested]
        found = (str(ds.StudyDate), str(inner.AcquisitionDate), str(inmost.AcquisitionDateTime)[:8])
        after += [date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in found]
    shifts = {early - late for early, late in zip(before, after, strict=True)}
    assert len(shifts) == 1 and timedelta(365) <= shifts.pop() <= timedelta(4014)


# The file

WHOLE = {
    "name": "research",
    "version": 3,
    "dates": "none",
    "retain": ["patient-characteristics"],
    "safe_private": {
        "standard": True,
        "more": [{"group": "0019", "creator": "ACME", "element": "0c", "vr": "DS"}],
    },
    "allowed_values": {"SeriesDescription": ["T1"]},
    "documents": ["key-objects"],
}


def test_a_file_is_read(tmp_path):
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(WHOLE))
    read = read_site_profile(file)
    assert (read.label, read.dates, read.documents) == ("research 3", Dates.NONE, {Document.KEY_OBJECTS})
    assert SafePrivate(0x0019, "ACME", 0x0C, "DS") in read.safe_private
    assert set(STANDARD_SAFE_PRIVATE) < set(read.safe_private)
    assert read.allowed_values == {0x0008103E: frozenset({"T1"})}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name"),
        ({"version": 0}, "version"),
        ({"dates": "shifted"}, "dates"),
        ({"retain": ["names"]}, "retain.0"),
        ({"retain_uids": True}, "profile-uids.*always replaced"),
        ({"keep": 1}, "keep"),
        ({"safe_private": {"more": [{"group": "0018", "creator": "A", "element": "01", "vr": "DS"}]}}, "odd group"),
        ({"safe_private": {"more": [{"group": "0019", "creator": "A", "element": "01", "vr": "OB"}]}}, "a VR of"),
        (
            {
                "safe_private": {
                    "more": [{"group": "0019", "creator": "A", "element": "01", "vr": v} for v in ("DS", "IS")]
                }
            },
            "one VR",
        ),
        ({"allowed_values": {"PatientsName": ["x"]}}, "keywords"),
        ({"allowed_values": {"PatientName": ["x"]}}, "short text"),
        ({"allowed_values": {"InstitutionName": ["x"]}}, r"\(0008,0080\)"),
        ({"allowed_values": {"SeriesDescription": []}}, "values of 1 to 64"),
        ({"documents": ["pdf"]}, "documents.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_file_that_is_not_understood(tmp_path, change, said):
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(WHOLE | change))
    with pytest.raises(Invalid, match=said):
        read_site_profile(file)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_no_file(tmp_path, text):
    file = tmp_path / "profile.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Invalid, match=r"profile-(unreadable|invalid)"):
        read_site_profile(file)


def test_the_example_of_the_documentation_is_read():
    examples = Path(__file__).parents[3] / "docs" / "examples"
    assert read_site_profile(examples / "site-profile.json").label == "hippocampus study 1"
    assert not read_retention(examples / "retention.json").act
