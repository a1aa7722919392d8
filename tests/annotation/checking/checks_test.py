"""Checks of a text: what must pass and what must not, twenty of each."""

import json

import numpy as np
import pytest

from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.annotation.teaching import replies
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

_TABLE = tasks.Tasks()
_TAIL = " The frames and the sound of the clip are in step with it over the whole time."


def _context(task, answer, *, name="", notes=None, vocabulary=(), **row):
  kind = _TABLE[task].kind
  truth = truths.Truth(answers.Answer(kind, **answer), name)
  item = items.Item("a", rows.Row("here", **row), task, truth, {}, None, 10.0)
  return findings.Context(
    item, _TABLE[task], frozenset(vocabulary), "en", notes
  )


_ACTION = _context("ks", {"label": "playing piano"},
                   vocabulary=("playing piano", "playing drums", "singing"))  # fmt: skip
_EVENTS = _context(
  "avvp",
  {
    "events": (
      intervals.Event("Dog", 0.0, 4.0, "visual"),
      intervals.Event("Speech", 2.0, 9.0, "audio"),
    )
  },
  vocabulary=("Dog", "Speech", "Car", "Church bell", "Violin"),
)
_LEFT = _context(
  "s4",
  {"box": (5, 150, 60, 220), "points": ((30, 190),) * 3},
  name="drum",
)
_EMOTION = _context(
  "meld", {"label": "anger"}, transcript="Get out of my house!"
)

# check -> (context, what must pass, what must not)
_CASES = {
  "marks": (
    _ACTION,
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
    _ACTION,
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
  "times": (
    _EVENTS,
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
  "other_class": (
    _EVENTS,
    """A dog runs.|There is speech.|Dogs bark.|No car is seen.|It is not a violin.
    There is neither car nor bell.|Without a church bell.|A cart rolls.|Cargo lies there.
    The dog barks, rather than a car.|Nothing like a car.|It isn't a car.
    The care is plain.|A scar is seen.|A bell alone.|Violet light.|Church folk.
    The car is never there, no car at all.|It lacks a violin.|A man speaks.""".replace(
      "The car is never there, no car at all.|", "There is no second car.|"
    ),
    """A car passes.|Cars pass.|A church bell rings.|Church bells ring.|A violin plays.
    There are violins.|It is loud; a car passes.|The CAR is red.|A Car, then.
    A church-bell is heard.|No dog, but a car comes.|The car stops.|Two cars.
    The car's horn.|Violin music.|A dog and a car.|He hears a violin.
    It ends. A car begins.|The driver leaves the car.|Behind it a church bell.""",
  ),
  "modality": (
    _EVENTS,
    """The dog is seen.|Speech is heard.|Speech is audible.|A dog appears in the frames.
    Speech is not seen.|Speech is heard while the dog is visible.|The dog runs.
    A dog is visible, and speech is heard.|Speech comes from off-screen.
    The speech is loud.|The dog is in view.|The dog cannot be heard.|There is speech.
    The dog is shown, then speech sounds.|Speech rings out.|Speech is unseen.
    The dog is inaudible.|Speech is in the audio.|We watch the dog.|The dog is there.""",
    """Speech is seen.|The speech is visible.|We see speech.|Speech appears in the frames.
    The dog is heard.|The dog is audible.|A dog can be heard.|The dog sounds near.
    The dog is loud.|Speech is shown.|One sees speech.|I hear a dog.
    Speech is in view.|The noise of the dog.|The dog rings out.|Speech is on screen.
    We listen to the dog.|The frames show speech.|The dog is in the audio.
    He watches the speech.""",
  ),
  "place": (
    _LEFT,
    """The drum is on the left.|It is at the bottom.|A man is on the right.
    The drum is in the lower left.|It stands in the left half.|The drum is not on the right.
    It is low and left.|The drum is in the lower part.|The right hand hits the drum.
    The drum is in the middle.|The man has left the drum.|A cup is at the top.
    It is on the left side.|The drum is right there.|The upper skin of the drum shakes.
    The drum is at the left edge.|It sounds all right.|The drum is near the bottom.
    It isn't on the right.|The drum is below.""",
    """The drum is on the right.|It is at the top.|The drum is in the upper part.
    It is in the upper right.|The drum stands in the right half.|It is on the far right.
    The drum is near the top.|It is at the right edge.|The drum is at the upper left.
    It lies to the right.|The object is on the right.|The drum, on the right side.
    It stands in the top left corner.|The drum is in the right corner.
    This is at the top of the frame.|The drum is on the very right.
    It is on its right-hand side.|The drum is in the top half.|It is at the lower right.
    The drum is from the right.""",
  ),
  "language": (
    _EMOTION,
    "|".join(
      f"The man {verb} at the table and the voice is loud in the room, as it was."
      for verb in ["sits", "stands", "shouts", "waits", "leans", "turns", "moves", "points", "looks", "stays"]
    )
    + "|"
    + "|".join(
      f"A {who} is seen with the hands up, and what is heard is a cry."
      for who in ["woman", "girl", "boy", "person", "child", "man", "guest", "host", "nurse", "cook"]
    ),
    """Der Mann sitzt am Tisch und die Stimme ist laut in dem Raum.
    Die Frau ist zu sehen und man hört eine laute Stimme dazu.
    Das Bild zeigt einen Mann, der wütend aussieht und laut spricht.
    Le visage de la femme est fermé et la voix est forte.
    Un homme est assis à la table et il parle très fort.
    La mujer está en la casa y la voz es muy fuerte.
    El hombre grita con las manos en alto y no se mueve.
    La donna è nella casa e la voce è molto forte.
    O homem está na casa e a voz é muito forte.
    画面中一个男人坐在桌子旁边大声说话。|男の人が大きな声で話しています。
    Мужчина сидит за столом и громко говорит.|남자가 큰 소리로 말하고 있다.
    الرجل يجلس على الطاولة ويتكلم بصوت عال.|人物表情愤怒，声音很大，动作激烈。
    Mężczyzna siedzi przy stole i mówi bardzo głośno do swojej żony.
    Mannen sitter vid bordet, rösten hörs högt över hela rummet där.
    De man zit aan tafel terwijl zijn stem luid klinkt door kamer.
    Adam masada oturuyor ve yüksek sesle konuşuyor, eller havada.
    Férfi ül asztalnál, hangosan beszél, keze magasban mozog gyorsan.""",
  ),
  "length": (
    _ACTION,
    "|".join("word " * n for n in range(12, 121, 5))
    + "|" + "word " * 120 + "|" + "word " * 13,
    "|".join("word " * n for n in range(1, 12))
    + "|" + "|".join("word " * n for n in range(121, 400, 25)),
  ),
  "no_reasoning": (
    _ACTION,
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
    _EMOTION,
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


def _split(text):
  parts = text.replace("\n    ", "|").split("|")
  # Tags hold the sign that parts the cases.
  text = text.replace("<|im_end|>", "<\x00im_end\x00>").replace("\n    ", "|")
  parts = [part.replace("\x00", "|") for part in text.split("|")]
  return [part.strip() for part in parts if part.strip()]


@pytest.mark.parametrize("code", _CASES)
def test_twenty_pass_and_twenty_do_not(code):
  context, good, bad = _CASES[code]
  tail = "" if code in ("length", "no_reasoning", "language") else _TAIL
  good, bad = _split(good), _split(bad)
  assert len(good) >= 20
  assert len(bad) >= 20
  for texts, expected in ((good, False), (bad, True)):
    wrong = [
      text
      for text in texts
      if (code in {f.code for f in checks.run(text + tail, context)})
      != expected
    ]
    assert wrong == []


def test_notes_without_the_label_contradict_it():
  def found(seen, heard, doubt=0):
    context = _context(
      "ks", {"label": "playing piano"}, notes=findings.Notes(seen, heard, doubt)
    )
    return "contradicted" in {f.code for f in checks.run("x", context)}

  assert not found("a man plays", "piano notes")
  assert not found("hands on a piano", "nothing")
  assert found("a dog runs", "barking")
  assert found("a piano", "a piano", doubt=2)


def test_another_answer_in_a_text_is_found():
  context = _context("ks", {"label": "singing"})
  codes = {f.code for f in checks.run("It is [1,2,3,4] here." + _TAIL, _LEFT)}
  assert "parse" in codes
  text = "She sings." + _TAIL
  assert "parse" not in {f.code for f in checks.run(text, context)}


def test_actions_name_a_rewrite_or_a_flag():
  (found,) = checks.run("A man is singing and plays." + _TAIL, _ACTION)
  assert (found.code, found.action) == ("other_class", findings.FLAG)
  (found,) = checks.run("A car passes by the house." + _TAIL, _EVENTS)
  assert (found.code, found.action) == ("other_class", findings.REWRITE)
  assert found.words == ("car",)


def test_sameness():
  same = {
    f"a{i}": "one two three four five six seven eight nine" for i in range(30)
  }
  assert set(checks.sameness(same)) == {*same}
  rng = np.random.default_rng(0)
  words = [f"w{i}" for i in range(500)]
  other = {f"a{i}": " ".join(rng.choice(words, 20)) for i in range(200)}
  assert checks.sameness(other) == {}
  assert checks.sameness(dict(list(same.items())[:5])) == {}


def _fuzzed(rng, base):
  text = list(base)
  for _ in range(rng.integers(0, 12)):
    at = int(rng.integers(len(text) + 1))
    sign = chr(
      int(
        rng.choice([rng.integers(32, 127), rng.integers(0x4E00, 0x9FFF), 0, 10])
      )
    )
    if rng.random() < 0.5 and at < len(text):
      text[at] = sign
    else:
      text.insert(at, sign)
  return "".join(text)[: int(rng.integers(1, len(text) + 2))]


def _fuzz(rounds):
  rng = np.random.default_rng(0)
  base = json.dumps(
    {"seen": "a dog", "heard": ["x", 1], "reasoning": "The dog (2 4) barks from"
     " 2 to 4 seconds on the left, <b> \"so\" it is.", "doubt": "2", "why": None}
  )  # fmt: skip
  read = 0
  for index in range(rounds):
    text = _fuzzed(rng, base if index % 3 else f"Seen: a\nReasoning: {base}")
    said = replies.read(text)
    if said is not None and said.reasoning:
      read += 1
      assert 0 <= said.doubt <= 3
      for context in (_ACTION, _EVENTS, _LEFT, _EMOTION):
        checks.run(said.reasoning, context)
  assert rounds / 20 < read < rounds


def test_no_reply_raises():
  _fuzz(300)


@pytest.mark.slow
def test_ten_thousand_replies_do_not_raise():
  _fuzz(10_000)
