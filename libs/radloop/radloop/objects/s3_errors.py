"""What boto3 raises, in our words. No message names a key, an address or a secret.

All that an operator can mend (a server that is away or full, keys that are refused, a bucket that is missing) is
`Unavailable`: the work waits until it is mended, and nothing is given up for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from urllib3.exceptions import HTTPError

from radloop.errors import NotFound, RadloopError, Unavailable

DELAY_S = 5.0

_REFUSED = {
    "AccessDenied",
    "AccountProblem",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "403",
}
_FULL = {"InsufficientStorage", "NoSpaceLeft", "QuotaExceeded", "StorageFull", "XMinioStorageFull", "507"}
_MISSING = {"NoSuchKey", "404"}


def code_of(error: ClientError) -> str:
    """Return the code of an answer, e.g. ``NoSuchKey``; of an answer without a body, its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def already_there(error: ClientError) -> bool:
    """Whether a conditional write found an object."""
    return status_of(error) == 412


def lost_upload(error: ClientError) -> bool:
    """Whether an upload is known no more: somebody aborted it, or it is complete and the answer was lost."""
    return code_of(error) == "NoSuchUpload"


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turn what boto3 raises into our errors.

    Raises
    ------
    NotFound
        There is no such object.
    Unavailable
        Anything else.
    """
    try:
        yield
    except ClientError as error:
        raise _answered(error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise Unavailable(
            "object-store-no-credentials",
            delay_s=DELAY_S,
            expected="keys where boto3 looks for them",
            got="none, or half of them",
            do="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
        ) from error
    except (BotoCoreError, HTTPError, ConnectionError, TimeoutError) as error:
        raise Unavailable(
            "object-store-unavailable",
            delay_s=DELAY_S,
            expected="an answer of the S3 server",
            got=type(error).__name__,
            do="look whether it runs, and at endpoint in RADLOOP_OBJECTS_URL",
        ) from error


def _answered(error: ClientError) -> RadloopError:
    code = code_of(error)
    if code == "NoSuchBucket":
        return Unavailable(
            "object-store-bucket-missing",
            delay_s=DELAY_S,
            expected="the bucket of RADLOOP_OBJECTS_URL",
            got="none",
            do="make the bucket, or mend the URL",
        )
    if code in _MISSING:
        return NotFound("object-missing", expected="an object under the key", got="none")
    if code in _REFUSED or status_of(error) == 403:
        return Unavailable(
            "object-store-refused",
            delay_s=DELAY_S,
            expected="keys that may read, write, list and delete in the bucket",
            got=code,
            do="check the keys, the bucket's policy and this machine's clock",
        )
    if code in _FULL or status_of(error) == 507:
        return Unavailable(
            "object-store-full", delay_s=DELAY_S, expected="room in the object store", got=code, do="make room"
        )
    return Unavailable(
        "object-store-unavailable",
        delay_s=DELAY_S,
        expected="a request that the S3 server serves",
        got=f"{code or 'no code'} ({status_of(error)})",
        do="see the log of the S3 server",
    )
