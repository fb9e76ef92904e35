"""``ingest`` and ``withdraw``: what is sent, what is told of what became of it."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from radloop.errors import Invalid, NotFound
from standalone.commands import studies, withdrawal


def test_files_are_sent_in_zips_without_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "BUNDLE_BYTES", 250)
    folder = tmp_path / "Doe^John"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.dcm").write_bytes(bytes(100))
    (folder / "DICOMDIR").write_bytes(b"x")
    (folder / ".hidden").write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("x", b"y")
    files = [*studies.files_under(folder), *studies.files_under(tmp_path / "more.zip")]
    sent = list(studies.bundles(files))
    assert [bundle.count for bundle in sent] == [3, 1, 2]
    with zipfile.ZipFile(io.BytesIO(sent[0].content)) as archive:
        assert archive.namelist() == ["000000.dcm", "000001.dcm", "000002.dcm"]


def upload(stored: int, *studies: str, **rejected: int) -> dict[str, Any]:
    refused = [{"reason": reason.replace("_", "-"), "count": count} for reason, count in rejected.items()]
    received = stored + sum(rejected.values())
    return {
        "received": received,
        "stored": stored,
        "duplicates": 0,
        "held": 0,
        "rejected": refused,
        "studies": list(studies),
    }


def test_a_broken_archive_is_named_and_does_not_stop_the_others(tmp_path: Path, answers: Any) -> None:
    broken, whole = tmp_path / "broken.zip", tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("x", b"y" * 1000)
    broken.write_bytes(whole.read_bytes()[:500])
    client = answers(uploads=[Invalid("zip-unreadable", expected="a whole zip file"), upload(1, "s1")])
    sent = studies.Sent()
    for bundle in studies.bundles([broken, whole]):
        sent.send(client, bundle)
    assert (sent.stored, sent.studies) == (1, {"s1"})
    assert dict(sent.refused) == {("zip-unreadable", f"{broken}: a whole zip file"): 1}


def rejection(reason: str, series: str, count: int) -> dict[str, Any]:
    return {"reason": reason, "series_key": series, "detail": "why", "instance_count": count}


def test_what_did_not_become_a_case_is_told(answers: Any) -> None:
    seen = {
        "state": "ingested",
        "cases": [{"series_keys": ["good"]}],
        "rejections": [
            rejection("missing-slices", "gap", 33),
            rejection("missing-slices", "good", 12),  # of a day before its other slices came
            rejection("truncated", "good", 1),  # told when it was sent
        ],
    }
    client = answers(uploads=upload(5, "s1", truncated=1), s1=[seen | {"state": "receiving"}, seen])
    sent = studies.Sent()
    sent.send(client, studies.Bundle("x.zip", b"", 6))
    for study in studies.formed(client, sent.studies):
        sent.note(study)
    assert dict(sent.refused) == {("truncated", ""): 1, ("missing-slices", "why"): 33}
    assert sent.as_dict(formed=True) == {
        "received": 6,
        "stored": 5,
        "duplicates": 0,
        "held": 0,
        "studies": ["s1"],
        "cases": 1,
        "waiting": 0,
        "rejected": {"truncated": 1, "missing-slices": 33},
    }


def test_a_study_that_is_not_formed_in_time_is_told_so(answers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "FORMING_LIMIT_S", -1.0)
    client = answers(s1={"state": "receiving", "cases": [], "rejections": []}, s2=NotFound("study-unknown"))
    sent = studies.Sent()
    for study in studies.formed(client, {"s1", "s2"}):
        sent.note(study)
    assert (sent.waiting, sent.cases) == (1, 0)


def test_nothing_to_send_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nothing-to-send"):
        studies.ingest([tmp_path], tmp_path)


def test_a_study_is_withdrawn_by_its_key_or_its_uid(answers: Any) -> None:
    reason = withdrawal.WithdrawReason.CONSENT
    assert withdrawal.forget(answers(withdraw={"before": "received"}), "2.25.1", reason) == "received"
    client = answers(withdraw=[NotFound("study-unknown"), {"before": "unknown"}])
    assert withdrawal.forget(client, "1.2.3", reason) == "unknown"
    assert [body for _, body, _ in client.asked] == [
        {"study_key": "1.2.3", "reason": "consent"},
        {"study_instance_uid": "1.2.3", "reason": "consent"},
    ]


@pytest.mark.parametrize("study", ["", "Doe^John", "1.2/../3", "1" * 65])
def test_what_is_no_uid_is_not_withdrawn(tmp_path: Path, study: str) -> None:
    with pytest.raises(Invalid, match="study-uid|withdrawal-unclear"):
        withdrawal.withdraw(withdrawal.WithdrawReason.CONSENT, study, tmp_path, yes=True)
