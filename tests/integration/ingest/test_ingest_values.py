"""What a voxel is, file by file: beside SimpleITK on real images, and by the formulas where it has none."""

import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGExtended12Bit

from ingest.adapters.encoding import decode_frames, encode, stored_syntax
from ingest.adapters.extraction import header_of
from ingest.adapters.parsing import parse
from ingest.domain.intensities import rescaled
from tests.dicom_peers import needs_dcmtk

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("RADLOOP_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no data at hand (RADLOOP_DATA)")


def ours(data: bytes) -> np.ndarray:
    """Return the values of a file's frames as a case would hold them, shape ``(K, J, I)``."""
    parsed = parse(data)
    stored, header = encode(parsed, header_of(parsed, stored_syntax(parsed.transfer_syntax_uid)), "2.25.1")
    return rescaled(np.stack(decode_frames(stored, header)), header.planes)


def files() -> Iterator[tuple[str, bytes]]:
    """Yield every file of the data at hand whose frames all have one rescaling, which is all SimpleITK reads."""
    for pattern in ("dicom_codecs/same_pixels/*.dcm", "dicom_seg/ct-3slice/*.dcm", "dicom_enhanced/[Sa]*/*/*.*"):
        for file in sorted(DATA.glob(pattern)):
            yield str(file.relative_to(DATA)), file.read_bytes()
    for archive in sorted(DATA.glob("sunnybrook_cine/*.zip")):
        with zipfile.ZipFile(archive) as members:
            for name in sorted(members.namelist())[::20]:
                if name.endswith(".dcm"):
                    yield f"{archive.name}/{name}", members.read(name)


@needs_data
def test_every_file_has_the_values_that_simpleitk_reads(tmp_path):
    seen = 0
    for name, data in files():
        copy = tmp_path / "one.dcm"
        copy.write_bytes(data)
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(copy))
        assert np.array_equal(ours(data), theirs), name
        seen += 1
    assert seen > 40


@needs_data
@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
def test_high_throughput_jpeg_2000(syntax):
    ds = pydicom.dcmread(DATA / "dicom_seg" / "ct-3slice" / "03.dcm")
    expected = ours((DATA / "dicom_seg" / "ct-3slice" / "03.dcm").read_bytes())
    ds.PixelData = encapsulate([imagecodecs.htj2k_encode(ds.pixel_array, reversible=True)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)
    assert np.array_equal(ours(written.getvalue()), expected)


@needs_dcmtk
def test_jpeg_extended_of_12_bits_beside_dcmtk(tmp_path, slice_of, file_of):
    rows, columns = np.mgrid[0:128, 0:96]
    noise = np.random.default_rng(12).normal(0, 40, rows.shape)
    values = np.clip(2048 + 1500 * np.sin(rows / 17) * np.cos(columns / 23) + noise, 0, 4095).astype("<u2")
    ds = slice_of(Rows=128, Columns=96, BitsStored=12, HighBit=11, PixelData=values.tobytes())
    plain, packed, unpacked = (tmp_path / name for name in ("plain.dcm", "packed.dcm", "unpacked.dcm"))
    plain.write_bytes(file_of(ds))
    subprocess.run(["dcmcjpeg", "+ee", "+q", "95", plain, packed], check=True)
    subprocess.run(["dcmdjpeg", packed, unpacked], check=True)
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == JPEGExtended12Bit
    mine = ours(packed.read_bytes())[0]
    theirs = pydicom.dcmread(unpacked).pixel_array.astype(int)
    assert np.abs(mine - theirs).max() <= 1
    # It is the image, which dcmcjpeg moved to begin at 0, and not two decoders that agree on another.
    assert np.abs(mine - (values.astype(int) - values.min())).mean() < 10
