"""When work is looked for above the mark, and when everywhere."""

from outbox.low_water import PATIENCE, WHOLE_LOOK_SECONDS, LowWater


class Table:
    """Rows above and below the mark; a look at everything takes `seconds`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seconds = 0.0
        self.above: list[str] = []
        self.below: list[str] = []
        self.looks: list[str] = []
        self._low_water = LowWater(lambda: self.now)

    def look(self, *, thorough: bool = False) -> list[str]:
        """Look once; what was done is in `looks`."""
        return self._low_water.look(self._mark, self._everything, thorough=thorough)

    @property
    def whole_in(self) -> float:
        """Seconds until a look is one at everything."""
        return self._low_water.whole_in

    def _mark(self) -> list[str]:
        self.looks.append("mark")
        return list(self.above)

    def _everything(self) -> list[str]:
        self.looks.append("everything")
        self.now += self.seconds
        return self.below + self.above


def test_the_first_look_is_at_everything() -> None:
    table = Table()
    table.below = ["old"]
    assert table.look() == ["old"]
    assert table.looks == ["everything"]


def test_while_there_is_work_above_the_mark_nothing_else_is_looked_at_for_two_seconds() -> None:
    table = Table()
    table.look()
    table.above, table.below = ["new"], ["late"]
    assert [table.look() for _ in range(3)] == [["new"]] * 3
    assert table.looks == ["everything", "mark", "mark", "mark"]
    table.now += WHOLE_LOOK_SECONDS
    assert table.look() == ["late", "new"]


def test_where_nothing_is_above_the_mark_what_became_visible_below_is_found_at_once() -> None:
    table = Table()
    table.look()
    table.below = ["late"]
    assert table.look() == ["late"]
    assert table.looks == ["everything", "mark", "everything"]


def test_after_a_long_look_at_everything_the_next_one_waits_in_proportion() -> None:
    table = Table()
    table.seconds = 0.05
    table.look()
    table.below = ["late"]
    seen = []
    for _ in range(3):
        seen.append(table.look())
        table.now += table.seconds * PATIENCE / 2
    assert seen == [[], [], ["late"]]


def test_nothing_waits_longer_than_two_seconds_for_a_look_however_long_they_take() -> None:
    table = Table()
    table.seconds = 30.0
    table.look()
    table.below = ["late"]
    assert table.look() == []
    table.now += WHOLE_LOOK_SECONDS
    assert table.look() == ["late"]


def test_who_does_not_look_again_finds_what_is_below_the_mark_however_long_the_last_look_took() -> None:
    table = Table()
    table.seconds = 30.0
    table.look()
    table.below = ["late"]
    assert table.look(thorough=True) == ["late"]


def test_it_is_known_when_a_look_is_at_everything_again() -> None:
    table = Table()
    assert table.whole_in == 0
    table.look()
    assert table.whole_in == WHOLE_LOOK_SECONDS
    table.seconds = 0.05
    table.now += WHOLE_LOOK_SECONDS
    table.look()
    table.now += WHOLE_LOOK_SECONDS
    assert table.whole_in == 0
