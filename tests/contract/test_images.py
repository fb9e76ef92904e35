"""The Dockerfiles of the services differ in their names only; none leaves a compiler or root behind."""

import re
from pathlib import Path

import pytest

from standalone.layout import SERVICES, import_name

ROOT = Path(__file__).resolve().parents[2]
OTHERS = (
    "services/inference/triton/torch.Dockerfile",
    "services/inference/triton/Dockerfile",
    "services/trainer/job/Dockerfile",
)


def without_names(text: str, service: str) -> str:
    """Return what a Dockerfile has in common with the others."""
    text = re.sub(r"\A#.*\n", "", text)
    text = re.sub(r"ARG NODE=.*\n", "", text)
    text = re.sub(r"FROM \$\{NODE\} AS pages\n(.+\n)+\n", "", text)
    text = re.sub(r"COPY --from=pages .*\n", "", text)
    text = text.replace(" \\\n    LABELING_WEB_FOLDER=/opt/reading-room", "").replace(
        "EXPOSE 8080 11112", "EXPOSE 8080"
    )
    return text.replace(f"radloop-{service}", "radloop-NAME").replace(f'"{import_name(service)}"', '"NAME"')


def test_the_services_are_made_in_one_way() -> None:
    made = {without_names((ROOT / f"services/{name}/Dockerfile").read_text(), name) for name in SERVICES}
    assert len(made) == 1


@pytest.mark.parametrize("file", [*(f"services/{name}/Dockerfile" for name in SERVICES), *OTHERS])
def test_an_image_is_locked_and_ends_as_nobody(file: str) -> None:
    text = (ROOT / file).read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    assert "--require-hashes" in text
    assert re.findall(r"^USER (.*)$", stages[-1], re.MULTILINE)[-1] == "10001:10001"
    assert "apt-get" not in text and "build-essential" not in text
    assert "uv sync" not in text or "--frozen --no-dev" in text


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_training_job_and_triton_carry_torch(name: str) -> None:
    assert "torch" not in (ROOT / f"services/{name}/Dockerfile").read_text().lower()
