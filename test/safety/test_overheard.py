"""What is in force in realtime, told from what is heard on the actuators' topic."""

from __future__ import annotations

import math

from wm_eval_ros.records import EventKind
from wm_eval_ros.safety.overheard import ON_ITS_WAY_NS, Overheard, OWN_AGAIN_NS

SLOT_NS = 50_000_000
ONE, TWO, OTHER = (1.0,), (2.0,), (-3.0,)


def test_a_proposal_that_comes_out_of_the_gate_is_in_force_and_the_planners() -> None:
    own = Overheard()
    assert own.at(0) == ()
    own.proposed(ONE, 1)
    own.heard(ONE, 2)
    assert own.at(SLOT_NS) == ONE
    assert not own.foreign()


def test_the_command_of_somebody_else_is_in_force_until_the_planners_is_heard_again() -> None:
    own = Overheard()
    own.proposed(ONE, 1)
    own.heard(ONE, 2)
    own.told(EventKind.FALLBACK_ON)
    own.heard(OTHER, 3)
    own.proposed(TWO, SLOT_NS - 1)
    # neither though it was just made: the last one heard was not the planner's
    assert own.at(SLOT_NS) == OTHER
    assert own.foreign()
    own.told(EventKind.FALLBACK_OFF)
    own.heard(TWO, SLOT_NS + 1)
    assert own.at(2 * SLOT_NS) == TWO
    # up to the slot after the return somebody else drove for a while
    assert own.foreign()
    assert not own.foreign()


def test_a_proposal_just_made_is_taken_for_passed_on_and_one_that_never_came_for_refused() -> None:
    own = Overheard()
    own.proposed(ONE, 0)
    own.heard(ONE, 1)
    own.proposed(TWO, SLOT_NS)
    assert own.at(SLOT_NS + ON_ITS_WAY_NS) == TWO
    assert not own.foreign()
    assert own.at(SLOT_NS + ON_ITS_WAY_NS + 1) == ONE
    assert own.foreign()
    assert not own.foreign()


def test_a_proposal_that_is_heard_while_the_next_is_on_its_way_is_the_planners() -> None:
    own = Overheard()
    own.proposed(ONE, 0)
    own.proposed(TWO, 10)
    own.heard(ONE, 11)
    assert own.at(12) == TWO


def test_where_nothing_is_heard_the_planners_own_counts_as_executed() -> None:
    own = Overheard(passes=False)
    own.proposed(ONE, 0)
    assert own.at(SLOT_NS) == ONE
    assert not own.foreign()


def test_in_shadow_mode_what_drives_the_robot_is_in_force_and_no_proposal_is_refused() -> None:
    own = Overheard(passes=False)
    own.heard(OTHER, 1)
    own.proposed(ONE, 2)
    assert own.at(3) == OTHER
    assert own.at(SLOT_NS) == OTHER
    assert not own.foreign()


def test_what_is_no_number_is_not_in_force() -> None:
    own = Overheard()
    own.heard(OTHER, 1)
    own.heard((math.nan,), 2)
    assert own.at(3) == OTHER


def test_an_episode_begins_with_nothing_in_force_but_who_commands_is_not_forgotten() -> None:
    own = Overheard()
    own.heard(OTHER, 1)
    own.told(EventKind.STOPPED_ON)
    own.begin()
    assert own.at(2) == ()
    assert own.foreign()
    assert own.foreign()


def test_a_fallback_whose_end_is_never_told_is_over_once_only_the_planner_was_heard() -> None:
    own = Overheard()
    own.told(EventKind.FALLBACK_ON)
    own.heard(OTHER, 0)
    found = []
    slots = OWN_AGAIN_NS // SLOT_NS
    for slot in range(slots + 4):
        own.at(slot * SLOT_NS)
        found.append(own.foreign())
        own.proposed((float(slot),), slot * SLOT_NS + 1)
        own.heard((float(slot),), slot * SLOT_NS + 2)
    # the slot up to which it was waited for is the last one
    assert found == [True] * (slots + 2) + [False, False]


def test_a_command_of_the_fallback_in_between_begins_the_wait_anew() -> None:
    own = Overheard()
    own.told(EventKind.FALLBACK_ON)
    for time_ns, action in ((0, ONE), (OWN_AGAIN_NS - 1, OTHER), (OWN_AGAIN_NS, ONE)):
        own.proposed(ONE, time_ns)
        own.heard(action, time_ns)
        own.foreign()
    assert own.foreign()
    own.heard(ONE, 2 * OWN_AGAIN_NS)
    assert own.foreign()
    assert not own.foreign()


def test_a_fallback_told_anew_is_waited_for_whoever_was_heard_before() -> None:
    own = Overheard()
    own.proposed(ONE, 0)
    own.heard(ONE, 0)
    own.told(EventKind.FALLBACK_ON)
    own.heard(ONE, OWN_AGAIN_NS)
    own.foreign()
    assert own.foreign()


def test_a_refused_proposal_made_while_the_one_before_is_being_heard_is_refused() -> None:
    own = Overheard()
    meanwhile: list[tuple[float, ...]] = []

    class Amid(tuple[float, ...]):
        """Is compared while the planning thread proposes the next one."""

        __hash__ = tuple.__hash__

        def __eq__(self, other: object) -> bool:
            if not meanwhile:
                meanwhile.append(TWO)
                own.proposed(TWO, SLOT_NS)
            return tuple.__eq__(self, other)

    own.proposed(ONE, 0)
    own.heard(Amid(ONE), 1)
    assert meanwhile
    assert own.at(SLOT_NS + ON_ITS_WAY_NS + 1) == ONE
    assert own.foreign()
