"""Start Triton where it is alone, as in its image: ``python -m bundle_runner``. This process becomes the server.

`TRITON_WHEEL` names the folder of the server's wheel, `TRITON_THREADS` how many threads torch uses for each model; the
server's own folder is made in the working directory. It listens on every address: 8000 HTTP, 8001 gRPC, 8002 metrics.
"""

import os
import sys
from pathlib import Path

from bundle_runner.server import TritonUnavailable, triton_command


def main() -> None:
    """Prepare the server's folders and become the server."""
    try:
        arguments, environment = triton_command(
            Path(os.environ.get("TRITON_WHEEL", "/opt/triton")),
            Path.cwd() / "triton",
            http_port=8000,
            grpc_port=8001,
            metrics_port=8002,
            host="0.0.0.0",
            threads=int(os.environ.get("TRITON_THREADS", "2")),
        )
    except TritonUnavailable as error:
        sys.exit(f"triton: {error}")
    os.execve(arguments[0], arguments, environment)


if __name__ == "__main__":
    main()
