"""The pusher's slots, over a clock to set."""

from hypothesis import given
from hypothesis import strategies as st

from outbox.slots import MOST_AT_ONCE, SLOW_SECONDS, Room, Slots


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_push_that_waits_too_long_leaves_its_slot() -> None:
    clock = Clock()
    slots = Slots(1, clock)
    slots.begin("hangs", troubled=False)
    assert slots.room() == Room(0, 1, SLOW_SECONDS)
    clock.now += 0.75
    assert slots.room() == Room(0, 1, 0.25)
    clock.now += 0.25
    assert slots.room() == Room(1, 0, SLOW_SECONDS)


def test_a_push_hands_its_slot_over_and_one_that_has_left_its_slot_a_free_one() -> None:
    clock = Clock()
    slots = Slots(1, clock)
    slots.begin("first", troubled=False)
    assert slots.keep("first")
    slots.hand_over("first", to="second")
    assert slots.room().well == 0
    clock.now += SLOW_SECONDS
    assert slots.room().well == 1
    slots.begin("third", troubled=False)
    assert not slots.keep("second")
    slots.end("third")
    assert slots.keep("second")
    assert slots.room().well == 0
    slots.end("second")
    assert slots.idle


def test_of_several_that_have_left_their_slots_only_as_many_go_on_as_there_are_slots() -> None:
    clock = Clock()
    slots = Slots(1, clock)
    for push in range(3):
        slots.begin(push, troubled=False)
        clock.now += SLOW_SECONDS
        slots.room()
    assert [slots.keep(push) for push in range(3)] == [True, False, False]


def test_it_is_known_how_long_the_slowest_push_has_been_at_one_job() -> None:
    clock = Clock()
    slots = Slots(1, clock)
    assert slots.longest == 0
    slots.begin("hangs", troubled=False)
    slots.begin("gets on", troubled=True)
    clock.now += 100
    slots.progress("gets on")
    clock.now += 20
    assert slots.longest == 120
    slots.end("hangs")
    assert slots.longest == 20


def test_a_long_push_that_gets_its_answers_keeps_its_slot() -> None:
    clock = Clock()
    slots = Slots(1, clock)
    slots.begin("long", troubled=False)
    for _ in range(10):
        clock.now += 0.75
        slots.progress("long")
        assert slots.room().well == 0


def test_lanes_pushed_in_vain_take_nobodys_slot_and_begin_only_while_few_are_aside() -> None:
    slots = Slots(2, Clock())
    for number in range(2):
        slots.begin(number, troubled=True)
    assert slots.room() == Room(2, 0, SLOW_SECONDS)
    slots.end(0)
    assert slots.room() == Room(2, 1, SLOW_SECONDS)


@given(
    number=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from(["fill", "end", "progress", "wait"]), st.integers(0, 50)), max_size=40),
)
def test_there_are_never_more_pushes_than_threads_and_a_slot_held_is_held_by_what_moves(
    number: int, steps: list[tuple[str, int]]
) -> None:
    clock = Clock()
    slots, under_way, moved = Slots(number, clock), list[int](), dict[int, float]()
    names = iter(range(1_000_000))
    for step, which in steps:
        if step == "fill":
            room = slots.room()
            for troubled in [False] * room.well + [True] * room.troubled:
                name = next(names)
                slots.begin(name, troubled=troubled)
                under_way.append(name)
                moved[name] = clock.now
        elif step == "wait":
            clock.now += which / 20
        elif under_way:
            name = under_way[which % len(under_way)]
            if step == "end":
                slots.end(name)
                under_way.remove(name)
            else:
                slots.progress(name)
                moved[name] = clock.now
        room = slots.room()
        assert len(under_way) + room.well + room.troubled <= number * MOST_AT_ONCE == slots.most
        assert slots.idle == (not under_way)
        assert 0 < room.more_in <= SLOW_SECONDS
        moving = sum(clock.now - moved[name] < SLOW_SECONDS for name in under_way)
        if len(under_way) + number <= slots.most:
            assert room.well >= number - moving
