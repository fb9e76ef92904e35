"""How the demo shows its progress."""

import io

import pytest
from rich.console import Console

from standalone.demo.progress import Board, Step, remaining_s, spoken
from standalone.demo.script import plan_of
from standalone.demo.state import Choices


def test_the_rest_is_what_was_expected_at_the_pace_so_far() -> None:
    steps = [Step("a", 10, took_s=20, began=0), Step("b", 30), Step("c", 5)]
    assert remaining_s(steps, 20) == pytest.approx(70)


def test_the_step_at_hand_is_estimated_from_how_far_it_is() -> None:
    steps = [Step("a", 10, began=0, fraction=0.25), Step("b", 30)]
    assert remaining_s(steps, 30) == pytest.approx(90 + 30)


def test_steps_that_were_done_before_say_nothing_about_the_pace() -> None:
    steps = [Step("a", 100, took_s=0.1, began=0), Step("b", 30)]
    assert remaining_s(steps, 1) == pytest.approx(30)


def test_times_are_written_as_people_say_them() -> None:
    assert [spoken(5.4), spoken(80), spoken(150)] == ["5 s", "80 s", "2.5 min"]


def test_in_a_pipe_each_step_is_a_line_when_it_begins_and_ends() -> None:
    now = 0.0
    out = io.StringIO()
    with Board([Step("a", 10), Step("b", 10)], Console(file=out, width=120), clock=lambda: now) as board:
        board.begin("a")
        now = 4.0
        board.say(1, 2, "one of two")
        now = 12.0
        board.say(2, 2, "two of two")
        board.begin("b")
        now = 14.0
        board.end()
    lines = out.getvalue().splitlines()
    assert lines[0] == "[    0 s] a: begins"
    assert lines[1].startswith("[   12 s] a: two of two; about ")
    assert lines[2] == "[   12 s] a: done in 12 s: two of two"
    assert lines[4] == "[   14 s] b: done in 2 s"


def test_on_a_terminal_the_steps_are_a_table() -> None:
    out = io.StringIO()
    with Board([Step("a", 10), Step("b", 10)], Console(file=out, force_terminal=True, width=120)) as board:
        board.begin("a")
        board.say(1, 2, "one of two")
        board.begin("b")
    assert "left" in out.getvalue()
    assert "one of two" in out.getvalue()


def test_the_default_demo_is_planned_within_ten_minutes() -> None:
    choices = Choices(
        seed=1,
        rounds=3,
        batch=8,
        start=8,
        pool=60,
        test=30,
        validation=12,
        initial_steps=0,
        update_steps=0,
        error_share=0.15,
        cohort="auto",
    )
    assert sum(step.expected_s for step in plan_of(choices, 36 * 168)) < 600
