"""The course of a session by itself: who stands where in the queue for a slot."""

import pytest

from maestro_actors.sessions.course import Course
from staging import SESSION, Stage, contract, team

WANTED = team(contract("c1"), contract("c2"), contract("c3"))


@pytest.fixture
def course(stage: Stage) -> Course:
    stage.create(WANTED)
    course = Course(stage.ports, SESSION, WANTED)
    course.queue("c1")
    course.queue("c2")
    return course


def test_a_task_that_has_begun_is_queued_ahead_of_those_that_have_not(course: Course) -> None:
    course.queue_first("c3")

    assert list(course.ready) == ["c3", "c1", "c2"]


def test_a_task_is_queued_once_however_often_it_asks(course: Course) -> None:
    course.queue_first("c3")
    course.queue_first("c3")
    course.queue_first("c2")

    assert list(course.ready) == ["c3", "c1", "c2"]


def test_a_task_that_asks_although_it_has_a_slot_gives_that_back(course: Course) -> None:
    course.in_flight.add("c3")

    course.queue_first("c3")

    assert course.slots_taken == 0


def test_a_task_that_is_taken_out_of_the_queue_gets_no_slot(course: Course) -> None:
    course.unqueue("c1")
    course.unqueue("c3")

    assert list(course.ready) == ["c2"]
    assert not course.entries["c1"].queued
