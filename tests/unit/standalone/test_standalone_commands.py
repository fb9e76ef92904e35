"""The radloop command: it teaches by --help, starts fast, and its errors say what to do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from radloop.errors import Busy, Conflict, Invalid, NotFound, PermanentError, TemporaryError
from standalone.client import error_of
from standalone.commands import datasets, models, options, projects
from standalone.commands.platform import _flat
from standalone.commands.root import app
from standalone.demo.cohort import phantom_source
from standalone.demo.state import Choices, check_same, remember, remembered
from standalone.layout import Layout, Platform, read_platform

runner = CliRunner()


def leaves() -> list[list[str]]:
    found = []
    root = get_command(app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            found += [[name, each] for each in command.commands]
        else:
            found.append([name])
    return found


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_teaches_with_an_example(words: list[str]) -> None:
    answer = runner.invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    assert "Example:" in answer.output
    assert f"radloop {' '.join(words)}" in answer.output


def test_what_the_issue_names_is_there() -> None:
    names = {" ".join(words) for words in leaves()}
    assert names >= {
        "up",
        "demo",
        "status",
        "events tail",
        "project apply",
        "project show",
        "project list",
        "ingest",
        "labels import",
        "models list",
        "models import",
        "models promote",
        "models rollback",
        "dataset export",
        "export send",
        "export list",
        "withdraw",
        "withdrawn list",
        "withdrawn proof",
        "audit",
        "train",
        "token",
        "dlq list",
        "dlq show",
        "dlq replay",
        "backup create",
        "backup verify",
        "backup restore",
        "keys escrow",
        "keys rotate",
    }


def test_help_imports_nothing_heavy() -> None:
    heavy = ["numpy", "httpx", "sqlalchemy", "fastapi", "torch", "matplotlib", "pydicom", "google.protobuf"]
    script = (
        "import sys\n"
        "from standalone.commands.root import app\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_says_expected_got_and_do_and_ends_with_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "standalone", "status", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: platform-not-running"
    assert "  do:       start it with: radloop up" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "events.db").mkdir()
    command = [sys.executable, "-m", "standalone", "project", "apply", "/proc/self/mem"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: file-system")


def test_an_export_is_written_where_there_is_room_for_it(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="file-exists"):
        datasets.export("ab", tmp_path, tmp_path)
    with pytest.raises(NotFound, match="folder-missing"):
        datasets.export("ab", tmp_path / "none" / "x.zip", tmp_path)


def answered(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, json=body, request=httpx.Request("GET", "http://x/y"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (409, Conflict), (422, Invalid), (503, Busy), (413, PermanentError), (500, TemporaryError)],
)
def test_what_a_service_answers_is_raised_in_its_own_words(status: int, kind: type) -> None:
    error = error_of(answered(status, {"error": "some-code", "expected": "a", "got": "b", "do": "c"}))
    assert type(error) is kind
    assert (error.code, error.expected, error.got, error.do) == ("some-code", "a", "b", "c")


def test_an_answer_of_somebody_else_is_told_as_it_is() -> None:
    error = error_of(httpx.Response(502, text="<html>", request=httpx.Request("GET", "http://x/y")))
    assert (error.code, error.got) == ("unexpected-answer", "status 502 from /y")


def test_the_only_project_need_not_be_named(answers: Any) -> None:
    one = {"projects": [{"project_id": "only"}]}
    assert options.the_project(answers(projects=one), "") == "only"
    assert options.the_project(answers(projects=one), "named") == "named"
    for several in ([], [{"project_id": "a"}, {"project_id": "b"}]):
        with pytest.raises(Invalid, match="--project NAME"):
            options.the_project(answers(projects={"projects": several}), "")


def test_a_digest_may_be_shortened_while_it_is_the_only_one(answers: Any) -> None:
    client = answers(models={"models": [{"model_digest": "sha256:ab12"}, {"model_digest": "sha256:ab99"}]})
    assert models.full_digest(client, "p", "ab1") == "sha256:ab12"
    with pytest.raises(Invalid, match="2 that begin so"):
        models.full_digest(client, "p", "ab")
    with pytest.raises(NotFound):
        models.full_digest(client, "p", "cd")


def test_a_model_is_described_by_what_is_known_of_it() -> None:
    interval = {"mean": 0.85, "low": 0.84, "high": 0.86, "patients": 30}
    nothing = {"mean": None, "segments": []}
    trained = {
        "model_name": "hippocampus",
        "run_number": 2,
        "train_patient_count": 16,
        "dataset_version": "sha256:" + "d" * 64,
        "comparison": {"serving_digest": "sha256:" + "a" * 64, "mean_difference": 0.01, "patient_count": 12},
        "outcome": "kept",
        "serving": False,
        "wanted": False,
        "metrics": {"validation": nothing, "test": {"mean": interval, "segments": [interval | {"value": 1}]}},
        "lineage": {"label_version_ids": ["v1", "v2"]},
    }
    lines = dict(models.described(trained, ""))
    assert lines["against aaaaaaaaaaaa"] == "+0.010 Dice on 12 patients"
    assert lines["test, segment 1"] == lines["test, mean"] == "0.850 (0.840-0.860), 30 patients"
    assert (lines["state"], lines["labels"], "why" in lines) == ("not better, not taken", "2 versions", False)
    brought = trained | {"run_number": None, "dataset_version": None, "comparison": None, "outcome": "load-failed"}
    brought |= {"train_patient_count": None, "lineage": {"label_version_ids": []}}
    brought |= {"metrics": {"validation": nothing, "test": nothing}}
    assert list(models.described(brought, "not-finite")) == [
        ["name", "hippocampus"],
        ["state", "could not be loaded"],
        ["why", "not-finite"],
    ]


@pytest.mark.parametrize("content", [b"{not json", b'["a list"]', b'{"project_id": "\xe4"}'])
def test_a_project_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "project.json"
    file.write_bytes(content)
    with pytest.raises(Invalid, match="project-file"):
        projects.read_project(file)


@pytest.mark.parametrize("named", ["", "a/../b", "Upper", 7, None])
def test_a_project_id_that_is_no_name_is_refused(tmp_path: Path, named: object) -> None:
    file = tmp_path / "project.json"
    file.write_text(json.dumps({"project_id": named}))
    with pytest.raises(Invalid, match="project-id"):
        projects.apply(file, tmp_path)


def test_a_project_may_be_yaml(tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_text("project_id: p\nsegments:\n  - value: 1\n")
    assert projects.read_project(file) == {"project_id": "p", "segments": [{"value": 1}]}


def test_a_status_is_told_in_words() -> None:
    status = {"tasks": {"open": 2, "closed": 0}, "waiting": 3, "triton": "ready", "ok": True}
    assert _flat(status) == ["tasks open 2", "waiting 3", "triton ready"]


def platform(pid: int) -> Platform:
    return Platform("http://127.0.0.1:1", pid, {}, "127.0.0.1", 1, "RADLOOP", "code", True)


def test_a_platform_is_found_by_its_file_for_this_user_alone(tmp_path: Path) -> None:
    import os

    layout = Layout(tmp_path)
    platform(os.getpid()).write(layout)
    assert read_platform(layout) == platform(os.getpid())
    assert layout.platform_file.stat().st_mode & 0o777 == 0o600


def test_a_platform_that_ended_without_saying_so_is_not_found(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    platform(done.pid).write(Layout(tmp_path))
    with pytest.raises(NotFound, match="radloop up"):
        read_platform(Layout(tmp_path))
    (tmp_path / "platform.json").write_text(json.dumps({"other": 1}))
    with pytest.raises(PermanentError, match="release"):
        read_platform(Layout(tmp_path))


CHOICES = Choices(
    seed=1,
    rounds=1,
    batch=4,
    start=2,
    pool=4,
    test=2,
    validation=2,
    initial_steps=0,
    update_steps=0,
    error_share=0.15,
    cohort="auto",
)


def test_a_demo_goes_on_with_the_options_it_began_with(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert remembered(layout) is None
    remember(layout, CHOICES, phantom_source())
    begun, source = remembered(layout)
    assert (begun, source) == (CHOICES, phantom_source())
    check_same(CHOICES, begun, layout)
    other = Choices(**{**vars(CHOICES), "seed": 2})
    with pytest.raises(Conflict, match="seed 1 \\(not 2\\)"):
        check_same(other, begun, layout)
