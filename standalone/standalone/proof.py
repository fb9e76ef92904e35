"""The page that says what is left of a withdrawn study: every service is asked, backups are listed, and the rest is said in words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radloop.errors import NotFound, PermanentError, RadloopError
from standalone.backup.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from standalone.client import Client

CONTROL_PLANE = "control-plane"
SERVICES = ("ingest", "inference", "edge-miner", "labeling", "qa", "trainer", CONTROL_PLANE)

COPIES = (
    "Inference keeps no image beside its object store: Triton is given a case in memory, and forgets it with the answer.",
    "The scratch folder of a training job holds cases while it runs; a run that trains on a withdrawn study is ended.",
    "What a browser keeps of an unsent draft is deleted when it next asks for the case, or opens the worklist.",
)
"""Copies that no service lists, and what becomes of them."""


def collected(client: "Client", study_key: str, backups: Sequence[Path]) -> dict[str, Any]:
    """Ask every service, and look through backups.

    Parameters
    ----------
    client : Client
    study_key : str
        Of a withdrawn study.
    backups : sequence of Path
        Folders of backups, or folders of such folders.

    Returns
    -------
    dict
        ``complete`` when every service has heard of the withdrawal and has nothing left that should be gone.

    Raises
    ------
    NotFound
        ``not-withdrawn``.
    """
    proof = client.get(f"/ingest/v1/withdrawn/{study_key}/proof")
    services = [_asked(client, service, study_key) for service in SERVICES]
    withdrawn_at = datetime.fromtimestamp(proof["withdrawn_at"], UTC)
    left = [one["service"] for one in services if not one["done"]]
    if not left:
        where = "in any service of this site" if any("elsewhere" in one for one in services) else "in any service"
        verdict = f"Nothing of the study is left {where}."
    else:
        verdict = f"Not finished: {', '.join(left)}."
    return {
        "study_key": study_key,
        "reason": proof["reason"],
        "withdrawn_at": withdrawn_at.isoformat(timespec="seconds"),
        "asked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": not left,
        "verdict": verdict,
        "services": services,
        "contained_in": _contained_in(client, study_key),
        "backups": [_backup(folder, withdrawn_at) for root in backups for folder in _folders(root)],
        "copies": list(COPIES),
        "not_seen": proof["not_seen_here"],
    }


def _asked(client: "Client", service: str, study_key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.get(f"/{service}/v1/studies/{study_key}/remains")
    except RadloopError as error:
        if service == CONTROL_PLANE and error.code == "service-unknown":
            return {"service": service, "done": True, "elsewhere": True}
        return {"service": service, "done": False, "problem": error.code}
    nothing = not found["rows"] and not found["objects"] and not any(found["events"].values())
    return found | {"done": found["forgets"] and nothing}


def _contained_in(client: "Client", study_key: str) -> list[dict[str, Any]]:
    """Return the dataset versions that contained it, with the model trained on each, as the trainer lists them by project."""
    projects = [one["project_id"] for one in client.get("/ingest/v1/status")["projects"]]
    found: list[dict[str, Any]] = []
    for project_id in projects:
        try:
            listed = client.get("/trainer/v1/withdrawn", project_id=project_id)["withdrawn"]
        except RadloopError:
            continue  # the trainer's line says that it did not answer
        found += [one | {"project_id": project_id} for one in listed if one["study_key"] == study_key]
    return found


def _folders(root: Path) -> list[Path]:
    if (root / MANIFEST).exists():
        return [root]
    return sorted(folder for folder in root.iterdir() if (folder / MANIFEST).exists())


def _backup(folder: Path, withdrawn_at: datetime) -> dict[str, Any]:
    try:
        made = read_manifest(folder)
    except (NotFound, PermanentError) as error:
        return {"name": folder.name, "made_at": "", "holds": error.code, "may_contain_it": True}
    objects = "no objects" if made.objects is None else f"{made.objects} objects"
    return {
        "name": folder.name,
        "made_at": made.made_at,
        "holds": f"databases of {', '.join(made.services)}; {objects}; the keys",
        "may_contain_it": datetime.fromisoformat(made.made_at) <= withdrawn_at,
    }


def page(found: dict[str, Any]) -> str:
    """Return what was collected as a page in Markdown: nothing in it says whose study it was."""
    lines = [
        f"# Withdrawal of study {found['study_key']}",
        "",
        f"Withdrawn {found['withdrawn_at']}, reason: {found['reason']}. Asked {found['asked_at']}.",
        "",
        f"**{found['verdict']}** The study is refused if it is sent again.",
        "",
        "## Services",
        "",
        "| service | has heard of it | rows left | objects left | events waiting | what it keeps |",
        "|---|---|---|---|---|---|",
        *(_service_line(one) for one in found["services"]),
        "",
        "## Dataset versions and models that contained it",
        "",
        *_listed(
            [
                f"project {one['project_id']}: dataset {one.get('dataset_version') or one.get('digest', '')}"
                + (f", model {one['model_digest']}" if one.get("model_digest") else "")
                for one in found["contained_in"]
            ],
            "None.",
        ),
        "",
        "## Backups",
        "",
        *_listed(
            [
                f"{one['name']} ({one['made_at'] or 'time unknown'}): {one['holds']}. "
                + ("Made before the withdrawal: let it expire." if one["may_contain_it"] else "Made after it.")
                for one in found["backups"]
            ],
            "No folder was named (--backups). Those made before the withdrawal contain the study.",
        ),
        "",
        "## Other copies",
        "",
        *_listed(found["copies"], ""),
        "",
        "## What no service can see",
        "",
        *_listed(found["not_seen"], ""),
    ]
    return "\n".join(lines) + "\n"


def _service_line(one: dict[str, Any]) -> str:
    if "problem" in one:
        return f"| {one['service']} | did not answer: {one['problem']} | | | | |"
    if "elsewhere" in one:
        return f"| {one['service']} | not at this site: ask there. It has pseudonyms and numbers only | | | | |"
    rows = ", ".join(f"{number} {table}" for table, number in one["rows"].items()) or "none"
    kept = "; ".join(f"{line['table']}: {line['says']}" for line in one["kept"]) or "nothing"
    events = sum(one["events"].values())
    heard = "yes" if one["forgets"] else "not yet"
    return f"| {one['service']} | {heard} | {rows} | {one['objects'] or 'none'} | {events or 'none'} | {kept} |"


def _listed(lines: Sequence[str], otherwise: str) -> list[str]:
    return [f"- {line}" for line in lines] or [otherwise]
