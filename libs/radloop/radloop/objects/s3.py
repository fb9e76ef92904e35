"""Objects in a bucket of S3, or of a server that speaks its protocol.

Every write is conditional (``If-None-Match: *``), so that an object is never overwritten; the digest stands in the object's
metadata and is verified on every read. Large objects go in parts, see `radloop.objects.s3_upload`.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from radloop.crash import crash_point
from radloop.errors import Conflict, PermanentError, Unavailable
from radloop.objects.cache import ObjectCache
from radloop.objects.digests import checked_key, checksum_of, digest_of_file
from radloop.objects.port import StoredObject
from radloop.objects.s3_errors import DELAY_S, already_there, in_our_words, lost_upload, status_of
from radloop.objects.s3_upload import abandoned, upload
from radloop.references import ObjectRef, digest_of

MULTIPART_BYTES = 32 * 2**20
"""Larger objects go in parts."""
REFRESH_AFTER = timedelta(minutes=1)
"""Age at which a `put` of the same bytes makes an object young again; the grace of a sweep must be longer."""

_DIGEST, _AGAIN = "digest", "again"
_DISCARDING = ".discarding/"
_DISCARD_TAKES_AT_MOST = timedelta(minutes=30)
_ATTEMPTS = 5
_READ_BYTES = 2**20


class S3Objects:
    """Object store in a bucket.

    Parameters
    ----------
    client, public_client, hasty_client
        Of boto3; the second knows the server by the address that browsers use, the third gives up soon.
    bucket, prefix
        Where the objects are; the prefix is empty or ends in ``/``.
    cache
        Where `path` keeps copies; None when nobody here reads files.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str,
        cache: ObjectCache | None = None,
        public_client: Any = None,
        hasty_client: Any = None,
    ) -> None:
        self._client, self._public_client, self._hasty_client = client, public_client or client, hasty_client or client
        self._bucket, self._prefix, self._cache = bucket, prefix, cache

    def put(self, key: str, data: bytes, digest: str = "") -> ObjectRef:
        """Store bytes durably under ``key``; the same bytes again change nothing but the object's age."""
        ref = ObjectRef(key=checked_key(key), digest=digest or digest_of(data), size_bytes=len(data))
        if len(data) <= MULTIPART_BYTES:
            return self._store(ref, lambda: self._put_whole(ref, data))
        return self._store_parts(ref, lambda start, length: data[start : start + length])

    def put_file(self, key: str, path: Path) -> ObjectRef:
        """Store a file's bytes as `put` does, without holding them in memory at once."""
        if path.stat().st_size <= MULTIPART_BYTES:
            return self.put(key, path.read_bytes())
        ref = ObjectRef(key=checked_key(key), digest=digest_of_file(path), size_bytes=path.stat().st_size)

        def read(start: int, length: int) -> bytes:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(length)

        return self._store_parts(ref, read)

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified."""
        with in_our_words():
            data: bytes = self._client.get_object(**self._place(ref.key))["Body"].read()
        if digest_of(data) != ref.digest:
            raise PermanentError("object-damaged", expected=ref.digest, got=digest_of(data))
        return data

    def path(self, ref: ObjectRef, hold: Path | None = None) -> Path:
        """Return a verified local copy, which may go at any time unless it is held. Read only."""
        if self._cache is None:
            raise PermanentError("object-has-no-file", expected="a store opened with a work folder", got="none")
        return self._cache.path(ref.digest, lambda path: self._fetch(ref, path), hold)

    def presigned_url(self, ref: ObjectRef, expires_s: int) -> str | None:
        """Return an address from which anybody may read the object for so many seconds."""
        with in_our_words():
            url: str = self._public_client.generate_presigned_url(
                "get_object", Params=self._place(ref.key), ExpiresIn=expires_s
            )
        return url

    def delete(self, key: str) -> None:
        """Forget an object; one that is not there is no error."""
        with in_our_words():
            self._client.delete_object(**self._place(key))

    def discard(self, key: str, before: datetime) -> bool:
        """Forget an object unless it was stored, or put again, at or after a time; return whether it is gone.

        S3 cannot delete "unless changed". So a mark is set first, and a writer who finds the object there makes it young,
        then looks for the mark and again for the object: whichever of the two is late sees what the other did. The mark is
        a lock too: with two sweeps at one key, the later could delete what was stored after the earlier. It stays when it
        is not known what became of the deletion, until `abort_unfinished` finds it stale.
        """
        mark = {"Bucket": self._bucket, "Key": self._mark_of(key)}
        with in_our_words():
            if not self._set_mark(mark):
                return False
            answer = self._head(key)
            gone = answer is None
            if answer is not None and _age_from(answer) < before:
                self._client.delete_object(**self._place(key))
                gone = True
            self._client.delete_object(**mark)
        return gone

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        return sorted(each.key for each in self.listing(prefix))

    def listing(self, prefix: str) -> Iterator[StoredObject]:
        """Go through the objects whose keys begin with ``prefix``, in no order."""
        with in_our_words():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for each in page.get("Contents", []):
                    key = each["Key"].removeprefix(self._prefix)
                    if not key.startswith(".") and not key.endswith("/"):
                        yield StoredObject(key, each["Size"], each["LastModified"])

    def abort_unfinished(self, prefix: str, before: datetime) -> int:
        """Abort the uploads in parts that killed writers left under a prefix before a time; return how many."""
        aborted = 0
        with in_our_words():
            for each in abandoned(self._client, self._bucket, self._prefix + prefix, before):
                # Ended since it was listed, by its writer or by another sweep: nothing is left of it either way.
                with suppress(self._client.exceptions.NoSuchUpload):
                    self._client.abort_multipart_upload(**each)
                    aborted += 1
            marks = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}{_DISCARDING}"
            )
            for mark in (mark for page in marks for mark in page.get("Contents", []) if _is_stale(mark)):
                self._client.delete_object(Bucket=self._bucket, Key=mark["Key"])
        return aborted

    def check(self) -> None:
        """Return when the bucket answers to these keys."""
        with in_our_words():
            self._hasty_client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def _store_parts(self, ref: ObjectRef, read: Callable[[int, int], bytes]) -> ObjectRef:
        metadata = {_DIGEST: ref.digest}

        def write() -> None:
            # A look first: sending much to hear that it is there already takes long.
            with in_our_words():
                if self._head(ref.key) is not None:
                    raise _AlreadyThere
            upload(self._client, self._place(ref.key), metadata, ref.size_bytes, read)

        return self._store(ref, write)

    def _put_whole(self, ref: ObjectRef, data: bytes) -> None:
        self._client.put_object(
            **self._place(ref.key),
            Body=data,
            IfNoneMatch="*",
            ChecksumSHA256=checksum_of(ref.digest),
            Metadata={_DIGEST: ref.digest},
        )

    def _store(self, ref: ObjectRef, write: Callable[[], None]) -> ObjectRef:
        """Write once; where that meets another writer or a sweep, look who was there and begin anew."""
        with in_our_words():
            for _ in range(_ATTEMPTS):
                try:
                    write()
                    break
                except _AlreadyThere:
                    pass
                except ClientError as error:
                    # 409: two writers at once. A lost upload: a sweep took it for abandoned, or the answer was lost.
                    if not already_there(error) and not lost_upload(error) and status_of(error) != 409:
                        raise
                if self._is_there(ref):
                    break
            else:
                raise Unavailable(
                    "object-store-busy", delay_s=DELAY_S, expected="to be let in", got="others at the same key"
                )
        crash_point("after-object-write")
        return ref

    def _is_there(self, ref: ObjectRef) -> bool:
        """Whether these bytes are stored and will stay: an old object is made young first."""
        answer = self._head(ref.key)
        if answer is None:
            return False
        if self._digest_of(ref, answer) != ref.digest:
            raise Conflict("object-exists", expected="a new key, or the same bytes", got="other bytes under this key")
        if _age_from(answer) >= datetime.now(UTC) - REFRESH_AFTER:
            return True
        self._make_young(ref)
        if self._is_being_discarded(ref.key):
            raise Unavailable(
                "object-being-discarded", delay_s=DELAY_S, expected="an object that stays", got="one being swept"
            )
        return self._head(ref.key) is not None

    def _make_young(self, ref: ObjectRef) -> None:
        """Copy an object onto itself. Not every server changes its time then, so the metadata says when."""
        place = self._place(ref.key)
        try:
            self._client.copy_object(
                **place,
                CopySource=place,
                MetadataDirective="REPLACE",
                Metadata={_DIGEST: ref.digest, _AGAIN: datetime.now(UTC).isoformat()},
            )
        except ClientError as error:
            if status_of(error) != 404:  # swept meanwhile: the caller looks
                raise

    def _set_mark(self, mark: dict[str, str]) -> bool:
        """Return False when another sweep is at the key."""
        for _ in range(_ATTEMPTS):
            try:
                self._client.put_object(**mark, Body=b"", IfNoneMatch="*")
            except ClientError as error:
                if already_there(error):
                    return False
                if status_of(error) != 409:
                    raise
            else:
                return True
        return False

    def _is_being_discarded(self, key: str) -> bool:
        try:
            mark = self._client.head_object(Bucket=self._bucket, Key=self._mark_of(key))
        except ClientError as error:
            if status_of(error) == 404:
                return False
            raise
        return not _is_stale(mark)

    def _mark_of(self, key: str) -> str:
        return f"{self._prefix}{_DISCARDING}{hashlib.sha256(checked_key(key).encode()).hexdigest()}"

    def _digest_of(self, ref: ObjectRef, answer: dict[str, Any]) -> str:
        """Return the digest of an object that is there; one that was not stored by us is read."""
        said = str(answer.get("Metadata", {}).get(_DIGEST, ""))
        return said or digest_of(self._client.get_object(**self._place(ref.key))["Body"].read())

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._client.head_object(**self._place(key))
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        return answer

    def _fetch(self, ref: ObjectRef, path: Path) -> None:
        digest = hashlib.sha256()
        with in_our_words():
            body = self._client.get_object(**self._place(ref.key))["Body"]
            with path.open("xb") as file:
                for chunk in body.iter_chunks(_READ_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
        if f"sha256:{digest.hexdigest()}" != ref.digest:
            raise PermanentError("object-damaged", expected=ref.digest, got=f"sha256:{digest.hexdigest()}")

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked_key(key)}


class _AlreadyThere(Exception):
    """An object was found before anything was sent."""


def _is_stale(mark: dict[str, Any]) -> bool:
    """Whether a mark belongs to a sweep that was killed."""
    return bool(mark["LastModified"] < datetime.now(UTC) - _DISCARD_TAKES_AT_MOST)


def _age_from(answer: dict[str, Any]) -> datetime:
    """Return when an object was stored, or last put again."""
    stored_at: datetime = answer["LastModified"]
    again = answer.get("Metadata", {}).get(_AGAIN)
    return max(stored_at, datetime.fromisoformat(again)) if again else stored_at
