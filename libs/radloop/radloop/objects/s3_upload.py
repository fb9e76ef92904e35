"""Large objects to S3: parts sent side by side, each with its SHA-256, made visible by one conditional step at the end."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from radloop.objects.digests import checksum_of
from radloop.references import digest_of

PART_BYTES = 16 * 2**20
MOST_PARTS = 10_000
"""S3's own limit."""
AT_ONCE = 4
"""Parts of one object in flight; each is in memory while it is."""


def upload(
    client: Any, place: dict[str, str], metadata: dict[str, str], size_bytes: int, read: Callable[[int, int], bytes]
) -> None:
    """Send an object in parts; nothing is visible before the last step, and nothing is left when one fails.

    Parameters
    ----------
    client
        Of boto3.
    place
        ``Bucket`` and ``Key``.
    metadata
        Of the object.
    size_bytes
        Of the object; more than 0.
    read
        ``read(start, length)`` gives bytes; called from several threads.

    Raises
    ------
    ClientError
        412 when an object stands there already; NoSuchUpload when somebody aborted the upload meanwhile.
    """
    part_bytes = max(PART_BYTES, -(-size_bytes // MOST_PARTS))
    started = client.create_multipart_upload(**place, Metadata=metadata, ChecksumAlgorithm="SHA256")
    of_upload = {**place, "UploadId": started["UploadId"]}

    def send(number: int) -> dict[str, Any]:
        data = read((number - 1) * part_bytes, part_bytes)
        checksum = checksum_of(digest_of(data))
        answer = client.upload_part(**of_upload, PartNumber=number, Body=data, ChecksumSHA256=checksum)
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    try:
        parts = _all(send, -(-size_bytes // part_bytes))
        client.complete_multipart_upload(**of_upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except BaseException:
        _abort(client, of_upload)
        raise


def _all(send: Callable[[int], dict[str, Any]], count: int) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(min(AT_ONCE, count), thread_name_prefix="s3-part") as pool:
        futures = [pool.submit(send, number) for number in range(1, count + 1)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _abort(client: Any, of_upload: dict[str, str]) -> None:
    # The error that led here is the one to tell; `radloop objects sweep` aborts what is left.
    with contextlib.suppress(ClientError, BotoCoreError):
        client.abort_multipart_upload(**of_upload)


def abandoned(client: Any, bucket: str, prefix: str, before: datetime) -> list[dict[str, str]]:
    """Return the uploads under a prefix that were begun, and got their last part, before a time."""
    found = []
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Uploads", []):
            of_upload = {"Bucket": bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
            if each["Initiated"] < before and not _got_parts_since(client, of_upload, before):
                found.append(of_upload)
    return found


def _got_parts_since(client: Any, of_upload: dict[str, str], before: datetime) -> bool:
    try:
        pages = client.get_paginator("list_parts").paginate(**of_upload)
        return any(part["LastModified"] >= before for page in pages for part in page.get("Parts", []))
    except ClientError:  # completed or aborted meanwhile: nobody's any more
        return True
