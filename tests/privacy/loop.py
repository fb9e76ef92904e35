"""The whole loop on one site, with canaries in everything that people and machines may say on the way."""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from radloop.auth import Role
from radloop.errors import RadloopError
from standalone.client import Client
from standalone.demo.project import project_of
from standalone.demo.state import Choices
from standalone.layout import Layout, Platform
from tests.label_files import saved, structure_set
from tests.privacy import bundles, reading
from tests.privacy.asking import Asker
from tests.privacy.canaries import WORDS, Canaries
from tests.privacy.running import client_for, wait_for
from tests.privacy.search import Search
from tests.privacy.sending import Sender, as_folder, as_zip, broken_files, broken_zips
from tests.privacy.studies import StudyMaker, file_of
from tests.privacy.surfaces import CONTROL_PLANE

PROJECT = "privacy"
MOST_READINGS = 5
ANY_MODALITY = "ANYMODALITY"
"""AE title that the project takes studies of any modality at. It is the project's own word and no canary."""
_EVERY_ROLE = tuple(Role)


@dataclass
class Exposed:
    """A platform after everything was said to it.

    Attributes
    ----------
    layout, platform
        What runs.
    search
        Knows every canary.
    asked
        Status of each answer of the endpoints that were asked one by one, by operation.
    """

    layout: Layout
    platform: Platform
    search: Search
    asked: dict[str, list[int]]


class SiteLoop:
    """Drives a site.

    Parameters
    ----------
    layout, platform
        The site.
    control_plane
        Client of the control plane's own operator, whose name is not the site's.
    canaries
        Remembers what was planted.
    scratch
        Folder for files.
    """

    def __init__(
        self, layout: Layout, platform: Platform, control_plane: Client, canaries: Canaries, scratch: Path
    ) -> None:
        self._layout, self._platform, self._cloud = layout, platform, control_plane
        self._canaries, self._scratch = canaries, scratch
        self._maker, self._sender = StudyMaker(canaries), Sender(platform, canaries)
        self._operator = client_for(layout, canaries.text("subject of the operator"), *_EVERY_ROLE)
        self.asked: dict[str, list[int]] = {}
        """Status of each answer of the endpoints that were asked one by one, by operation."""

    def close(self) -> None:
        """Close the connections."""
        self._operator.close()

    def run(self) -> None:
        """Go through the whole loop."""
        for step in (self.configure, self.send, self.bring_models, self.read, self.train, self.withdraw):
            step()

    def configure(self) -> None:
        """Have the project announced."""
        choices = Choices(
            seed=3, rounds=9, batch=4, start=1, pool=1, test=0, validation=0,
            initial_steps=2, update_steps=2, error_share=0.0, cohort="auto",
        )  # fmt: skip
        body = project_of(choices, validation_cases=0, pool_cases=20)
        body |= {
            "model_name": PROJECT,
            "routing": [{"modality": "MR"}, {"called_ae_title": ANY_MODALITY}],
            "reading": body["reading"] | {"second_reading_share": 0.0},
            "training": body["training"] | {"new_labels": 1000, "patch": [16, 16, 16], "max_runs": 9},
            "promotion": {"mode": "automatic", "margin": -1.0, "segment_loss_bound": 1.0},
        }
        self._cloud.put(f"/control-plane/v1/projects/{PROJECT}", body)
        wait_for(lambda: self._operator.get("/ingest/v1/status")["projects"])

    def send(self) -> None:
        """Send studies through every door, whole and broken."""
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._decide_splits()
            for charset in WORDS:
                name = f"study in {charset}"
                self._sender.store(name, self._maker.study(name, charset))
            odd = self._maker.study("free modality", whole=False, Modality=self._canaries.text("free text as Modality"))
            self._sender.store("free modality", odd, called=ANY_MODALITY)
            self._sender.store("wild", list(self._maker.wild()), called=ANY_MODALITY)
            self._sender.store("aborted", self._maker.study("aborted", whole=False)[:3], abort=True)
            self._sender.refused_associations()
            self._send_twice()
            self._upload()
        self._operator.post("/ingest/v1/complete")
        wait_for(lambda: not self._operator.get("/ingest/v1/status")["waiting"])

    def _decide_splits(self) -> None:
        """Name patients as they are known outside, one of them before their study comes."""
        self._validated = self._maker.study("validation study")
        known = {"patient_id": self._validated[0].PatientID, "issuer": self._validated[0].IssuerOfPatientID}
        others = [{"patient_id": self._canaries.text("patient of a split list"), "split": "test"}]
        self._operator.put(
            f"/ingest/v1/projects/{PROJECT}/split", {"patients": [{**known, "split": "validation"}, *others]}
        )
        self._sender.store("validation study", self._validated)

    def _send_twice(self) -> None:
        twice = self._maker.study("sent twice")
        self._sender.store("sent twice", twice)
        for ds in twice:
            ds.PatientName, ds.ImageComments = (self._canaries.text(f"sent twice, other {word}") for word in "ab")
        self._sender.store("sent twice, other header", twice)
        for ds in twice:
            ds.PixelData = bytes(len(ds.PixelData))
        self._sender.store("sent twice, other pixels", twice)

    def _upload(self) -> None:
        say = self._canaries.text
        for name, data in broken_files(self._maker, self._canaries).items():
            self._operator.post(
                "/ingest/v1/uploads", {}, files={"file": (f"{say(f'name of a file: {name}')}.dcm", data)}
            )
        by_zip = as_zip([file_of(ds) for ds in self._maker.study("by zip", whole=False)], self._canaries)
        for data in (by_zip, *broken_zips(self._canaries)):
            _tolerate(
                lambda data=data: self._operator.post(
                    "/ingest/v1/uploads", {}, files={"file": (f"{say('name of an archive')}.zip", data)}
                )
            )
        folder = as_folder(
            self._scratch / "sent", [file_of(ds) for ds in self._maker.study("by folder")], self._canaries
        )
        for path in (folder, folder / say("folder that is missing")):
            _tolerate(lambda path=path: self._operator.post("/ingest/v1/uploads", {"folder": str(path)}))

    def bring_models(self) -> None:
        """Bring a bundle that works and is put in front, and bundles that do not."""
        file = self._scratch / "bundle.zip"
        for make in (bundles.raising_when_loaded, bundles.wrong_weights):
            digest = self._bring(make(file, self._canaries))
            wait_for(lambda digest=digest: self._state_of(digest) == "load-failed")
        self._serve(bundles.talkative(file, self._canaries))
        for data in bundles.not_bundles(file, self._canaries):
            _tolerate(lambda data=data: self._bring(data))

    def _bring(self, bundle: bytes) -> str:
        name = f"{self._canaries.text('name of a bundle file')}.zip"
        form = {"project_id": PROJECT, "model_name": "brought", "serve": "true"}
        return str(self._operator.post("/inference/v1/models", form, files={"file": (name, bundle)})["model_digest"])

    def _state_of(self, digest: str) -> str:
        models = self._operator.get("/inference/v1/models", project_id=PROJECT)["models"]
        return str(next(model["state"] for model in models if model["model_digest"] == digest))

    def _serve(self, bundle: bytes) -> None:
        digest = self._bring(bundle)
        wait_for(lambda: self._operator.get("/inference/v1/status")["serving"].get(PROJECT) == digest)

    def read(self) -> None:
        """Read the round the model began, return some labels with a comment, approve the others, import one."""
        subject = self._canaries.text("subject of a reader")
        with contextlib.closing(client_for(self._layout, subject, Role.READER)) as client:
            room = reading.ReadingRoom(client, self._canaries, PROJECT)
            wait_for(lambda: self._operator.get("/labeling/v1/tasks", project_id=PROJECT)["tasks"])
            room.read_next(skip=True)
            for _ in range(MOST_READINGS):  # a label may come back again and again
                room.read_next()
        assert room.submitted
        self._import_labels(room.submitted[0])
        subject = self._canaries.text("subject of a reviewer")
        with contextlib.closing(client_for(self._layout, subject, Role.REVIEWER)) as client:
            self._review(client)

    def _import_labels(self, label: str) -> None:
        """Import SEG objects and a NIfTI file made elsewhere."""
        series = {
            "project_id": PROJECT,
            "series": [self._validated[0].SeriesInstanceUID, self._canaries.uid("series asked")],
        }
        (case,) = self._operator.post("/ingest/v1/cases/resolve", series)["cases"]
        image = self._operator.get_bytes(f"/ingest/v1/cases/{case['case_id']}/volumes/0")
        path, say = f"/labeling/v1/cases/{case['case_id']}/labels", self._canaries.text
        plain = reading.with_header(reading.drawn_on(image), self._canaries, "imported label")
        made = self._operator.post(
            path, {"project_id": PROJECT, "format": "nifti"}, files={"label": (say("name of a label file"), plain)}
        )
        seg = self._operator.get_bytes(f"/labeling/v1/labels/{made['label_version_id']}", format="dicom-seg")
        for name, content in (
            ("imported SEG", reading.seg_with_texts(seg, self._canaries, "imported SEG")),
            ("SEG of unknown segments", reading.seg_of_unknown(seg, self._canaries, "SEG of unknown segments")),
        ):
            form, files = (
                {"project_id": PROJECT, "format": "dicom-seg"},
                {"label": (say(f"file name, {name}"), content)},
            )
            _tolerate(lambda form=form, files=files: self._operator.post(path, form, files=files))
        self._operator.get_bytes(f"/labeling/v1/labels/{label}", format="dicom-seg")
        self._match_labels()

    def _match_labels(self) -> None:
        """Ask whose a structure set is that names somebody, and whose labels of a table are."""
        say, first = self._canaries.text, self._validated[0]
        structures = structure_set(self._validated, {1: (say("name of a region"), [])})
        structures.PatientID, structures.PatientComments = first.PatientID, say("comment in a structure set")
        structures.StructureSetName, structures.OperatorsName = say("name of a structure set"), say("operator")
        files = {"file": (say("file name of a structure set"), saved(structures))}
        found = self._operator.post("/ingest/v1/labels/match", {}, files=files, params={"project_id": PROJECT})
        assert found["cases"]
        rows = [
            {"patient_id": first.PatientID, "issuer": first.IssuerOfPatientID},
            {
                "accession_number": say("accession number asked"),
                "study_instance_uid": self._canaries.uid("study asked"),
            },
        ]
        answer = self._operator.post("/ingest/v1/cases/resolve", {"project_id": PROJECT, "rows": rows})["rows"]
        assert answer[0]["cases"] and not answer[1]["cases"]

    def _review(self, reviewer: Client) -> None:
        """Send back with a comment what waits for a reviewer, and approve it then; the rest decides itself."""

        def reviews() -> list[dict[str, Any]]:
            found = reviewer.get("/qa/v1/reviews", project_id=PROJECT)["reviews"]
            return found if all(review["state"] != "checking" for review in found) else []

        for review in wait_for(reviews):
            for step, body in (("return", {"comment": self._canaries.text("comment of a reviewer")}), ("approve", {})):
                path = f"/qa/v1/reviews/{review['review_id']}/{step}"
                _tolerate(lambda path=path, body=body: reviewer.post(path, body))

    def train(self) -> None:
        """Train once beside a model that works, and once beside one that raises on every case."""
        self._train_once()
        self._serve(bundles.raising_on_a_case(self._scratch / "bundle.zip", self._canaries))
        wait_for(lambda: not self._operator.get("/inference/v1/status")["waiting"])
        self._train_once()

    def _train_once(self) -> None:
        before = len(self._runs())
        self._cloud.post(f"/control-plane/v1/projects/{PROJECT}/train")
        wait_for(lambda: len(self._runs()) > before)
        wait_for(
            lambda: all(run["state"] in ("answered", "failed", "closed", "done", "trained") for run in self._runs())
        )

    def _runs(self) -> list[dict[str, Any]]:
        return list(self._operator.get("/trainer/v1/runs", project_id=PROJECT)["runs"])

    def withdraw(self) -> None:
        """Withdraw a study by its original UID, and send it again."""
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = self._maker.study("withdrawn", whole=False)
            self._sender.store("withdrawn", study)
            body = {"study_instance_uid": study[0].StudyInstanceUID, "reason": "consent"}
            self._operator.post("/ingest/v1/withdraw", body)
            self._sender.store("withdrawn, sent again", study)
        self._operator.post("/ingest/v1/complete")

    def ask(self, token: str, cloud_token: str) -> None:
        """Ask every endpoint of every service, for what they do not have.

        A control plane on the site's machine is asked by somebody of its own: its audit trail names who asked it.
        """
        for name, url in self._platform.services.items():
            whose = cloud_token if name == CONTROL_PLANE else token
            with contextlib.closing(Asker(name, url, whose, self._canaries)) as asker:
                asker.ask_everything()
                asker.ask_badly()
            self.asked |= asker.asked


def _tolerate(call: Callable[[], object]) -> None:
    """Call; a refusal is as good as an answer, as long as it says nothing."""
    try:
        call()
    except RadloopError:
        return
