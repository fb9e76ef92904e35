"""C-STORE requests in every way the standard lets a sender cut them up (PS3.8 section 9.3.5, Annex E), and in some it does not."""

import io
import struct

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification

from radloop.testing.databases import ONE_ENGINE
from standalone.association import associate

pytestmark = [pytest.mark.integration, ONE_ENGINE]

COMMAND, LAST = 1, 2


@pytest.fixture
def association(site):
    ae = AE()
    ae.add_requested_context(Verification)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    ae.dimse_timeout = ae.network_timeout = 10
    opened = associate(ae, "127.0.0.1", site.port)
    yield opened
    opened.abort()


def context_of(association) -> int:
    return next(each.context_id for each in association.accepted_contexts if each.abstract_syntax == MRImageStorage)


def command_and_data(ds: Dataset, message_id: int = 1) -> tuple[bytes, bytes]:
    """Return a request's command set and data set, encoded."""
    request = C_STORE()
    request.MessageID, request.Priority = message_id, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    request.DataSet = io.BytesIO(encode(ds, False, True))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    [first, *_] = message.encode_msg(1, 0)
    return first.presentation_data_value_list[0][1][1:], request.DataSet.getvalue()


def pdv(context_id: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment


def pdu(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BxL", 4, len(body)) + body


def pieces(context_id: int, kind: int, data: bytes, size: int) -> list[bytes]:
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    return [pdv(context_id, kind | (LAST if part is parts[-1] else 0), part) for part in parts]


def send(association, data: bytes) -> None:
    association.dul.socket.socket.sendall(data)


def answers(association, count: int) -> list[tuple[int, int]]:
    """Wait for responses; return message id and status of each."""
    found = [association.dimse.get_msg(block=True)[1] for _ in range(count)]
    return [(each.MessageIDBeingRespondedTo, each.Status) for each in found]


def test_a_fragment_in_each_pdu(site, association, slice_of):
    context, (command, data) = context_of(association), command_and_data(slice_of(0))
    association._reactor_checkpoint.clear()  # ours to hear the answers
    for piece in [*pieces(context, COMMAND, command, 50), *pieces(context, 0, data, 33)]:
        send(association, pdu(piece))
    assert answers(association, 1) == [(1, 0x0000)]
    assert site.status["instances"] == 1


def test_everything_in_one_pdu(site, association, slice_of):
    context = context_of(association)
    association._reactor_checkpoint.clear()
    every = []
    for number in range(3):
        command, data = command_and_data(slice_of(number), number + 7)
        every += [pdv(context, COMMAND | LAST, command), *pieces(context, 0, data, 100)]
    send(association, pdu(*every))
    assert answers(association, 3) == [(7, 0x0000), (8, 0x0000), (9, 0x0000)]
    assert site.status["instances"] == 3


def test_bytes_that_trickle(site, association, slice_of):
    context, (command, data) = context_of(association), command_and_data(slice_of(0))
    association._reactor_checkpoint.clear()
    whole = pdu(pdv(context, COMMAND | LAST, command)) + pdu(pdv(context, LAST, data))
    for place in range(0, len(whole), 5):
        send(association, whole[place : place + 5])
    assert answers(association, 1) == [(1, 0x0000)]


def test_an_echo_between(site, association, slice_of):
    context, (command, data) = context_of(association), command_and_data(slice_of(0))
    for _ in range(2):
        assert association.send_c_store(slice_of(0)).Status == 0x0000
        assert association.send_c_echo().Status == 0x0000
    association._reactor_checkpoint.clear()
    send(association, pdu(pdv(context, COMMAND | LAST, command), pdv(context, LAST, data)))
    assert answers(association, 1) == [(1, 0x0000)]


def test_a_request_without_a_data_set(site, association, slice_of):
    context, (command, _) = context_of(association), command_and_data(slice_of(0))
    place = command.index(struct.pack("<HHL", 0, 0x0800, 2)) + 8
    association._reactor_checkpoint.clear()
    send(association, pdu(pdv(context, COMMAND | LAST, command[:place] + b"\x01\x01" + command[place + 2 :])))
    [(message_id, status)] = answers(association, 1)
    assert message_id == 1 and status >> 12 == 0xC


WRONG = {
    "data before a command": lambda context, command, data: pdu(pdv(context, LAST, data)),
    "data of another context": lambda context, command, data: pdu(
        pdv(context, COMMAND | LAST, command), pdv(context + 2, LAST, data)
    ),
    "a context nobody agreed on": lambda context, command, data: pdu(
        pdv(99, COMMAND | LAST, command), pdv(99, LAST, data)
    ),
    "a command in the middle of the data": lambda context, command, data: pdu(
        pdv(context, COMMAND | LAST, command), pdv(context, 0, data[:50]), pdv(context, COMMAND | LAST, command)
    ),
    "a fragment longer than its PDU": lambda context, command, data: (
        struct.pack(">BxL", 4, 20) + struct.pack(">LBB", 4000, context, LAST) + data
    ),
    "a command set that is cut": lambda context, command, data: pdu(pdv(context, COMMAND | LAST, command[:-3])),
    "a PDU with nothing in it": lambda context, command, data: pdu() + bytes(20),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_message_ends_the_association(site, association, wrong, slice_of, send_to):
    send(association, WRONG[wrong](context_of(association), *command_and_data(slice_of(0))))
    site.until(lambda: association.is_aborted or association.is_released)
    assert site.status["instances"] == 0
    assert [answer.Status for answer in send_to(site.port, [slice_of(1)])] == [0x0000]
