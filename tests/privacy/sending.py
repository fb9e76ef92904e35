"""Everything that may come to the doors of `ingest`: by C-STORE, as files, folders and archives, whole and broken."""

import contextlib
import io
import socket
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, MRImageStorage
from pynetdicom import AE
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationVersionNameNotification,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelFind

from standalone.association import associate
from standalone.layout import Platform
from tests.privacy.canaries import Canaries
from tests.privacy.studies import StudyMaker, file_of


class Sender:
    """Sends to one platform.

    Parameters
    ----------
    platform
        Where to.
    canaries
        For AE titles, user names and what else an association says.
    """

    def __init__(self, platform: Platform, canaries: Canaries) -> None:
        self._address = (platform.dicom_host, platform.dicom_port)
        self._canaries = canaries

    def store(self, name: str, instances: Sequence[Dataset], called: str = "", *, abort: bool = False) -> list[int]:
        """Send over one association whose every field holds a canary; return the status of each instance.

        ``called`` is the title to call where not a canary; ``abort`` breaks off instead of releasing.
        """
        make = self._canaries
        ae = AE(ae_title=make.text(f"{name}, calling AE title"))
        for sop_class, syntax in {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in instances}:
            ae.add_requested_context(sop_class, syntax)
        association = associate(
            ae,
            *self._address,
            ae_title=called or make.text(f"{name}, called AE title"),
            ext_neg=self._negotiation(name),
        )
        assert association.is_established
        aet = make.text(f"{name}, move originator")
        sent = [association.send_c_store(ds, originator_aet=aet, originator_id=7) for ds in instances]
        association.abort() if abort else association.release()
        return [int(answer.Status) for answer in sent if "Status" in answer]

    def _negotiation(self, name: str) -> list[object]:
        user = UserIdentityNegotiation()
        user.user_identity_type = 2
        user.primary_field = self._canaries.text(f"{name}, user name").encode()
        user.secondary_field = self._canaries.text(f"{name}, passcode").encode()
        extended = SOPClassExtendedNegotiation()
        extended.sop_class_uid = MRImageStorage
        extended.service_class_application_information = self._canaries.text(f"{name}, extended negotiation").encode()
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 1
        return [user, extended, window]

    def refused_associations(self) -> None:
        """Ask for what is not offered, and send what is no association at all."""
        make = self._canaries
        ae = AE(ae_title=make.text("refused association, calling AE title"))
        ae.add_requested_context(make.uid("refused association, SOP class"), ExplicitVRLittleEndian)
        ae.add_requested_context(MRImageStorage, make.uid("refused association, transfer syntax"))
        ae.add_requested_context(PatientRootQueryRetrieveInformationModelFind)
        version = ImplementationVersionNameNotification()
        version.implementation_version_name = make.text("refused association, implementation version")
        association = associate(ae, *self._address, ae_title=make.text("refused association, called"), ext_neg=[])
        if association.is_established:
            association.release()
        request = self._associate_request()
        for garbage in (
            f"GET /{make.text('HTTP on the DICOM port')} HTTP/1.1\r\nHost: {make.text('Host on the DICOM port')}\r\n\r\n".encode(),
            b"\x04\x00" + struct.pack(">I", 40) + make.text("P-DATA before an association").encode() * 4,
            b"\x99\x00" + struct.pack(">I", 22) + make.text("unknown PDU").encode() * 2,
            request[:60],
            request[:74] + b"\xff" * 8 + request[82:],
            request + self._p_data(make.text("P-DATA, broken fragment").encode()),
            request + self._p_data(self._command()),
            request + self._p_data(self._command()[:-9] + b"\xff" * 9),
        ):
            self._raw(garbage)

    def _raw(self, data: bytes) -> None:
        with socket.create_connection(self._address, timeout=10) as connection, contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while connection.recv(4096):
                pass

    def _associate_request(self) -> bytes:
        """Encode an A-ASSOCIATE-RQ (PS3.8 section 9.3.2) whose titles and names are canaries."""

        def item(kind: int, value: bytes) -> bytes:
            return struct.pack(">BBH", kind, 0, len(value)) + value

        def title(name: str) -> bytes:
            return self._canaries.text(f"raw association, {name} AE title").encode().ljust(16)

        context = struct.pack(">BBBB", 1, 0, 0, 0) + item(0x30, MRImageStorage.encode())
        context += item(0x40, ExplicitVRLittleEndian.encode())
        user = item(0x51, struct.pack(">I", 16384)) + item(0x52, self._canaries.uid("raw association").encode())
        user += item(0x55, self._canaries.text("raw association, version").encode())
        body = struct.pack(">HH", 1, 0) + title("called") + title("calling") + bytes(32)
        body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
        return struct.pack(">BBI", 1, 0, len(body)) + body

    def _command(self) -> bytes:
        """Encode a C-STORE-RQ (PS3.7 section 9.3.1) without its data set: the sender goes away in the middle."""
        instance = self._canaries.uid("raw C-STORE, affected SOP instance").encode()
        instance += b"\0" * (len(instance) % 2)
        mover = self._canaries.text("raw C-STORE, move originator").encode().ljust(16)
        elements = [(0x0002, MRImageStorage.encode() + b"\0"), (0x0100, b"\x01\x00"), (0x0110, b"\x01\x00")]
        elements += [(0x0700, b"\x00\x00"), (0x0800, b"\x00\x00"), (0x1000, instance), (0x1030, mover)]
        encoded = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
        return b"\x03" + struct.pack("<HHII", 0, 0, 4, len(encoded)) + encoded

    @staticmethod
    def _p_data(fragment: bytes) -> bytes:
        value = b"\x01" + fragment
        item = struct.pack(">I", len(value)) + value
        return struct.pack(">BBI", 4, 0, len(item)) + item


def broken_files(maker: StudyMaker, canaries: Canaries) -> dict[str, bytes]:
    """Return files that are refused or held, each for another reason, by what is wrong."""

    def one(name: str, **changes: object) -> Dataset:
        return maker.instance(f"broken: {name}", **changes)

    def with_syntax(name: str, syntax: str, pixels: bytes | None = None) -> bytes:
        ds = one(name)
        good = file_of(ds)
        if pixels is not None:
            ds.PixelData = pixels
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
            ds.file_meta.TransferSyntaxUID = UID(syntax)
            return file_of(ds)
        return good.replace(ExplicitVRLittleEndian.encode(), syntax.encode()[:19].ljust(19, b"\0"))

    full = file_of(maker.study("broken: every attribute")[0])
    text = canaries.text
    fragments = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
    codestream = text("broken: codestream").encode() * 4
    fragments += b"\xfe\xff\x00\xe0" + struct.pack("<I", len(codestream)) + codestream
    sequence = full.replace(b"\xfe\xff\x00\xe0", b"\xfe\xff\x01\xe0", 1)
    deflated = zlib.compressobj(wbits=-15)
    packed = deflated.compress(text("broken: deflated").encode() * 9) + deflated.flush()
    no_pixels = one("no pixel data")
    del no_pixels.PixelData
    nameless = one("no UIDs")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        delattr(nameless, keyword)
    return {
        "no DICOM": text("broken: text file").encode() * 40,
        "DICOM by its prefix only": bytes(128) + b"DICM" + text("broken: after the prefix").encode() * 20,
        "truncated": full[: len(full) * 2 // 3],
        "cut in the identity": full[:900],
        "damaged sequence": sequence,
        "wrong VR": full.replace(b"LO", b"OB", 1),
        "wrong sequence": full.replace(b"LO", b"SQ", 1),
        "unknown transfer syntax": with_syntax("unknown transfer syntax", canaries.uid("broken: transfer syntax")),
        "JPEG that is none": with_syntax("JPEG", JPEGBaseline8Bit, fragments),
        "JPEG 2000 that is none": with_syntax("JPEG 2000", JPEG2000, fragments),
        "deflated": file_of(one("deflated"))[:400] + packed,
        "no pixel data": file_of(no_pixels),
        "no UIDs": file_of(nameless),
        "burned in": file_of(one("burned in", BurnedInAnnotation="YES")),
        "ultrasound": file_of(one("ultrasound", Modality="US")),
        "image type": file_of(one("image type", ImageType=["SCREEN SAVE", text("broken: image type")])),
        "rows that are none": file_of(one("rows", Rows=0)),
        "fewer pixels than said": file_of(one("fewer pixels", Rows=200)),
        "other modality": file_of(one("other modality", Modality=text("broken: modality"))),
        "photometric": file_of(one("photometric", PhotometricInterpretation=text("broken: photometric"))),
        "frame count": file_of(one("frame count", NumberOfFrames=3)),
    }


def as_folder(folder: Path, files: Sequence[bytes], canaries: Canaries) -> Path:
    """Write files into a folder whose name and whose files' names are canaries; one of them is an archive."""
    inside = folder / canaries.text("folder name") / canaries.text("folder name, one deeper")
    inside.mkdir(parents=True)
    for data in files[1:]:
        (inside / f"{canaries.text('file name in a folder')}.dcm").write_bytes(data)
    (inside / f"{canaries.text('archive name in a folder')}.zip").write_bytes(as_zip(files[:1], canaries))
    return inside.parent


def as_zip(files: Sequence[bytes], canaries: Canaries) -> bytes:
    """Return an archive whose entries, comment and entries' comments are canaries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for data in files:
            entry = zipfile.ZipInfo(f"{canaries.text('zip folder')}/{canaries.text('zip entry')}.dcm")
            entry.compress_type, entry.comment = zipfile.ZIP_DEFLATED, canaries.text("zip entry comment").encode()
            archive.writestr(entry, data)
        archive.comment = canaries.text("zip comment").encode()
    return buffer.getvalue()


def broken_zips(canaries: Canaries) -> list[bytes]:
    """Return archives that cannot be read: damaged, encrypted by their flag, cut, of an unknown method."""
    whole = as_zip([canaries.text("in a broken zip").encode() * 30], canaries)
    damaged, locked, unknown = bytearray(whole), bytearray(whole), bytearray(whole)
    damaged[60] ^= 0xFF
    directory = whole.index(b"PK\x01\x02")
    locked[6] |= 1
    locked[directory + 8] |= 1
    unknown[8] = unknown[directory + 10] = 97
    return [bytes(damaged), bytes(locked), bytes(unknown), whole[: len(whole) // 2]]
