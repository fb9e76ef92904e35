"""Chooses the images of a demo: real ones where there are any, else a phantom cohort, and says so."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from radloop.errors import NotFound
from standalone.demo.cohort import DECATHLON_FOLDER, Source, decathlon_source, find_real_source, phantom_source

CHECKOUT = Path(__file__).resolve().parents[3]
_DOWNLOAD_S = 300


def choose_source(wanted: str, environment: Mapping[str, str], download_folder: Path) -> Source:
    """Choose where the images come from.

    Parameters
    ----------
    wanted
        "auto", "real" or "phantom".
    environment
        The shell's variables: ``RADLOOP_DATA``.
    download_folder
        Where a download is kept, so that the next demo finds it.

    Raises
    ------
    NotFound
        Real images are wanted and there are none.
    """
    if wanted == "phantom":
        return Source("phantom", "", "a generated phantom cohort, as asked", phantom_source().attribution)
    source = find_real_source(environment, CHECKOUT) or _downloaded(download_folder)
    if source is not None:
        return source
    if wanted == "real":
        raise NotFound(
            "no-real-images",
            expected="msd_hippocampus in RADLOOP_DATA or ../shared/data, or a way to download it",
            got="none of them",
            do="set RADLOOP_DATA, or leave --cohort out for a phantom cohort",
        )
    return phantom_source()


def _downloaded(folder: Path) -> Source | None:
    task = folder / DECATHLON_FOLDER
    if not _is_whole(task):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "standalone.demo.download", str(folder)]
        try:
            done = subprocess.run(command, timeout=_DOWNLOAD_S, capture_output=True, env=dict(os.environ))
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0 or not _is_whole(task):
            return None
    return decathlon_source(task)


def _is_whole(task: Path) -> bool:
    return (task / "dataset.json").is_file() and len(list(task.glob("labelsTr/hippocampus_*.nii.gz"))) >= 260
