"""What a text says: marks, tells, inventions, length."""

import pytest

from tests.annotation.checking import cases

# check -> (row, what must pass, what must not)
_CASES = {
  "marks": (
    cases.ACTION,
    """Two hands move.|The man (on a chair) plays.|It takes 3 seconds.
    At first, 2 of 5 people clap.|A 4-beat bar is heard.|The notes rise & fall.
    She says nothing; he nods.|It is 5 o'clock.|Loud - then quiet.|He plays 1, 2 or 3 keys.
    The price is $5.|A sign says 50%.|Left/right hands alternate.|"Yes" is heard.
    The tone is at 440 Hz.|The clip has a 4:3 frame.|Cats & dogs.|It lasts (about) 3 s.
    Notes: high ones.|He counts to 3.""",
    """<answer>x</answer>|The box [1,2,3,4].|At [10, 20].|(3 7) is the time.|{"a": 1}
    **Loud** notes.|`piano`|It is </s> over.|<event>dog|- one\n- two|# Title
    1. first|[0.5, 0.6] is it.|<|im_end|>|(1,2,3,4)|"seen": this|\\boxed{x}
    __bold__|```x```|{3 4}""",
  ),
  "told": (
    cases.ACTION,
    """The piano is seen.|A record label is on the disc.|Sound is provided by a piano.
    The keys are pressed in order.|A class of children listens.|He answers a phone.
    The event begins early.|The fact is plain.|The music is given room.
    He indicates the keys.|She mentions nothing.|The ground is wet.|Truth be heard.
    The data cable hangs down.|It is a given rhythm.|A caption is on the wall.
    The notes are the right ones.|A teacher instructs a child by hand.
    He is known for it.|The target is hit by a ball.""",
    """The label is piano.|It is labelled as piano.|The annotation says so.
    Per the ground truth.|The ground-truth is piano.|The given answer fits.
    As stated, it is piano.|As given above.|The provided answer is right.
    The correct answer is piano.|According to the label.|I was told it is piano.
    We are given this.|The expected answer is clear.|The reference answer says so.
    The prompt asks for it.|The instructions say so.|It is classified as music.
    The metadata tell it.|The dataset has it as piano.|The specified event occurs.""",
  ),
  "length": (
    cases.ACTION,
    "|".join("word " * n for n in range(12, 121, 5))
    + "|" + "word " * 120 + "|" + "word " * 13,
    "|".join("word " * n for n in range(1, 12))
    + "|" + "|".join("word " * n for n in range(121, 400, 25)),
  ),
  "no_reasoning": (
    cases.ACTION,
    "|".join(
      f"Two hands move over {thing}. So it is playing piano."
      for thing in ["keys", "wood", "rows", "notes", "bars", "ivory", "strings", "cases", "stands", "tops"]
    )
    + "|"
    + "|".join(
      f"Bright {thing} are heard. Hands press keys. This is playing piano."
      for thing in ["notes", "tones", "chords", "runs", "bars", "trills", "sounds", "steps", "rows", "beats"]
    ),
    "|".join(
      f"{who} is playing piano. The notes are bright."
      for who in ["He", "She", "It", "One", "Somebody", "A-man", "A-girl", "A-boy", "Nobody-else", "Who"]
    )
    + "|"
    + "|".join(
      f"This is {how} playing piano in a {where}. Notes are heard."
      for how in ("clearly", "loud")
      for where in ["room", "hall", "house", "church", "school"]
    ),
  ),
  "invented": (
    cases.EMOTION,
    """The man shouts "get out of my house".|He says "Get out".|The voice is loud.
    She cries out.|A man points to the door.|The brows are drawn.|The mouth is open.
    "Out of my house!" is heard.|He looks tired.|In front of a house.|The room is dark.
    A black coat hangs there.|The wall is white.|They move fast.|He leans forward.
    The tone is harsh.|Two people stand there.|A door is open.|On Monday, it seems.
    The light is blue.""",
    """He says "I hate you".|She shouts "never again".|“Go away” is heard.
    The actor Tom Hanks shouts.|A man named Peter shouts.|Mr. Smith is angry.
    Dr Brown points.|An Asian man shouts.|The Muslim woman cries.|He is pregnant with rage.
    She suffers from a disease.|The Christian man prays.|A disabled man shouts.
    The woman called Anna shouts.|Here Monica is angry.|The black man shouts.
    He is mentally ill.|An autistic boy cries.|President Lincoln speaks.
    A jewish family eats.""",
  ),
}  # fmt: skip


@pytest.mark.parametrize("code", _CASES)
def test_twenty_pass_and_twenty_do_not(code):
  tail = "" if code in ("length", "no_reasoning") else cases.TAIL
  cases.require(code, *_CASES[code], tail)
