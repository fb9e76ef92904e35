"""Keyed pseudonyms: stable, apart, and of the right form."""

import re
from collections import Counter

import pytest

from ingest.domain.pseudonyms import PatientIdentity, Pseudonyms, case_id, content_id
from radloop.errors import Invalid

KEY = bytes(range(32))


def test_the_same_key_gives_the_same_pseudonyms():
    a, b = Pseudonyms(KEY), Pseudonyms(KEY)
    assert a.uid("1.2.3") == b.uid("1.2.3") == "2.25.140031035463515320714560240770607996539"
    assert a.fingerprint == b.fingerprint
    assert a.vault_key == b.vault_key


def test_another_key_gives_others():
    a, b = Pseudonyms(KEY), Pseudonyms(bytes(32))
    assert a.uid("1.2.3") != b.uid("1.2.3")
    assert a.fingerprint != b.fingerprint


@pytest.mark.parametrize("original", ["1.2.3", "1.2.840.113619.2.5.1762583153.215519.978957063.78", "not a UID"])
def test_uids_are_valid(original):
    uid = Pseudonyms(KEY).uid(original)
    assert re.fullmatch(r"2\.25\.[1-9][0-9]*", uid)
    assert len(uid) <= 64
    assert int(uid[5:]) < 2**128


def test_key_of_another_length_is_refused():
    with pytest.raises(Invalid, match="site-key-invalid"):
        Pseudonyms(b"short")


def test_patients_with_the_same_number_at_two_issuers_are_two():
    pseudonyms = Pseudonyms(KEY)
    one = pseudonyms.patient(PatientIdentity("A", "1"), "1.2")
    assert one == pseudonyms.patient(PatientIdentity("A", "1"), "another study")
    assert one != pseudonyms.patient(PatientIdentity("B", "1"), "1.2")
    assert pseudonyms.patient(PatientIdentity("A1", ""), "1.2") != one


def test_nameless_studies_are_patients_of_their_own():
    pseudonyms = Pseudonyms(KEY)
    nobody = PatientIdentity("", "")
    assert pseudonyms.patient(nobody, "1.2") != pseudonyms.patient(nobody, "1.3")
    assert pseudonyms.patient(nobody, "1.2") == pseudonyms.patient(nobody, "1.2")


def test_projects_cannot_link_a_patient():
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.patient_key("a", "p") != pseudonyms.patient_key("b", "p")
    assert re.fullmatch(r"patient-[0-9a-f]{16}", pseudonyms.patient_key("a", "p"))


def test_days_back_are_spread_and_in_range():
    pseudonyms = Pseudonyms(KEY)
    days = [pseudonyms.days_back(str(number)) for number in range(2000)]
    assert min(days) >= 365 and max(days) < 365 + 3650
    assert len(set(days)) > 1000


def test_fractions_are_uniform():
    """20 000 draws into ten bins: 2000 each, standard deviation 42; five of them is 212."""
    pseudonyms = Pseudonyms(KEY)
    bins = Counter(int(10 * pseudonyms.fraction("p", str(number))) for number in range(20_000))
    assert set(bins) == set(range(10))
    assert all(abs(count - 2000) < 212 for count in bins.values())


def test_case_id_does_not_depend_on_the_order_of_series():
    assert case_id("s", "p", ["b", "a"], 0, 1) == case_id("s", "p", ["a", "b"], 0, 1)
    others = {case_id("s", "p", ["a"], phase, rule) for phase in (0, 1) for rule in (1, 2)}
    assert len(others) == 4


def test_content_id_keeps_parts_apart():
    assert content_id("ab", "c") != content_id("a", "bc")
    assert content_id("ab", "c") == content_id("ab", "c")
