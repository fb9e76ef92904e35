"""Write an image of one static program, as an archive that ``ctr images import`` takes.

python image.py OUT.tar NAME:TAG PROGRAM=/PATH/IN/IMAGE
"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def main() -> None:
    """Write it."""
    out, name, program = sys.argv[1:]
    source, _, place = program.partition("=")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(source, place.strip("/"), filter=_of_nobody)
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]}
    user = {"Entrypoint": [place], "User": "65532"}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": user, "rootfs": layers}).encode()
    digest = hashlib.sha256(config).hexdigest()
    full = name if "." in name.split("/")[0] or name.startswith("localhost/") else f"docker.io/{name}"
    manifest = json.dumps([{"Config": f"{digest}.json", "RepoTags": [full], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(Path(out), "w") as archive:
        for file, data in (("layer.tar", layer.getvalue()), (f"{digest}.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime, entry.mode = 0, 0o755
    return entry


if __name__ == "__main__":
    main()
