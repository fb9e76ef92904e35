"""Objects without pixels: refused by name, or let in by the site's profile and cleaned of every word."""

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)

from ingest.adapters.cleaning import load_profile
from ingest.adapters.reception import Fate, Receiver
from ingest.domain.deidentification import shifted
from ingest.domain.site_profile import Document
from tests.unit.ingest.test_ingest_deidentification import CANARY, DAYS_BACK, minimal
from tests.unit.ingest.test_ingest_site_profile import cleaned, codes, site


def report() -> Dataset:
    """Return a structured report that says who it is about in every way it can."""

    def code(value: str, scheme: str, meaning: str) -> Sequence:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return Sequence([item])

    measured = Dataset()
    measured.ValueType, measured.ConceptNameCodeSequence = "NUM", code("410668003", "SCT", "Length")
    value = Dataset()
    value.NumericValue, value.MeasurementUnitsCodeSequence = "12.5", code("mm", "UCUM", "mm")
    measured.MeasuredValueSequence = Sequence([value])
    said = Dataset()
    said.ValueType, said.TextValue = "TEXT", f"{CANARY} is ill"
    said.ConceptNameCodeSequence = code("C1", "99LOCAL", f"{CANARY}'s finding")
    named = Dataset()
    named.ValueType, named.PersonName = "PNAME", CANARY
    when = Dataset()
    when.ValueType, when.DateTime = "DATETIME", "20200131120000"
    measured.ContentSequence = Sequence([said, named, when])
    ds = minimal()
    del ds.PixelData
    ds.SOPClassUID, ds.Modality, ds.StudyDate = BasicTextSRStorage, "SR", "20200131"
    ds.VerifyingOrganization, ds.ContentLabel = CANARY, "FINDINGS"
    ds.ContentSequence = Sequence([measured])
    return ds


def presentation_state() -> Dataset:
    text = Dataset()
    text.UnformattedTextValue, text.AnchorPoint = CANARY, [1.0, 2.0]
    drawn = Dataset()
    drawn.GraphicData, drawn.GraphicType, drawn.GraphicDimensions = [1.0, 2.0, 3.0, 4.0], "POLYLINE", 2
    layer = Dataset()
    layer.GraphicLayer, layer.TextObjectSequence, layer.GraphicObjectSequence = "L1", [text], [drawn]
    ds = minimal()
    del ds.PixelData
    ds.SOPClassUID, ds.Modality = GrayscaleSoftcopyPresentationStateStorage, "PR"
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "STATE", CANARY, CANARY
    ds.GraphicAnnotationSequence = Sequence([layer])
    return ds


def test_a_report_let_in_keeps_numbers_and_codes_and_no_words():
    ds, data = cleaned(report(), site(documents=frozenset({Document.STRUCTURED_REPORTS})))
    measured = ds.ContentSequence[0]
    assert measured.ConceptNameCodeSequence[0].CodeMeaning == "Length"
    assert measured.MeasuredValueSequence[0].NumericValue == 12.5
    said, named, when = measured.ContentSequence
    assert said.TextValue == "ANONYMIZED" and said.ConceptNameCodeSequence[0].CodeMeaning == "ANONYMIZED"
    assert named.PersonName != CANARY
    assert when.DateTime == shifted("DT", "20200131120000", DAYS_BACK)
    assert CANARY.encode() not in data and "PixelData" not in ds
    assert codes(ds) == ["113100", "113104", "113107"]


def test_a_presentation_state_let_in_keeps_what_is_drawn_and_no_words():
    ds, data = cleaned(presentation_state(), site(documents=frozenset({Document.PRESENTATION_STATES})))
    (layer,) = ds.GraphicAnnotationSequence
    assert list(layer.GraphicObjectSequence[0].GraphicData) == [1.0, 2.0, 3.0, 4.0]
    assert layer.TextObjectSequence[0].UnformattedTextValue == "ANONYMIZED"
    assert CANARY.encode() not in data
    assert codes(ds) == ["113100", "113103", "113107"]


def test_words_in_the_content_of_an_image_go_as_well():
    item = Dataset()
    item.ValueType, item.TextValue = "TEXT", CANARY
    ds = minimal(DataElement(0x00400555, "SQ", Sequence([item])))
    ds, data = cleaned(ds, site(documents=frozenset({Document.STRUCTURED_REPORTS})))
    assert ds.AcquisitionContextSequence[0].TextValue == "ANONYMIZED" and CANARY.encode() not in data


ALL_DOCUMENTS = frozenset(Document)


@pytest.mark.parametrize(
    ("sop_class", "documents", "named"),
    [
        (BasicTextSRStorage, frozenset(), "structured report (Basic Text SR Storage): the site's profile"),
        (KeyObjectSelectionDocumentStorage, frozenset({Document.STRUCTURED_REPORTS}), "key object selection"),
        (GrayscaleSoftcopyPresentationStateStorage, frozenset(), "presentation state"),
        (EncapsulatedPDFStorage, ALL_DOCUMENTS, "Encapsulated PDF Storage): it is never let in"),
        (RTStructureSetStorage, ALL_DOCUMENTS, "RT Structure Set Storage): it is never let in"),
        (RTPlanStorage, ALL_DOCUMENTS, "RT Plan Storage): it is never let in"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", ALL_DOCUMENTS, "12-lead ECG Waveform Storage): it is never let in"),
    ],
)
@pytest.mark.parametrize("pixels", [True, False])
def test_documents_are_refused_by_name(receiver, uow, objects, phantoms, sop_class, documents, named, pixels):
    mine = Receiver(
        receiver.dispatch, lambda: uow, objects, receiver.keys, load_profile(site(documents=documents)), receiver.vault
    )
    changes = {} if pixels else {"PixelData": None}
    with mine.open("RADLOOP") as reception:
        outcome = reception.receive(phantoms.file(phantoms.slice(SOPClassUID=sop_class, **changes)))
    assert outcome.fate is Fate.REFUSED and named in outcome.detail
    assert not objects.stored


def test_a_report_is_stored_found_and_no_case(receiver, uow, objects, phantoms):
    profile = load_profile(site(documents=frozenset({Document.STRUCTURED_REPORTS})))
    mine = Receiver(receiver.dispatch, lambda: uow, objects, receiver.keys, profile, receiver.vault)
    other = report()
    other.ContentLabel = "OTHER"
    with mine.open("RADLOOP") as reception:
        fates = [reception.receive(phantoms.file(ds)).fate for ds in (report(), report(), other)]
    assert fates == [Fate.STORED, Fate.DUPLICATE, Fate.DUPLICATE]
    ((_, instance),) = uow.instances.rows.values()
    assert (instance.header.frames, instance.header.rows) == (0, 0)
    assert uow.changes.rows[instance.changes].codes == ("113100", "113104", "113107")
