"""The learning curve, and mined against control cases, from what the catalogue holds (`domain/curve.py` has the arithmetic)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa

from control_plane.adapters import tables
from control_plane.adapters.catalogue_views import SqlCatalogueViews, interval_json, segments_json
from control_plane.adapters.views import Json
from control_plane.domain import curve
from radloop.references import Arm


class SqlCurveViews(SqlCatalogueViews):
    """Answers with numbers: Dice by model and by round."""

    def curve(self, project_id: str) -> Json:
        """Build the learning curve and the comparison of mined and control cases (`domain/curve.py` has the arithmetic)."""
        test, validation = self.dice(project_id, "test"), self.dice(project_id, "validation")
        points = []
        for model in self.models(project_id):
            digest = model["model_digest"]
            points.append(
                model
                | {
                    "labels": self._labels_of(project_id, model["dataset_version"]),
                    "test": interval_json(curve.over_segments(test.get(digest, []))),
                    "test_segments": segments_json(test.get(digest, [])),
                    "validation": interval_json(curve.over_segments(validation.get(digest, []))),
                    "validation_segments": segments_json(validation.get(digest, [])),
                }
            )
        rounds, values = self._rounds_with_dice(project_id)
        difference = curve.arms_difference(values)
        return {
            "project_id": project_id,
            "models": points,
            "rounds": rounds,
            "mined_against_control": asdict(difference) if difference else None,
        }

    def _labels_of(self, project_id: str, dataset_version: str | None) -> Json:
        items = tables.dataset_items
        query = sa.select(items.c.split, items.c.arm).where(
            items.c.project_id == project_id, items.c.dataset_version == dataset_version
        )
        rows = self._rows(query)
        by_arm: dict[str, int] = defaultdict(int)
        for row in rows:
            if row["split"] == "train":
                by_arm[row["arm"] or "import"] += 1
        return {"train": sum(by_arm.values()), "by_arm": dict(sorted(by_arm.items())), "all": len(rows)}

    def _rounds_with_dice(self, project_id: str) -> tuple[list[Json], dict[str, tuple[list[float], list[float]]]]:
        cases = self._rows(sa.select(tables.cases).where(tables.cases.c.project_id == project_id))
        patient_of = {row["case_id"]: row["patient_key"] for row in cases}
        approvals = tables.approvals
        query = sa.select(approvals).where(approvals.c.project_id == project_id, approvals.c.round_id != "")
        # The newest approval of a case within a round counts, as it does for training.
        newest = {(row["round_id"], row["case_id"]): row for row in self._rows(query.order_by(approvals.c.sequence))}
        dice: dict[tuple[str, str], list[tuple[str, str, float]]] = defaultdict(list)
        approved: dict[tuple[str, str], int] = defaultdict(int)
        for (round_id, case_id), row in newest.items():
            approved[round_id, row["arm"]] += 1
            if case_id in patient_of:
                for value in _segment_dice(row["prediction_dice"]).values():
                    dice[round_id, row["arm"]].append((patient_of[case_id], case_id, value))
        rounds, values = [], {}
        for row in self.flag_counts(project_id):
            round_id = row["round_id"]
            by_arm = {arm.value: curve.patient_values(dice[round_id, arm.value]) for arm in Arm}
            values[round_id] = (by_arm[Arm.MINED.value], by_arm[Arm.CONTROL.value])
            rounds.append(
                row
                | {
                    "approved": {arm.value: approved[round_id, arm.value] for arm in Arm},
                    "prediction_dice": {arm: interval_json(curve.t_interval(found)) for arm, found in by_arm.items()},
                }
            )
        return rounds, values


def _segment_dice(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if name.startswith("dice-segment-")}
