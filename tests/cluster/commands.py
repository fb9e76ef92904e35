"""kubectl and helm, as a person types them, against the cluster that KUBECONFIG names."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (ROOT / ".engines" / "cluster-tools", ROOT / ".engines" / "kubernetes" / "bin")


def environment_with_tools() -> dict[str, str]:
    """Return the environment with the project's own tools first in the path."""
    return os.environ | {"PATH": os.pathsep.join([*map(str, TOOLS), os.environ.get("PATH", "")])}


def run(*command: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; what it says on failure is in the error."""
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, env=environment_with_tools(), cwd=ROOT
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """Return what kubectl prints."""
    return run("kubectl", *arguments, given=given, check=check).stdout


def found(*arguments: str) -> Any:
    """Return what ``kubectl get`` finds: the object, or the list of them."""
    answer = json.loads(kubectl("get", *arguments, "--output", "json"))
    return answer.get("items", answer) if answer["kind"].endswith("List") else answer


def apply(*manifests: dict[str, Any]) -> None:
    """Make objects, or change them."""
    kubectl(
        "apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    )


def helm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return run("helm", *arguments, check=check)


def secret(namespace: str, name: str, values: dict[str, str]) -> dict[str, Any]:
    """Describe a Secret."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
