"""Who sits in the demo's reading room: three readers, one who adjudicates, one who decides what no rule decides."""

import threading

from radloop.auth import Role
from standalone.client import Client, issue_token
from standalone.demo.readers import Expert, Person, Reader, Tally
from standalone.demo.reviewer import Reviewer
from standalone.demo.state import PROJECT_ID, READERS, REVIEWER, SENIOR, Choices
from standalone.layout import Layout


def open_reading_room(
    url: str, layout: Layout, choices: Choices, expert: Expert, tally: Tally, stop: threading.Event
) -> list[Person]:
    """Start everybody, each with a token of their own; ``stop`` ends their work.

    Parameters
    ----------
    url, layout
        Address of the site's platform and its folder, whose secret signs the tokens.
    choices
        What the demo was started with.
    expert
        Gives the expert mask of a case.
    tally
        Told what was done.
    stop
        Set when they may go home.
    """

    def client_of(subject: str, role: Role) -> Client:
        return Client(url, issue_token(layout, subject, {PROJECT_ID: (role,)}))

    people: list[Person] = [
        Reader(
            subject,
            client_of(subject, role),
            PROJECT_ID,
            expert,
            seed=choices.seed,
            error_share=choices.error_share,
            tally=tally,
            stop=stop,
        )
        for subject, role in [*((reader, Role.READER) for reader in READERS), (REVIEWER, Role.REVIEWER)]
    ]
    people.append(Reviewer(SENIOR, client_of(SENIOR, Role.REVIEWER), PROJECT_ID, expert, tally=tally, stop=stop))
    for person in people:
        person.start()
    return people
