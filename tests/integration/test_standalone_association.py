"""A requestor on a busy machine hears every answer."""

import time

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from standalone.association import associate
from standalone.supervisor.ports import HOST, free_ports


@pytest.fixture
def peer():
    """Port of an application entity that answers C-ECHO."""
    entity = AE()
    entity.add_supported_context(Verification)
    (port,) = free_ports(1)
    server = entity.start_server((HOST, port), block=False)
    yield port
    server.shutdown()


def test_an_answer_is_not_taken_by_the_thread_that_waits_for_requests(peer):
    entity = AE()
    entity.dimse_timeout = 2
    entity.add_requested_context(Verification)
    association = associate(entity, HOST, peer)
    passes = association._reactor_checkpoint.wait

    def pass_and_be_held_up() -> None:
        passes()
        # The kernel gives the core to somebody else, and back at the worst moment.
        until = time.monotonic() + 0.05
        while association.dimse.msg_queue.empty() and time.monotonic() < until:
            pass

    association._reactor_checkpoint.wait = pass_and_be_held_up
    answers = [association.send_c_echo() for _ in range(20)]
    association.release()
    assert [answer.get("Status") for answer in answers] == [0x0000] * 20
    assert association.is_released


def test_a_lost_peer_is_no_endless_wait(peer):
    entity = AE()
    entity.add_requested_context(Verification)
    association = associate(entity, HOST, peer)
    association.abort()
    association.join(10)
    association._reactor_checkpoint.clear()  # whom it holds has ended
    assert not association.is_established
