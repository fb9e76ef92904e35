"""Generate everything that follows from the contracts in this directory.

``python proto/generate.py`` writes the Python classes and the topics' settings (``libs/radloop/radloop/contracts``),
the AsyncAPI document and the event catalogue (``docs/reference``). ``--release`` renews ``released.binpb``, which
``buf breaking`` compares with.
``--into DIR`` writes the same tree elsewhere, so that a test can compare it with what is checked in.

It is a program, not a package: contracts are generated when they change, never at run time.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from catalogue import Catalogue, read_catalogue
from documents import asyncapi, events_markdown
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
CONTRACTS = Path("libs/radloop/radloop/contracts")
# Written by hand, beside the generated code: what reads the contracts' options at run time.
HAND_WRITTEN = {"topics.py"}


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


def generated_files() -> dict[Path, bytes]:
    """Build every generated file in memory: path relative to the checkout -> content."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        described = out / "described.binpb"
        run_protoc(f"--python_out={out}", f"--pyi_out={out}")
        run_protoc("--include_source_info", "--include_imports", f"--descriptor_set_out={described}")
        package = out / "radloop" / "contracts"
        (package / "__init__.py").write_text('"""Generated from proto/ by proto/generate.py; never edited."""\n')
        for module in package.glob("*/v1"):
            for parent in (module, module.parent):
                (parent / "__init__.py").write_text("")
        files = {
            CONTRACTS / path.relative_to(package): path.read_bytes()
            for path in sorted(package.rglob("*.py*"))
            if path.is_file()
        }
        files[CONTRACTS / "topic_settings.py"] = topic_settings()
        return files | documents(read_catalogue(described.read_bytes()))


def topic_settings() -> bytes:
    """Write ``topics.yaml`` as a module, so that the installed library needs no file of the checkout."""
    declared = yaml.safe_load((PROTO / "topics.yaml").read_text())
    lines = [f"    {name!r}: {declared['defaults'] | own!r}," for name, own in sorted(declared["topics"].items())]
    text = "\n".join(
        [
            '"""Generated from proto/topics.yaml by proto/generate.py; never edited."""',
            "",
            "from typing import Any",
            "",
            f"DEAD_LETTERS: dict[str, Any] = {declared['dead_letters']!r}",
            "",
            "TOPIC_SETTINGS: dict[str, dict[str, Any]] = {",
            *lines,
            "}",
            "",
        ]
    )
    return text.replace("'", '"').encode()


def documents(catalogue: Catalogue) -> dict[Path, bytes]:
    """Write the documents that follow from the contracts' comments: path relative to the checkout -> content."""
    header = "# Generated from proto/ by proto/generate.py; never edited.\n"
    text = yaml.safe_dump(asyncapi(catalogue), sort_keys=False, width=110, allow_unicode=True)
    return {
        Path("docs/reference/asyncapi.yaml"): (header + text).encode(),
        Path("docs/reference/events.md"): events_markdown(catalogue).encode(),
    }


def write(files: dict[Path, bytes], root: Path) -> None:
    """Bring the generated files under ``root`` up to date: only what differs is touched, what is stale is removed.

    Leaving equal files alone matters while services run from the checkout: they never see a half-written package.
    """
    for path, content in files.items():
        target = root / path
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in (root / CONTRACTS).rglob("*.py*"):
        relative = path.relative_to(root)
        if "__pycache__" not in path.parts and relative not in files and path.name not in HAND_WRITTEN:
            path.unlink()


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
    write(generated_files(), arguments.into)
    if arguments.release:
        release()


if __name__ == "__main__":
    main()
