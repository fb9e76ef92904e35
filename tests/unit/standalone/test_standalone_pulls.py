"""Query files of `radloop pull`: dates become text, and lists in files become lists."""

import pytest

from radloop.errors import Invalid
from standalone.commands.pulls import read_query, with_lists
from standalone.supervisor.programs import time_zone


def test_dates_of_yaml_become_text(tmp_path):
    file = tmp_path / "query.yaml"
    file.write_text("queries: [{study_date: {first: 2019-01-01}}]")
    assert read_query(file) == {"queries": [{"study_date": {"first": "2019-01-01"}}]}


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "- 1"), ("a.yaml", "a: [unclosed"), ("a.json", "a: 1")])
def test_what_is_no_query_file_is_said(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(Invalid, match="query-file"):
        read_query(tmp_path / name)


def test_lists_come_from_files_beside_the_query(tmp_path):
    (tmp_path / "ids.txt").write_text("P1\n\n P2 \n")
    (tmp_path / "cohort.csv").write_text('\ufeffName,Number\n"Doe, Jane",A1\nRoe,\n', encoding="utf-8")
    given = {
        "patient_ids": "ids.txt",
        "accession_numbers": {"file": "cohort.csv", "column": "Number"},
        "modality": "CT",
    }
    assert with_lists({"queries": [given, {"patient_ids": [17]}]}, tmp_path)["queries"] == [
        {"patient_ids": ["P1", "P2"], "accession_numbers": ["A1"], "modality": "CT"},
        {"patient_ids": ["17"]},
    ]


@pytest.mark.parametrize("given", ["none.txt", "empty.txt", {"file": "cohort.csv", "column": "Nobody"}])
def test_a_list_that_is_not_there_is_said(tmp_path, given):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "cohort.csv").write_text("Name\nRoe\n")
    with pytest.raises(Invalid, match="query-list"):
        with_lists({"queries": [{"patient_ids": given}]}, tmp_path)


def test_what_else_is_wrong_is_left_to_the_service(tmp_path):
    for query in ({}, {"queries": 1}, {"queries": [7]}, {"queries": [{"patient_ids": {"file": "a"}}]}):
        assert with_lists(query, tmp_path) == query


def test_the_time_zone_of_this_machine(tmp_path, monkeypatch):
    link = tmp_path / "localtime"
    monkeypatch.delenv("TZ", raising=False)
    assert time_zone(link) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert time_zone(link) in ("Europe/Berlin", "UTC")
    monkeypatch.setenv("TZ", ":America/New_York")
    assert time_zone(link) == "America/New_York"
    monkeypatch.setenv("TZ", "CET-1CEST")
    assert time_zone(link) == "UTC"
