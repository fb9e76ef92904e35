"""Dataset versions as a zip: NIfTI with a MONAI datalist, or nnU-Net's layout.

References
----------
MONAI `load_decathlon_datalist`; nnU-Net `documentation/dataset_format.md` and `documentation/manual_data_splits.md`.
"""

import gzip
import json
import zipfile
from enum import StrEnum
from pathlib import Path

from radloop.errors import Conflict
from radloop.objects import Objects
from radloop.references import Split
from trainer.domain.messages import ProjectConfigured
from trainer.domain.model import DatasetVersion

_SEGMENT_BITS = (
    "Segments may overlap: a label is no label map but a uint32 image of bits. A voxel belongs to the segment with value v, "
    "as listed under labels, where bit v - 1 is set: (label >> (v - 1)) & 1."
)

_SECTION = {Split.TRAIN: "training", Split.VALIDATION: "validation", Split.TEST: "test"}


class ExportFormat(StrEnum):
    """Layout of the zip."""

    MONAI = "monai"
    NNUNET = "nnunet"


def export(
    path: Path, layout: ExportFormat, dataset: DatasetVersion, project: ProjectConfigured, objects: Objects
) -> None:
    """Write a dataset version to a zip file.

    Parameters
    ----------
    path
        File to write.
    layout
        Which layout.
    dataset, project, objects
        What to write, what the values mean, where the bytes are.

    Raises
    ------
    Conflict
        ``export-overlapping-segments``: nnU-Net's layout has label maps, which cannot hold segments that overlap.
    NotFound
        When an object is gone, as those of withdrawn studies are.
    """
    if layout is ExportFormat.NNUNET and project.overlapping_segments:
        raise Conflict(
            "export-overlapping-segments",
            expected="a project whose segments do not overlap: nnU-Net's layout has label maps",
            got="one whose segments may",
            do=f"export with format={ExportFormat.MONAI}, which keeps masks as they are stored",
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        if layout is ExportFormat.MONAI:
            _monai(archive, dataset, project, objects)
        else:
            _nnunet(archive, dataset, project, objects)


def _monai(archive: zipfile.ZipFile, dataset: DatasetVersion, project: ProjectConfigured, objects: Objects) -> None:
    sections: dict[str, list[dict[str, object]]] = {section: [] for section in _SECTION.values()}
    for item, source in zip(dataset.items, dataset.sources, strict=True):
        images = [f"images/{item.case_id}_{channel:04d}.nii.gz" for channel in range(len(source.volumes))]
        for name, volume in zip(images, source.volumes, strict=True):
            archive.writestr(name, _packed(objects.get(volume)))
        target = f"labels/{item.case_id}.nii.gz"
        archive.writestr(target, _packed(objects.get(source.mask)))
        sections[_SECTION[item.split]].append(
            {
                "image": images[0] if len(images) == 1 else images,
                "label": target,
                "weight": item.weight,
                # Never empty: MONAI takes a text for a path where joined to the folder it exists, as "" does.
                "arm": item.arm.value if item.arm else "none",
                "label_version_id": item.label_version_id,
            }
        )
    names = {str(segment.value): segment.name for segment in project.segments}
    content = {"name": project.project_id, "tensorImageSize": "3D", "labels": {"0": "background", **names}, **sections}
    if project.overlapping_segments:
        content["description"] = _SEGMENT_BITS
    archive.writestr("datalist.json", json.dumps(content, indent=2))


def _nnunet(archive: zipfile.ZipFile, dataset: DatasetVersion, project: ProjectConfigured, objects: Objects) -> None:
    root = f"Dataset001_{project.project_id}"
    folds: dict[str, list[str]] = {"train": [], "val": []}
    for item, source in zip(dataset.items, dataset.sources, strict=True):
        part = "Ts" if item.split is Split.TEST else "Tr"
        for channel, volume in enumerate(source.volumes):
            archive.writestr(f"{root}/images{part}/{item.case_id}_{channel:04d}.nii.gz", _packed(objects.get(volume)))
        archive.writestr(f"{root}/labels{part}/{item.case_id}.nii.gz", _packed(objects.get(source.mask)))
        if item.split is not Split.TEST:
            folds["val" if item.split is Split.VALIDATION else "train"].append(item.case_id)
    content = {
        "channel_names": {str(channel): f"channel-{channel}" for channel in range(len(dataset.sources[0].volumes))},
        "labels": {"background": 0, **{segment.name: segment.value for segment in project.segments}},
        "numTraining": len(folds["train"]) + len(folds["val"]),
        "file_ending": ".nii.gz",
    }
    archive.writestr(f"{root}/dataset.json", json.dumps(content, indent=2))
    # One fold: the split of the project is the platform's, and nnU-Net must not draw its own.
    archive.writestr(f"{root}/splits_final.json", json.dumps([folds], indent=2))


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=3, mtime=0)
