"""The chaos run's checker finds each fault it is there for: one is planted at a time in what a faultless platform left."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.trainer.v1 import trainer_pb2

CHECKER = runpy.run_path(str(Path(__file__).parents[1] / "chaos" / "independent_checker.py"))
Plane, Said, all_faults = CHECKER["Plane"], CHECKER["Said"], CHECKER["all_faults"]


def said(topic, offset, payload, *, key="study-1", event_id="", source="/site-1/x"):
    return Said(topic, 0, offset, key, source, event_id or f"{topic}-{offset}", payload)


def study(number, revision=1):
    case = ingest_pb2.Case(case_id=f"case-{number}")
    return ingest_pb2.StudyIngested(study_key=f"study-{number}", project_id="p", revision=revision, cases=[case])


def left_behind():
    """Two studies, one prediction, two labels (one approved, one returned), one run, one model."""
    approved = qa_pb2.LabelApproved(label_version_id="l1", case_id="case-1", sequence=1)
    run = trainer_pb2.TrainingStarted(run_id="r1", project_id="p", dataset_version="d", plan_digest="g", run_number=1)
    run.items.add(label_version_id="l1")
    model = trainer_pb2.ModelTrained(run_id="r1", dataset_version="d", plan_digest="g", model_digest="m")
    prediction = inference_pb2.PredictionMade(
        prediction_id="i1", case_id="case-1", model_digest="m", settings_digest="s"
    )
    project = control_plane_pb2.ProjectConfigured(project_id="p", project_version=1)
    site = {
        "study-ingested": [said("study-ingested", n, study(n), key=f"study-{n}") for n in (0, 1)],
        "prediction-made": [said("prediction-made", 0, prediction)],
        "label-submitted": [
            said("label-submitted", n, labeling_pb2.LabelSubmitted(label_version_id=name))
            for n, name in enumerate(["l1", "l2"])
        ],
        "label-approved": [said("label-approved", 0, approved)],
        "label-returned": [said("label-returned", 0, qa_pb2.LabelReturned(label_version_id="l2"))],
        "training-started": [said("training-started", 0, run, key="p")],
        "model-trained": [said("model-trained", 0, model, key="p")],
        "project-configured": [said("project-configured", 0, project, key="p", source="/cloud/control-plane")],
    }
    cloud = {topic: list(records) for topic, records in site.items() if topic in (*OUTGOING, *INCOMING)}
    rows = {("ingest", "cases"): [("case-1", "ingest/study-1/a.nii")], ("ingest", "outbox"): []}
    return Plane(site, rows, {"ingest/study-1/a.nii"}), Plane(cloud, {("control_plane", "outbox"): []})


OUTGOING = ("study-ingested", "prediction-made", "label-approved", "training-started", "model-trained")
INCOMING = ("project-configured",)


def faults_of(site, cloud, accepted=2, acknowledged=("l1", "l2")):
    return all_faults(site, cloud, accepted=accepted, acknowledged=acknowledged, outgoing=OUTGOING, incoming=INCOMING)


def test_a_faultless_platform_has_none_and_a_repeat_of_an_event_is_none():
    site, cloud = left_behind()
    site.topics["label-approved"].append(site.topics["label-approved"][0])
    cloud.topics["study-ingested"].append(cloud.topics["study-ingested"][1])
    assert faults_of(site, cloud) == {}


def again(topic):
    """The same fact in a new event."""

    def plant(site, cloud):
        first = site.topics[topic][0]
        for plane in (site, cloud):
            if topic in plane.topics:
                plane.topics[topic].append(replace(first, event_id="other", offset=99))

    return plant


def without(plane_index, topic):
    return lambda *planes: planes[plane_index].topics[topic].pop()


FAULTS = {
    "a study announced twice": (again("study-ingested"), "studies announced once"),
    "a study never announced": (without(0, "study-ingested"), "studies announced once"),
    "a prediction made twice": (again("prediction-made"), "one prediction each"),
    "a label lost": (without(0, "label-submitted"), "no label lost"),
    "a label judged twice": (again("label-approved"), "no label lost"),
    "an approval that never trains": (
        lambda site, cloud: site.topics["training-started"][0].payload.items[0].ClearField("label_version_id"),
        "approved labels train",
    ),
    "a model of no run": (
        lambda site, cloud: setattr(site.topics["model-trained"][0].payload, "run_id", "r9"),
        "models have lineage",
    ),
    "a key in two partitions": (
        lambda site, cloud: site.topics["label-submitted"].append(
            replace(site.topics["label-submitted"][0], partition=1, event_id="label-submitted-0")
        ),
        "order kept",
    ),
    "a row left in an outbox": (
        lambda site, cloud: site.rows[("ingest", "outbox")].append((1,)),
        "nothing waits",
    ),
    "a dead letter": (
        lambda site, cloud: site.topics.update({"study-ingested.qa.dlq": [said("study-ingested.qa.dlq", 0, None)]}),
        "nothing waits",
    ),
    "an object nothing refers to": (lambda site, cloud: site.objects.add("ingest/study-9/b.nii"), "no orphan object"),
    "an event that did not cross": (without(1, "study-ingested"), "mirrored"),
    "a topic that must not cross": (
        lambda site, cloud: cloud.topics.update({"label-submitted": site.topics["label-submitted"]}),
        "mirrored",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    plant, check = FAULTS[fault]
    site, cloud = left_behind()
    plant(site, cloud)
    assert check in faults_of(site, cloud)
