"""The contracts as files: linted, not broken, generated anew without a difference, and described in valid documents."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from google.protobuf.descriptor import FieldDescriptor

from radloop.contracts.topics import PRODUCERS, TOPICS, mirror_allow_list
from radloop.errors import PermanentError

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
BUF = Path(sys.executable).with_name("buf")
ASYNCAPI = ROOT / "docs/reference/asyncapi.yaml"
# The five events other systems build on (design, section 2).
PUBLIC = {"study-ingested", "label-approved", "model-trained", "prediction-made", "edge-case-flagged"}


def buf(*arguments: str, directory: Path = PROTO) -> subprocess.CompletedProcess:
    return subprocess.run([BUF, *arguments], cwd=directory, capture_output=True, text=True)


def breaking(directory: Path = PROTO) -> subprocess.CompletedProcess:
    return buf("breaking", "--against", str(PROTO / "released.binpb"), directory=directory)


def planted(tmp_path: Path, old: str, new: str, producer: str = "qa") -> Path:
    """Copy proto/ and change one place of one contract."""
    copy = tmp_path / "proto"
    shutil.copytree(PROTO, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "radloop" / "contracts" / producer / "v1" / f"{producer}.proto"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return copy


def test_lint_is_clean():
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint_refuses_a_field_without_comment(tmp_path):
    copy = planted(tmp_path, "  // Grows by one with every approval of this case. Required.\n", "")
    result = buf("lint", directory=copy)
    assert result.returncode != 0
    assert "sequence" in result.stdout


def test_nothing_released_is_broken():
    result = breaking()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  int64 sequence = 18;", "  string sequence = 18;", "changed type"),
        ("  int64 sequence = 18;", "  int64 order = 18;", "changed name"),
        (
            '  // Version of the rules that approved it, e.g. "qa-rules-1". Required.\n  string rules_version = 11;\n',
            "",
            "rules_version",
        ),
        ("  RETURN_REASON_HOLES = 5;", "  RETURN_REASON_GAPS = 5;", "RETURN_REASON_HOLES"),
    ],
)
def test_a_breaking_change_is_refused(tmp_path, old, new, said):
    result = breaking(planted(tmp_path, old, new))
    assert result.returncode != 0
    assert said in result.stdout


def test_an_optional_field_more_is_allowed(tmp_path):
    more = "  int64 sequence = 18;\n  // A note code.\n  string note_code = 99;"
    result = breaking(planted(tmp_path, "  int64 sequence = 18;", more))
    assert result.returncode == 0, result.stdout + result.stderr


def test_generated_files_are_what_the_contracts_say(tmp_path):
    subprocess.run([sys.executable, PROTO / "generate.py", "--into", tmp_path], check=True)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    differing = [str(path) for path, content in fresh.items() if (ROOT / path).read_bytes() != content]
    assert not differing, "run `make proto` and commit what it changes"

    package = ROOT / "libs/radloop/radloop/contracts"
    present = {path.relative_to(ROOT) for path in package.rglob("*.py*") if "__pycache__" not in path.parts}
    assert present - set(fresh) == {Path("libs/radloop/radloop/contracts/topics.py")}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_event_says_how_it_travels(topic):
    contract = TOPICS[topic]
    name = contract.event.DESCRIPTOR.name
    assert topic == re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    key = contract.event.DESCRIPTOR.fields_by_name[contract.key]
    assert key.type == FieldDescriptor.TYPE_STRING
    assert contract.heard_by, "an event nobody hears is no contract"
    assert set(contract.heard_by) <= set(PRODUCERS)
    assert contract.producer not in contract.heard_by
    assert len(set(contract.heard_by)) == len(contract.heard_by)


def test_every_message_that_is_no_event_is_part_of_one():
    used: set[str] = set()

    def walk(descriptor):
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.full_name not in used:
                used.add(field.message_type.full_name)
                walk(field.message_type)

    for contract in TOPICS.values():
        walk(contract.event.DESCRIPTOR)
    events = {contract.event.DESCRIPTOR.full_name for contract in TOPICS.values()}
    declared = {
        message.full_name
        for module in PRODUCERS.values()
        for message in module.DESCRIPTOR.message_types_by_name.values()
    }
    assert declared - events <= used


def test_asyncapi_is_valid():
    document = yaml.safe_load(ASYNCAPI.read_text())
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    # The validator bites: an action that AsyncAPI does not know is refused.
    document["operations"]["qa.says.label-approved"]["action"] = "shout"
    assert list(validator.iter_errors(document))


def test_asyncapi_has_every_topic_and_every_reference_resolves():
    document = yaml.safe_load(ASYNCAPI.read_text())
    assert set(document["channels"]) == set(TOPICS)

    def references(node):
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "$ref")
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node

    for topic, contract in TOPICS.items():
        said = [name for name, operation in document["operations"].items() if name.endswith(f".says.{topic}")]
        heard = {name.split(".hears.")[0] for name in document["operations"] if name.endswith(f".hears.{topic}")}
        assert said == [f"{contract.producer}.says.{topic}"]
        assert heard == set(contract.heard_by)


def test_the_mirror_carries_only_what_may_leave():
    allowed = mirror_allow_list()
    assert PUBLIC <= set(allowed)
    assert not {"label-submitted", "label-returned", "reading-requested", "edge-case-reported"} & set(allowed)
    assert mirror_allow_list(["study-ingested", "label-approved"]) == ("label-approved", "study-ingested")
    with pytest.raises(PermanentError) as refused:
        mirror_allow_list(["label-approved", "label-submitted"])
    assert refused.value.code == "site-only"
    assert "active_time_s" in refused.value.got
    with pytest.raises(PermanentError) as unknown:
        mirror_allow_list(["no-such-topic"])
    assert unknown.value.code == "unknown-topic"


def test_a_site_only_field_takes_its_topic_off_the_list(tmp_path):
    """Plant a mark, generate, and see the catalogue keep the topic at the site."""
    copy = planted(
        tmp_path, "  int64 sequence = 18;", "  int64 sequence = 18 [(radloop.contracts.options.v1.site_only) = true];"
    )
    subprocess.run([sys.executable, copy / "generate.py", "--into", tmp_path], check=True)
    document = yaml.safe_load((tmp_path / "docs/reference/asyncapi.yaml").read_text())
    assert document["channels"]["label-approved"]["x-leaves-the-site"] is False
    assert document["channels"]["study-ingested"]["x-leaves-the-site"] is True
