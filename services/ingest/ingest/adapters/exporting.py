"""From a mask of a case to the DICOM object that leaves for the archive: read, restore the originals, write, identify; wholly in memory."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from ingest.adapters.restoring import Originals, not_kept
from ingest.adapters.vault import Vault
from ingest.domain.exports import ExportSource, Form, SourceKind
from ingest.domain.keys import KeyRing
from ingest.domain.measurements import measurements
from ingest.domain.messages import ProjectConfigured, Segment
from ingest.ports import StoredCase, Study
from radloop.errors import Invalid, NotFound, PermanentError
from radloop.imaging import SEGMENT_BITS, read_nifti, segment_values
from radloop.objects import Objects
from radloop.references import ObjectRef, SegmentState

_LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Newer than pydicom's dictionary."""
_FIRST_SERIES_NUMBER = 900
_FORMS = tuple(Form)
_WORDS = {Form.SEG: "SEG", Form.SEG_LABELMAP: "SEG", Form.RTSTRUCT: "contours", Form.SR: "measurements"}


@dataclass(frozen=True)
class _Case:
    """What a mask is written on: its slices under their original UIDs."""

    originals: Originals
    sources: list[Dataset]
    frames: list[int]
    affine_lps: np.ndarray
    project: ProjectConfigured
    uid: Callable[[str], str]
    """Makes the UIDs of the study's exports."""


class Exporting:
    """Writes masks as DICOM objects that the archive files under the original study.

    Parameters
    ----------
    unit_of_work : callable
        Makes a read-only unit of work.
    objects : Objects
    vault : Vault
    keys : callable
        Returns the key versions as they are now.
    """

    def __init__(
        self,
        unit_of_work: Callable[[], AbstractContextManager[Any]],
        objects: Objects,
        vault: Vault,
        keys: Callable[[], KeyRing],
    ) -> None:
        self._unit_of_work, self._objects, self._vault, self._keys = unit_of_work, objects, vault, keys

    def written(self, source: ExportSource, form: Form, made_at: float, seg: Form = Form.SEG) -> Dataset:
        """Return a mask as an identified DICOM object.

        Parameters
        ----------
        source : ExportSource
        form : Form
        made_at : float
            Date of its content, seconds since the epoch. The same mask, form and date give the same bytes.
        seg : Form
            Which SEG an SR refers to.

        Raises
        ------
        NotFound
            ``case-unknown``, ``project-unknown``.
        Invalid
            ``labelmap-overlap``.
        PermanentError
            ``originals-not-kept``, ``segments-unknown``, ``export-broken``.
        """
        case = self._case(source)
        mask = read_nifti(self._objects.get(source.mask)).array
        segments = _segments(source, case.project, mask)
        if form is Form.SEG_LABELMAP and mask.dtype == SEGMENT_BITS:
            raise Invalid(
                "labelmap-overlap", expected="segments that do not overlap", got="ones that may", do="ask for seg"
            )
        try:
            ds = _write(form, seg, mask, case, source, segments, datetime.fromtimestamp(made_at, UTC))
            case.originals.identify(ds)
        except Exception as error:
            # Its words may quote an original UID: only its kind is told.
            raise PermanentError(
                "export-broken",
                expected="instances that a DICOM object can be made of",
                got=type(error).__name__,
                do="take another form, and report it: the series is of a kind nobody has met",
            ) from None
        return ds

    def originals(self, case_id: str) -> Originals:
        """Return who a case is about outside, and under which UIDs, in order of its slices.

        Raises
        ------
        NotFound
            ``case-unknown``.
        PermanentError
            ``originals-not-kept``.
        """
        stored, study, _ = self._rows(case_id, "")
        return self._originals(study.record.identity, self._slices(stored))

    def _case(self, source: ExportSource) -> _Case:
        stored, study, project = self._rows(source.case_id, source.project_id)
        if project is None:
            raise NotFound("project-unknown", expected="a configured project", got="another id")
        slices = self._slices(stored)
        originals = self._originals(study.record.identity, slices)
        pseudonyms = self._keys()[study.record.key_version]
        return _Case(
            originals,
            self._sources(originals, slices),
            [int(one["frame"]) for one in slices],
            np.array(stored.case.affine_lps).reshape(4, 4),
            project,
            lambda name: pseudonyms.uid(f"export:{name}"),
        )

    def _rows(self, case_id: str, project_id: str) -> tuple[StoredCase, Study, ProjectConfigured | None]:
        with self._unit_of_work() as uow:
            stored = uow.cases.get(case_id)
            if stored is None:
                raise NotFound("case-unknown", expected="the id of a case formed here", got="another id")
            return stored, uow.studies.get(stored.case.study_key), uow.projects.get(project_id)

    def _slices(self, stored: StoredCase) -> list[dict[str, Any]]:
        slices: list[dict[str, Any]] = json.loads(self._objects.get(stored.case.manifest))["slices"]
        return slices

    def _originals(self, identity: str, slices: Sequence[Mapping[str, Any]]) -> Originals:
        keys = list(dict.fromkeys(one["sop_instance_uid"] for one in slices))
        with self._unit_of_work() as uow:
            sealed = uow.originals.sealed(keys)
        if len(sealed) < len(keys):
            raise not_kept()
        study = self._vault.open_fields(identity)
        return Originals(study, {key: self._vault.open_fields(sealed[key]) for key in keys})

    def _sources(self, originals: Originals, slices: Sequence[Mapping[str, Any]]) -> list[Dataset]:
        """Return the instance of each slice, headers only; each object is read once."""
        read: dict[str, Dataset] = {}
        for one in slices:
            ref = ObjectRef(**one["object"])
            if ref.key not in read:
                ds = pydicom.dcmread(io.BytesIO(self._objects.get(ref)), stop_before_pixels=True)
                read[ref.key] = originals.source(ds)
        return [read[one["object"]["key"]] for one in slices]


def _write(
    form: Form,
    seg: Form,
    mask: np.ndarray,
    case: _Case,
    source: ExportSource,
    segments: Sequence[Segment],
    at: datetime,
) -> Dataset:
    # highdicom takes a second to import, and only exports need it.
    from ingest.adapters.exporting_rtstruct import structure_set
    from ingest.adapters.exporting_sr import report
    from radloop.dicom.segmentations import Made, segmentation

    def made(of: Form) -> Made:
        name, is_label = f"{of}:{source.source_id}", source.kind is SourceKind.LABEL
        who, by_model = ("Label" if is_label else "Prediction"), not is_label or source.started_from_model
        model = ("radloop proposal, corrected by a reader", "1") if is_label else _model(source)
        return Made(
            series_instance_uid=case.uid(f"series:{name}"),
            sop_instance_uid=case.uid(f"instance:{name}"),
            series_number=_FIRST_SERIES_NUMBER + (0 if is_label else 10) + _FORMS.index(of),
            series_description=f"{who} ({_WORDS[of]}), for research use only",
            content_label=who.upper(),
            model_name="ingest",
            algorithm_type="AUTOMATIC" if not is_label else "SEMIAUTOMATIC" if by_model else "MANUAL",
            algorithm=model if by_model else (),
            at=at,
        )

    if form is Form.RTSTRUCT:
        return structure_set(mask, case.affine_lps, case.sources, case.frames, segments, made(form))
    if form is Form.SR:
        measured = measurements(mask, case.affine_lps)
        return report(measured, _reference(seg, made(seg), case.sources[0]), case.sources, segments, made(form))
    label_map = form is Form.SEG_LABELMAP
    return segmentation(mask, case.sources, case.frames, segments, made(form), label_map=label_map)


def _model(source: ExportSource) -> tuple[str, str]:
    return source.model_name, source.model_digest.removeprefix("sha256:")[:12]


def _reference(form: Form, made: Any, source: Dataset) -> Dataset:
    """Return what an SR needs of the SEG it refers to, without its pixels; patient and study are put in last."""
    ds = Dataset()
    ds.SOPClassUID = _LABEL_MAP_SEGMENTATION_STORAGE if form is Form.SEG_LABELMAP else SegmentationStorage
    ds.SOPInstanceUID, ds.SeriesInstanceUID = made.sop_instance_uid, made.series_instance_uid
    ds.StudyInstanceUID, ds.Modality = source.StudyInstanceUID, "SEG"
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(ds, keyword, "")
    ds.StudyDate, ds.StudyTime = None, None
    return ds


def _segments(source: ExportSource, project: ProjectConfigured, mask: np.ndarray) -> list[Segment]:
    """Return the segments an object tells of, in order of their values: all that were looked for.

    Raises
    ------
    PermanentError
        ``segments-unknown``: the mask has values that the project, as it is known here, has no segment for.
    """
    by_value = {segment.value: segment for segment in project.segments}
    if unknown := [value for value in segment_values(mask) if value not in by_value]:
        raise PermanentError(
            "segments-unknown",
            expected=f"values of the project's segments: {sorted(by_value) or 'none are known here yet'}",
            got=f"{unknown}",
            do="save the project once more in the console, so that this service hears of its segments",
        )
    passed_over = {one.value for one in source.segments if one.state is SegmentState.NOT_ANNOTATED}
    found = [by_value[value] for value in sorted(by_value)]
    return [segment for segment in found if segment.value not in passed_over] or found
