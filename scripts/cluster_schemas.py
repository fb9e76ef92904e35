"""Write JSON schemas for kubeconform from Kubernetes' own description of its API: ``cluster_schemas.py SWAGGER FOLDER``.

They are strict: a field that Kubernetes does not know is refused. `scripts/cluster-tools` calls this once.
"""

import json
import sys
from pathlib import Path
from typing import Any

DEFINITIONS = "definitions.json"


def strict(schema: Any) -> Any:
    """Return a part of the description as a JSON schema that takes no unknown field."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if not key.startswith("x-")}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    if found.get("format") == "int-or-string":
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    return found


def main(swagger: Path, folder: Path) -> None:
    """Write one file for each kind of object, and one that they all refer to."""
    described = json.loads(swagger.read_text())["definitions"]
    definitions = {name: strict(schema) for name, schema in described.items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEFINITIONS).write_text(json.dumps({"definitions": definitions}))
    for name, schema in described.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            text = json.dumps(definitions[name]).replace('"#/definitions/', f'"{DEFINITIONS}#/definitions/')
            group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
            (folder / f"{kind['kind']}{group}-{kind['version']}.json".lower()).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
