"""A platform in place of a real one, for commands that ask it."""

from typing import Any

import pytest


class Answers:
    """Gives prepared answers, by the last word of the path, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []

    def _answer(self, path: str) -> Any:
        answer = self.answers[path.rsplit("/", 1)[-1]]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path: str, **_: Any) -> Any:
        return self._answer(path)

    def post(self, path: str, body: Any = None, **arguments: Any) -> Any:
        self.asked.append((path, body, arguments))
        return self._answer(path)


@pytest.fixture
def answers() -> type[Answers]:
    return Answers
