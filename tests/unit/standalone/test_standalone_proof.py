"""The page about a withdrawn study: whatever is not done, or cannot be seen, stands on it."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from radloop.errors import Invalid, NotFound, TemporaryError
from standalone.backup.manifest import Manifest
from standalone.commands import withdrawal
from standalone.proof import SERVICES, collected, page

KEY = "2.25.4711"
PROOF = {
    "study_key": KEY,
    "reason": "consent",
    "withdrawn_at": 1_750_000_000.0,
    "not_seen_here": ["Backups contain it."],
}
NOTHING = {"outbox": 0, "parked": 0}


def left(service: str, **changes: Any) -> dict[str, Any]:
    kept = [{"table": "withdrawn", "rows": 1, "says": "that it is to be forgotten"}]
    return {"service": service, "forgets": True, "rows": {}, "kept": kept, "objects": 0, "events": NOTHING} | changes


@pytest.fixture
def platform(answers: Any) -> Any:
    def make(**changes: Any) -> Any:
        remains = [changes.get(service, left(service)) for service in SERVICES]
        listed = {
            "withdrawn": [{"study_key": KEY, "digest": "d1", "model_digest": "m1"}, {"study_key": "x", "digest": "d2"}]
        }
        return answers(proof=PROOF, remains=remains, status={"projects": [{"project_id": "p"}]}, withdrawn=listed)

    return make


def test_nothing_is_left(platform: Any) -> None:
    found = collected(platform(), KEY, [])
    assert found["complete"]
    text = page(found)
    assert "Nothing of the study is left in any service." in text
    assert "project p: dataset d1, model m1" in text and "d2" not in text
    assert "No folder was named" in text and "Backups contain it." in text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (left("qa", rows={"reviews": 2}), "2 reviews"),
        (left("qa", objects=3), "| 3 |"),
        (left("qa", events={"outbox": 0, "parked": 1}), "| 1 |"),
        (left("qa", forgets=False, kept=[]), "not yet"),
        (TemporaryError("platform-unreachable"), "did not answer: platform-unreachable"),
    ],
)
def test_what_is_not_done_stands_on_the_page(platform: Any, answer: Any, said: str) -> None:
    found = collected(platform(qa=answer), KEY, [])
    assert not found["complete"] and found["verdict"] == "Not finished: qa."
    (line,) = (line for line in page(found).splitlines() if line.startswith("| qa |"))
    assert said in line


def test_a_site_without_a_control_plane_says_where_else_to_ask(platform: Any) -> None:
    found = collected(platform(**{"control-plane": NotFound("service-unknown")}), KEY, [])
    assert found["complete"] and found["verdict"] == "Nothing of the study is left in any service of this site."
    assert "| control-plane | not at this site: ask there." in page(found)
    assert not collected(platform(qa=NotFound("service-unknown")), KEY, [])["complete"]


def test_backups_before_and_after(platform: Any, tmp_path: Path) -> None:
    for name, made_at in (("monday", "2025-06-01T00:00:00+00:00"), ("friday", "2025-07-01T00:00:00+00:00")):
        (tmp_path / name).mkdir()
        Manifest("0.1.0", made_at, "site-1", "both", "embedded", ("ingest", "qa"), {}).write(tmp_path / name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    found = collected(platform(), KEY, [tmp_path])
    assert [(one["name"], one["may_contain_it"]) for one in found["backups"]] == [
        ("broken", True),
        ("friday", False),
        ("monday", True),
    ]
    assert "monday (2025-06-01T00:00:00+00:00): databases of ingest, qa; no objects; the keys." in page(found)


def test_a_study_that_was_not_withdrawn_has_no_page(answers: Any) -> None:
    with pytest.raises(NotFound, match="not-withdrawn"):
        collected(answers(proof=NotFound("not-withdrawn")), KEY, [])


@pytest.mark.parametrize(
    "words",
    [
        ["--reason", "consent"],
        ["2.25.1", "--reason", "consent", "--patient-id"],
        ["2.25.1", "--reason", "consent", "--refuse-future"],
        ["--reason", "consent", "--patient-id"],  # nobody to ask
    ],
)
def test_withdrawals_that_are_unclear(words: list[str]) -> None:
    app = typer.Typer()
    app.command()(withdrawal.withdraw)
    answer = CliRunner().invoke(app, words)
    assert isinstance(answer.exception, Invalid)


def test_ids_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("PAT-1\n\nACC-7\n")
    assert withdrawal._asked(file, patient=True, accession=True) == {
        "patient_id": "PAT-1",
        "issuer": "",
        "accession_number": "ACC-7",
    }
    file.write_text("\n")
    with pytest.raises(Invalid, match="ids-needed"):
        withdrawal._asked(file, patient=True, accession=False)
