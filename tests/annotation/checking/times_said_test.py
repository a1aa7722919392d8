"""Times in a text."""

import pytest

from tests.annotation.checking import cases

# check -> (row, what must pass, what must not)
_CASES = {
  "times": (
    cases.EVENTS,
    """The dog is there from second 0 to second 4.|A dog runs from 0 to 4 seconds.
    Speech goes from 2 to 9 s.|Speech is on between 3 and 9 seconds.
    At second 10 it ends.|At 5 seconds it changes.|It lasts 30 seconds in real life.
    From 1 to 5 the dog is seen.|2 people talk.|In the 9th second it stops.
    The dog leaves at 4 s.|Speech from 2 to 8 seconds.|From 0.5 to 4.5 seconds a dog.
    One of 3 dogs barks.|Seconds 0-4 show it.|A wind blows from 5 to 7 seconds.
    It has 20 bars.|By 8 seconds all is over.|A dog, from second 0 until 4.
    The count goes from 1 to 9.""",
    """At second 15 it ends.|At 12 seconds a noise.|In the 20th second.
    The dog is there from second 5 to second 9.|A dog runs from 6 to 8 seconds.
    Speech goes from 5 to 6 s.|Speech is on between 0 and 3 seconds.
    From 8 to 14 seconds.|It goes on from 0 to 20 s.|Until 30 seconds it goes on.
    The dog is seen 4-9 seconds.|Speech: seconds 0-2.|By 44 s it is over.
    After 13 s there is rest.|Between second 9 and second 19.
    A dog from 2 to 9 seconds.|Speech from second 0 to second 9.
    The dog barks between 3 and 6 s.|From second 12 to 13.|Around 25 seconds.""",
  ),
}  # fmt: skip


@pytest.mark.parametrize("code", _CASES)
def test_twenty_pass_and_twenty_do_not(code):
  cases.require(code, *_CASES[code])
