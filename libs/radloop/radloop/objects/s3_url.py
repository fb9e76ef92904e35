"""From ``s3://bucket/prefix?endpoint=…`` to an object store. Keys of access come by boto3's own chain, never in the URL."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from boto3.session import Session
from botocore.config import Config

from radloop.errors import PermanentError
from radloop.objects.cache import CACHE_BYTES, ObjectCache
from radloop.objects.s3 import S3Objects

_OPTIONS = ("endpoint", "public_endpoint", "region", "cache_gb")
_DEFAULT_REGION = "us-east-1"


def open_s3(url: str, work_dir: Path | None) -> S3Objects:
    """Open a bucket; nothing is asked of the server yet, so that a service starts and waits while it is away.

    Parameters
    ----------
    url
        ``s3://bucket[/prefix]``, with options behind ``?``: ``endpoint`` (a server that is not Amazon's),
        ``public_endpoint`` (the address browsers know it by), ``region``, ``cache_gb`` (bound of the local copies).
    work_dir
        Where local copies are kept; None when `S3Objects.path` is not called.

    Raises
    ------
    PermanentError
        When the URL is none of these. Its text is not repeated: somebody may have put a secret into it.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not bucket or "@" in bucket or ":" in bucket or parts.fragment or not set(options) <= set(_OPTIONS):
        raise PermanentError(
            "objects-url-invalid",
            expected=f"s3://bucket[/prefix], options {', '.join(_OPTIONS)}",
            got="another form",
            do="set RADLOOP_OBJECTS_URL; keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    endpoint = options.get("endpoint")
    public_endpoint = options.get("public_endpoint")
    region = options.get("region")
    cache = None
    if work_dir is not None:
        cache = ObjectCache(work_dir / "object-cache", int(float(options.get("cache_gb", CACHE_BYTES / 2**30)) * 2**30))
    return S3Objects(
        _client(endpoint, region),
        bucket,
        f"{prefix}/" if prefix else "",
        cache,
        _client(public_endpoint, region) if public_endpoint else None,
        # A probe waits five seconds for what the check says.
        _client(endpoint, region, connect_timeout=1.5, read_timeout=2.5, attempts=1),
    )


def _client(
    endpoint: str | None,
    region: str | None,
    *,
    connect_timeout: float = 5,
    read_timeout: float = 60,
    attempts: int = 3,
) -> Any:
    session = Session()
    config = Config(
        signature_version="s3v4",
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=32,
        # Other servers seldom have a name per bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
        # We send SHA-256 and verify it ourselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client(
        "s3", endpoint_url=endpoint, region_name=region or session.region_name or _DEFAULT_REGION, config=config
    )
