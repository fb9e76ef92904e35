"""The plan: everything that decides which weights come out. Read strictly; what does not fit is a `BadPlan`, never repaired.

A task file holds the plan, its digest, and the bindings to this machine (where each object lies, where to write), which
decide nothing. The plan's digest is taken of its canonical JSON; each object is checked against the digest the plan names.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radloop.imaging import LARGEST_BIT_VALUE
from training_job.errors import BadPlan
from training_job.files import canonical, digest_of

FORMAT = 1
STATES = ("annotated", "absent", "not-annotated")
SPLITS = ("train", "validation", "test")
EDGE_ARMS = ("mined", "reported")
"""Arms whose cases are edge cases: they are drawn more often and augmented more."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object: key in the site's store, ``sha256:<hex>`` digest of its bytes."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Item:
    """One case of the dataset version."""

    case_id: str
    patient_key: str
    split: str
    arm: str
    """Empty for a label that no round asked for."""
    weight: float
    """Sampling weight, above 0."""
    images: tuple[Reference, ...]
    """One volume per channel, in channel order."""
    label: Reference
    states: Mapping[int, str]
    """State of each segment, by its value."""

    @property
    def is_edge_case(self) -> bool:
        """Whether the case was chosen because the model fails on it."""
        return self.arm in EDGE_ARMS


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, on what, from where, for how long."""

    model_name: str
    run_number: int
    dataset_version: str
    segments: Mapping[int, str]
    """Name of each segment, by its value in the mask."""
    overlapping_segments: bool
    """Whether masks are segment bits, and the network says yes or no for each segment."""
    items: tuple[Item, ...]
    serving: Reference | None
    """Bundle to compare with; None when no model serves."""
    warm_start: bool
    """Whether the weights start as those of `serving`."""
    seed: int
    steps: int
    epoch_steps: int
    """Steps between two checkpoints."""
    batch_size: int
    learning_rate: float
    patch: tuple[int, int, int]
    """Voxels along (i, j, k) of the network's space."""
    spacing_mm: tuple[float, float, float] | None
    """Spacing of the network's space; None for the images' own."""
    members: int
    inner_patients: tuple[str, ...]
    """Train patients held out to choose among checkpoints; empty: the last ones are taken."""
    threads: int
    """Part of the plan because sums are split over threads, and so their last bits."""
    processes: int = 1
    """How many train together, each on its part of every batch; part of the plan for the same reason."""

    @property
    def outputs(self) -> int:
        """Output channels of the network: values up to the largest, those without a segment stay unused."""
        return self.output_of(max(self.segments)) + 1

    def output_of(self, value: int) -> int:
        """Return the network's output channel of a segment; output 0 is the background unless segments overlap."""
        return value - 1 if self.overlapping_segments else value

    def of_split(self, split: str) -> tuple[Item, ...]:
        """Return the items of a split, in the plan's order."""
        return tuple(item for item in self.items if item.split == split)


@dataclass(frozen=True, slots=True)
class Task:
    """A plan on this machine."""

    plan: Plan
    plan_digest: str
    paths: Mapping[str, Path]
    """Local file of each object, by key."""
    output: Path
    """Folder for everything the job writes."""

    def read(self, reference: Reference) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        BadPlan
            There is no such file, or its bytes are not those the plan was made for.
        """
        path = self.paths.get(reference.key)
        if path is None or not path.is_file():
            raise BadPlan("an object the plan names is not there")
        data = path.read_bytes()
        if digest_of(data) != reference.digest:
            raise BadPlan("an object's bytes do not have the digest the plan names")
        return data


def read_task(path: Path) -> Task:
    """Read a task file.

    Raises
    ------
    BadPlan
        It is not readable, its plan has another digest, or a value is out of range.
    """
    try:
        content = json.loads(path.read_bytes())
        raw, plan_digest = content["plan"], content["plan_digest"]
        paths = {key: Path(place) for key, place in content["objects"].items()}
        output = path.parent / content.get("output", ".")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadPlan(f"the task file cannot be read: {type(error).__name__}") from error
    if digest_of(canonical(raw)) != plan_digest:
        raise BadPlan("the plan does not have the digest the task names")
    try:
        plan = _plan(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadPlan(f"the plan cannot be read: {type(error).__name__}: {error}") from error
    _check(plan)
    return Task(plan=plan, plan_digest=plan_digest, paths=paths, output=output)


def _plan(raw: Mapping[str, Any]) -> Plan:
    if raw["format"] != FORMAT:
        raise BadPlan(f"expected plan format {FORMAT}, got {raw['format']}")
    serving = raw["serving"]
    spacing = tuple(float(size) for size in raw["spacing_mm"])
    return Plan(
        model_name=str(raw["model_name"]),
        run_number=int(raw["run_number"]),
        dataset_version=str(raw["dataset_version"]),
        segments={int(segment["value"]): str(segment["name"]) for segment in raw["segments"]},
        # Left out where segments do not overlap: such plans keep the digests they had before there were others.
        overlapping_segments=bool(raw.get("overlapping_segments", False)),
        items=tuple(_item(item) for item in raw["items"]),
        serving=Reference(**serving) if serving is not None else None,
        warm_start=bool(raw["warm_start"]),
        seed=int(raw["seed"]),
        steps=int(raw["steps"]),
        epoch_steps=int(raw["epoch_steps"]),
        batch_size=int(raw["batch_size"]),
        learning_rate=float(raw["learning_rate"]),
        patch=tuple(int(size) for size in raw["patch"]),  # type: ignore[arg-type]
        spacing_mm=spacing or None,  # type: ignore[arg-type]
        members=int(raw["members"]),
        inner_patients=tuple(str(patient) for patient in raw["inner_patients"]),
        threads=int(raw["threads"]),
        processes=int(raw.get("processes", 1)),  # left out where one trains: such plans keep their digests
    )


def _item(raw: Mapping[str, Any]) -> Item:
    return Item(
        case_id=str(raw["case_id"]),
        patient_key=str(raw["patient_key"]),
        split=str(raw["split"]),
        arm=str(raw["arm"]),
        weight=float(raw["weight"]),
        images=tuple(Reference(**image) for image in raw["images"]),
        label=Reference(**raw["label"]),
        states={int(segment["value"]): str(segment["state"]) for segment in raw["segments"]},
    )


def _check(plan: Plan) -> None:
    train = plan.of_split("train")
    rules: list[tuple[bool, str]] = [
        (bool(plan.segments), "at least one segment"),
        (all(1 <= value <= 255 for value in plan.segments), "segment values in 1..255"),
        (
            not plan.overlapping_segments or all(value <= LARGEST_BIT_VALUE for value in plan.segments),
            f"values of segments that may overlap in 1..{LARGEST_BIT_VALUE}",
        ),
        (any(item.patient_key not in plan.inner_patients for item in train), "at least one training case"),
        (all(item.split in SPLITS for item in plan.items), f"splits among {', '.join(SPLITS)}"),
        (all(state in STATES for item in plan.items for state in item.states.values()), "known segment states"),
        (all(item.weight > 0 for item in plan.items), "weights above 0"),
        (len({len(item.images) for item in plan.items}) == 1 and bool(plan.items[0].images), "equal channel counts"),
        (len({item.case_id for item in plan.items}) == len(plan.items), "each case once"),
        (plan.steps > 0 and plan.epoch_steps > 0 and plan.batch_size > 0, "steps and batch size above 0"),
        (plan.learning_rate > 0, "a learning rate above 0"),
        (plan.members > 0 and plan.threads > 0, "members and threads above 0"),
        (plan.processes > 0 and plan.batch_size % plan.processes == 0, "a batch that its processes can share evenly"),
        (
            len(plan.patch) == 3 and all(size >= 16 and size % 8 == 0 for size in plan.patch),
            "a patch of multiples of 8",
        ),
        (plan.spacing_mm is None or len(plan.spacing_mm) == 3, "no spacing or three numbers"),
        (plan.spacing_mm is None or all(size > 0 for size in plan.spacing_mm), "a spacing above 0"),
        (plan.serving is not None or not plan.warm_start, "a serving model to start from"),
    ]
    for holds, expected in rules:
        if not holds:
            raise BadPlan(f"expected {expected}")
