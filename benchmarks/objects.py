"""The object store's adapter for S3 against bare boto3, on one server in one run.

Bare boto3 puts and gets with its own defaults and verifies nothing but its own CRC. The adapter names each object by its
SHA-256, writes only what is not there, sends checksums that the server verifies, and verifies what it reads. Both take turns,
so that a busy moment of the machine hits both; medians are compared.
"""

import os
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from real_engines import running, scratch

from radloop.objects import Objects, open_objects
from radloop.references import ObjectRef
from standalone.engines.s3 import BUCKET, S3Server
from standalone.supervisor.ports import free_ports

MB = 10**6
CASES = (("0.5 MB, a slice", 500_000, 40), ("8 MB, a volume", 8 * MB, 8), ("200 MB, a bundle", 200 * MB, 1))
TURNS = 5


def seconds_of(call: Callable[[int], object], count: int) -> float:
    """Return how long so many calls took."""
    began = time.perf_counter()
    for number in range(count):
        call(number)
    return time.perf_counter() - began


def bare_put(client: Any, key: str, data: bytes) -> None:
    """Put as boto3 would; large objects in parts of the adapter's size, as many at once."""
    from io import BytesIO

    config = TransferConfig(multipart_threshold=32 * 2**20, multipart_chunksize=16 * 2**20, max_concurrency=4)
    client.upload_fileobj(BytesIO(data), BUCKET, key, Config=config)


def measure(client: Any, objects: Objects, name: str, size: int, count: int) -> str:
    """Return one row of the table."""
    data = secrets.token_bytes(size)
    times: dict[str, list[float]] = {each: [] for each in ("bare put", "our put", "bare get", "our get")}
    for turn in range(TURNS + 1):
        refs: list[ObjectRef] = []

        def our_put(number: int, turn: int = turn, refs: list[ObjectRef] = refs) -> None:
            refs.append(objects.put(f"ours/{size}/{turn}/{number}", data))

        def key(number: int, turn: int = turn) -> str:
            return f"bare/{size}/{turn}/{number}"

        took = {
            "bare put": seconds_of(lambda number: bare_put(client, key(number), data), count),
            "our put": seconds_of(our_put, count),
            "bare get": seconds_of(
                lambda number: client.get_object(Bucket=BUCKET, Key=key(number))["Body"].read(), count
            ),
            "our get": seconds_of(lambda number, refs=refs: objects.get(refs[number]), count),
        }
        for number in range(count):
            client.delete_object(Bucket=BUCKET, Key=key(number))
            objects.delete(refs[number].key)
        if turn:  # the first one warms up
            for kind, value in took.items():
                times[kind].append(value)
    rate = {kind: size * count / MB / statistics.median(values) for kind, values in times.items()}
    cells = [
        f"{rate['bare put']:.0f} | {rate['our put']:.0f} | **{rate['our put'] / rate['bare put']:.2f}**",
        f"{rate['bare get']:.0f} | {rate['our get']:.0f} | **{rate['our get'] / rate['bare get']:.2f}**",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Start the server, measure, print."""
    with scratch() as folder:
        server = S3Server(folder / "s3", free_ports(1)[0], "benchmark", secrets.token_urlsafe(16))
        server.prepare()
        os.environ.update(server.credentials)
        with running(server.program(), folder=folder):
            client = boto3.session.Session().client("s3", endpoint_url=server.endpoint)
            objects = open_objects(server.url)
            rows = [measure(client, objects, *case) for case in CASES]
    print("| object | bare put, MB/s | our put, MB/s | ratio | bare get, MB/s | our get, MB/s | ratio |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(
        f"\nversitygw on this machine, one client, one object after the other, median of {TURNS} turns each. Bare: boto3 with its "
        "defaults (CRC). Ours: SHA-256 of every object and part, conditional writes, every read verified."
    )


if __name__ == "__main__":
    main()
