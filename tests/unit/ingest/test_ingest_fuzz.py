"""Ten thousand damaged files: each is taken or refused with a reason, nothing else is raised, and memory stays bounded."""

import io
import resource
import sys
from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from ingest.adapters.encoding import decode_frames
from ingest.adapters.reception import Fate
from ingest.domain.geometry import stacks
from ingest.domain.reasons import Refused

INPUTS = 10_000
MOST_MEMORY_MIB = 512
TAGS = [tag.to_bytes(4, "little") for tag in (0x00100028, 0x00110028, 0x01000028, 0x00080028, 0x0010E07F, 0x00080005)]
"""Rows, Columns, Bits Allocated, Number of Frames, Pixel Data and character set, as they stand in a file."""


@pytest.fixture
def whole(phantoms) -> list[bytes]:
    """Files of several kinds, none of them damaged."""
    plain = phantoms.file(phantoms.slice())
    files = [
        plain,
        *(phantoms.file(phantoms.slice(), syntax) for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian)),
    ]
    edge = 32  # the least that its codec takes
    square = phantoms.file(phantoms.slice(Rows=edge, Columns=edge, PixelData=bytes(range(256)) * (edge * edge // 128)))
    for syntax in (RLELossless, JPEG2000Lossless):
        ds = pydicom.dcmread(io.BytesIO(square))
        ds.compress(syntax, generate_instance_uid=False)
        written = io.BytesIO()
        ds.save_as(written, enforce_file_format=True)
        files.append(written.getvalue())
    nested = phantoms.slice()
    nested.ReferencedImageSequence = [pydicom.Dataset(), pydicom.Dataset()]
    nested.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    nested.SpecificCharacterSet = "ISO_IR 192"
    files.append(phantoms.file(nested))
    return files


def damaged(file: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to three things wrong with it."""
    data = bytearray(file)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(data)))
        kind = rng.integers(0, 7)
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 9))]
        elif kind == 3:
            data[place:place] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 4:
            data[place : place + 4] = b"\xff\xff\xff\xff"
        elif kind == 5:
            start = int(rng.integers(0, len(data)))
            data[place:place] = data[start : start + int(rng.integers(1, 200))]
        else:
            # The values that say how large the image is: a wrong one must not be believed.
            found = data.find(TAGS[int(rng.integers(0, len(TAGS)))])
            if found >= 0:
                data[found + 8 : found + 10] = rng.bytes(2)
        if not data:
            return b""
    return bytes(data)


@pytest.mark.timeout(300)
def test_every_damaged_file_is_taken_or_refused_with_a_reason(receiver, uow, objects, whole):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fates: Counter[str] = Counter()
    for number in range(INPUTS):
        rng = np.random.default_rng([20261127, number])
        data = damaged(whole[number % len(whole)], rng)
        with receiver.open("RADLOOP") as reception:
            outcome = reception.receive(data)
        fates[outcome.reason or outcome.fate] += 1
        if outcome.fate is not Fate.STORED:
            assert outcome.fate is Fate.DUPLICATE or outcome.reason, number
            continue
        (stored,) = [one for _, one in uow.instances.of_study(outcome.study_key)][-1:]
        try:
            stacks(stored.header.planes)
            decode_frames(objects.stored[stored.object.key], stored.header)
        except Refused:
            fates["refused when formed"] += 1
    # All of it happened: files that pass, and every reason a damaged one can have at the door.
    assert {"stored", "not-dicom", "truncated", "undecodable", "no-pixel-data", "refused when formed"} <= set(fates), (
        fates
    )
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sys.platform != "linux" or grown_kib < MOST_MEMORY_MIB * 1024
