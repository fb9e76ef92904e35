"""Downloads the Decathlon's hippocampus task, where this machine may: ``python -m standalone.demo.download FOLDER``.

A program of its own, because MONAI, which knows the address and the digest, brings torch with it. Ends with exit code 1
where there is no way out; the demo then generates phantoms.
"""

import sys
import urllib.request
from pathlib import Path

TASK = "Task04_Hippocampus"
_PROBE_S = 10


def main() -> None:
    """Download, check the digest, unpack."""
    from monai.apps import DecathlonDataset
    from monai.apps.utils import download_and_extract

    folder = Path(sys.argv[1])
    address = DecathlonDataset.resource[TASK]
    try:
        with urllib.request.urlopen(address, timeout=_PROBE_S):
            pass
        download_and_extract(
            address, folder / f"{TASK}.tar", folder, hash_val=DecathlonDataset.md5[TASK], progress=False
        )
    except (OSError, RuntimeError, ValueError) as error:
        print(f"no download: {type(error).__name__}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
