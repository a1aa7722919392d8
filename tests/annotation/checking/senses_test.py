"""Classes, modality, places and notes: twenty that fit and twenty that do not."""

import dataclasses

import pytest

from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.evaluation.reading import intervals
from tests.annotation.checking import cases

# check -> (row, what must pass, what must not)
_CASES = {
  "other_class": (
    cases.EVENTS,
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
    cases.EVENTS,
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
    cases.LEFT,
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
}  # fmt: skip


@pytest.mark.parametrize("code", _CASES)
def test_twenty_pass_and_twenty_do_not(code):
  cases.require(code, *_CASES[code])


def test_actions_name_a_rewrite_or_a_flag():
  (found,) = checks.run(
    "A man is singing and plays." + cases.TAIL, cases.ACTION
  )
  assert (found.code, found.action) == ("other_class", findings.FLAG)
  (found,) = checks.run("A car passes by the house." + cases.TAIL, cases.EVENTS)
  assert (found.code, found.action) == ("other_class", findings.REWRITE)
  assert found.words == ("car",)


def _found(task, label, seen, heard, doubt=0):
  """What check 6 finds of notes about a clip with a label, or None."""
  kind, name = cases.TABLE[task].kind, ""
  answer = {"label": label}
  if kind == "events":
    answer = {"events": (intervals.Event(label, 0.0, 4.0, "both"),)}
  elif kind == "place":
    answer, name = {"box": (5, 150, 60, 220)}, label
  known = cases.context(
    task,
    answer,
    name=name,
    notes=findings.Notes(seen, heard, doubt),
    vocabulary=(label,),
  )
  return next(
    (one for one in checks.run("x", known) if one.code == "contradicted"),
    None,
  )


_FIT = [
  ("ks", "playing piano", "hands on a piano", "nothing"),
  ("ks", "playing piano", "a man at an instrument", "piano notes"),
  ("ks", "playing piano", "a pianist on a stage", "music"),
  ("ks", "playing piano", "two grand pianos", ""),
  ("ks", "playing piano", "no violin, but a piano", "music"),
  ("ks", "tap dancing", "a woman dances", "taps on wood"),
  ("ks", "mowing lawn", "a man mows the grass", "a motor"),
  ("ucf", "apply eye makeup", "makeup is put on an eye", "a voice"),
  ("ave", "Church bell", "a tower", "bells ring"),
  ("ave", "Violin, fiddle", "somebody bows", "a fiddle tune"),
  ("ave", "Motorcycle", "a motorbike on a road", "an engine"),
  ("ave", "Bark", "a dog in a garden", "it makes a noise"),
  ("avvp", "Clapping", "a hall with people", "applause at the end"),
  ("unav", "dog bow-wow", "a dog", "it barks"),
  ("meld", "anger", "an angry man", "he shouts"),
  ("meld", "joy", "she is happy", "she laughs"),
  ("meld", "sadness", "a sad face", "a low voice"),
  ("dfew", "happy", "a wide smile, joyful eyes", "laughter"),
  ("s4", "drum", "a drummer", "beats"),
  ("s4", "drum", "something round", "drums, loudly", 1),
  ("a2v", "2", "a cup in one, a bird in the other", "water"),
  ("avqa", "two", "people", "music"),
]
_DO_NOT = [
  ("ks", "playing piano", "a dog runs", "barking"),
  ("ks", "playing piano", "a man plays the drums", "drum beats"),
  ("ks", "playing piano", "no piano is seen", "wind"),
  ("ks", "playing piano", "a kitchen without a piano", "a voice"),
  ("ks", "playing piano", "a piano", "a piano", 2),
  ("ks", "playing piano", "a piano", "a piano", 3),
  ("ks", "tap dancing", "somebody sits at a table", "water runs"),
  ("ucf", "apply eye makeup", "a man reads", "a voice"),
  ("ave", "Church bell", "a street", "engines"),
  ("ave", "Violin, fiddle", "a cellist", "low notes"),
  ("ave", "Motorcycle", "a cat on a chair", "purring"),
  ("ave", "Bus", "a busy street, people walk", "steps"),
  ("avvp", "Car", "a carpet and a scarf", "a voice"),
  ("avvp", "Cat", "a cathedral", "an organ"),
  ("avvp", "Clapping", "an empty hall", "silence"),
  ("meld", "anger", "an orange wall", "a calm voice"),
  ("meld", "anger", "a stranger smiles", "he laughs"),
  ("meld", "joy", "a sad face", "sobs"),
  ("dfew", "fear", "he eats", "a clear voice near by"),
  ("s4", "drum", "a guitar", "strings"),
  ("s4", "drum", "there is no drum", "strings"),
  ("a2v", "2", "a cup in one, a bird in the other", "water", 2),
  ("avqa", "two", "people", "music", 3),
]


@pytest.mark.parametrize("case", _FIT)
def test_notes_that_fit_the_label(case):
  assert _found(*case) is None


@pytest.mark.parametrize("case", _DO_NOT)
def test_notes_that_do_not(case):
  assert _found(*case).action == findings.FLAG


def test_an_event_goes_by_the_name_that_its_label_has():
  """labels.json: sentences say "siren", the answer "alarm_07"."""
  known = cases.context(
    "avvp", {"events": (intervals.Event("alarm_07", 0.0, 4.0, "audio"),)}
  )
  item = dataclasses.replace(known.item, names={"alarm_07": "siren"})
  known = dataclasses.replace(known, item=item)
  for text, code in (
    ("The siren is seen.", "modality"),
    ("The siren goes from 6 to 9 seconds.", "times"),
  ):
    assert code in {one.code for one in checks.run(text, known)}
