"""Generate everything that follows from the contracts in this directory.

``python proto/generate.py`` writes the Python classes (``libs/radloop/radloop/contracts``), the AsyncAPI document and the
event catalogue (``docs/reference``). ``--release`` renews ``released.binpb``, the image that ``buf breaking`` compares with.
``--into DIR`` writes the same tree elsewhere, so that a test can compare it with what is checked in.

It is a program, not a package: contracts are generated when they change, never at run time.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
CONTRACTS = Path("libs/radloop/radloop/contracts")


def sources() -> list[str]:
    """List the contract files, relative to ``proto/``, in a fixed order."""
    return sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("radloop/**/*.proto"))


def run_protoc(*arguments: str) -> None:
    """Run the protocol buffer compiler of grpcio-tools over all contracts.

    Raises
    ------
    SystemExit
        The compiler refused a file; it has said why on stderr.
    """
    include = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", *arguments, *sources()])
    if code != 0:
        raise SystemExit(code)


def write_python(root: Path) -> None:
    """Write the message classes and their type stubs under ``root``; what is no longer generated disappears."""
    package = root / CONTRACTS
    for stale in package.glob("*/"):
        shutil.rmtree(stale)
    package.mkdir(parents=True, exist_ok=True)
    out = root / CONTRACTS.parent.parent
    run_protoc(f"--python_out={out}", f"--pyi_out={out}")
    for generated in package.glob("*/v1"):
        for directory in (generated, generated.parent):
            (directory / "__init__.py").write_text("")
    (package / "__init__.py").write_text('"""Generated from proto/ by proto/generate.py; never edited."""\n')


def release() -> None:
    """Renew the image of the released contracts that ``buf breaking`` compares with."""
    buf = Path(sys.executable).with_name("buf")
    command = [str(buf), "build", "--exclude-source-info", "-o", str(PROTO / "released.binpb")]
    subprocess.run(command, cwd=PROTO, check=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT, help="root of the tree to write to (default: the checkout)")
    parser.add_argument("--release", action="store_true", help="also renew proto/released.binpb")
    arguments = parser.parse_args()
    write_python(arguments.into)
    if arguments.release:
        release()


if __name__ == "__main__":
    main()
