"""What labeling says of its API, asked back by a machine: no request of the described kinds ends in a server error."""

import contextlib
import random
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from radloop.auth import Role

pytestmark = pytest.mark.integration

EXAMPLES = 20
"""Requests for each endpoint."""


@pytest.fixture
def known(site, ada) -> dict[str, list[Any]]:
    """Ids that exist, by the name of the parameter: made-up ones alone would never come past the first look."""
    site.ready("c1", "c2", "c3")
    label = ada.submit(ada.next()).json()["label_version_id"]
    task = ada.next()
    tasks = site.person("eve", Role.REVIEWER).ask("GET", "/v1/tasks", params={"project_id": "p"}).json()["tasks"]
    return {
        "task_id": [task["task_id"]] * 3 + [each["task_id"] for each in tasks],
        "case_id": ["c1", "c2", "c3"],
        "label_version_id": [label],
        "project_id": ["p"],
        "lease_id": [task["lease"]["lease_id"]],
        "after_sequence": [0],
    }


def with_known(values: Any, known: dict[str, list[Any]], choose: random.Random) -> Any:
    """Put an id that exists in place of a made-up one, more often than not."""
    if not isinstance(values, dict):
        return values
    return {
        name: choose.choice(known[name]) if name in known and choose.random() < 0.8 else value
        for name, value in values.items()
    }


def asking(
    operation: Any, mode: GenerationMode, known: dict[str, list[Any]], headers: dict[str, str], statuses: set[int]
) -> Any:
    """Return what asks an endpoint `EXAMPLES` times, as described or otherwise than described, and notes the statuses."""
    choose = random.Random(5)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.path_parameters = with_known(case.path_parameters, known, choose)
        case.query = with_known(case.query, known, choose)
        case.body = with_known(case.body, known, choose)
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        assert response.status_code < 500, (response.status_code, response.text, case.as_curl_command())

    return ask


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # it takes fewer values than SQLite
@pytest.mark.timeout(600)
def test_no_request_is_a_server_error(site, known) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.service.http)
    # Ada holds a lease, so that what needs one is tried with one; every role, so that nothing ends at the door.
    headers = site.headers("ada", *Role, project="*")
    operations = [result.ok() for result in schema.get_all_operations()]
    # What gives the lease back comes last.
    operations.sort(key=lambda each: each.method == "delete" or each.path.endswith(("/skip", "/submit")))
    assert {operation.path for operation in operations} >= {"/v1/tasks/{task_id}", "/v1/me", "/v1/audit"}
    reached: dict[str, set[int]] = {}
    for operation in operations:
        statuses = reached.setdefault(operation.label, set())
        asking(operation, GenerationMode.POSITIVE, known, headers, statuses)()
        with contextlib.suppress(Unsatisfiable):  # nothing can be otherwise where nothing is asked for
            asking(operation, GenerationMode.NEGATIVE, known, headers, statuses)()
    # Most were more than refused: else nothing was tried.
    answered = [label for label, statuses in reached.items() if statuses & {200, 201, 204}]
    assert len(answered) > len(reached) / 2, reached
    assert {200, 201} & reached["POST /v1/tasks/{task_id}/draft"] and 422 in reached["POST /v1/tasks/next"], reached
