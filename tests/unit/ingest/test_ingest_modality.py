"""Modality is announced to the control plane: only terms of the standard go on, whatever the sender wrote."""

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ingest.adapters.extraction import header_of
from ingest.adapters.parsing import Parsed
from ingest.domain.modalities import TERMS, term_of


def header_with(modality: str):
    ds = Dataset()
    ds.add(DataElement(0x00080060, "CS", modality, validation_mode=pydicom.config.IGNORE))
    ds.Rows, ds.Columns = 1, 1
    return header_of(
        Parsed(ds, "1.2.840.10008.1.2.1", b"", "OW", "1.2", "1.2.1", "1.2.1.1", "1.2.840.10008.5.1.4.1.1.4"), "1.2"
    )


@pytest.mark.parametrize(("sent", "kept"), [("MR", "MR"), ("CT", "CT"), ("DOE^JANE", "OT"), ("mr", "MR"), ("", "")])
def test_free_text_in_modality_goes_no_further(sent, kept):
    assert header_with(sent).modality == term_of(sent) == kept


def test_every_modality_of_the_standard_is_a_term():
    standard = {getattr(codes.CID33, name).value for name in codes.CID33.dir()}
    assert standard <= TERMS
    assert all(len(term) <= 10 and term.isalnum() and term.isupper() for term in TERMS)
