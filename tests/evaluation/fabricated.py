"""Fabricated rows of every task, right or wrong on demand."""

import random

from crab_jax.evaluation.scoring import masks

_CLASSES = {
  "a2v": (1, 2),
  "v2a": (1, 2),
  "ks": ("playing drums", "tap dancing", "bowling"),
  "ucf": ("applyeyemakeup", "archery", "babycrawling"),
  "meld": ("neutral", "joy", "anger", "disgust"),
  "mer24": ("happy", "sad", "worried"),
  "cremad": ("NEU", "HAP", "SAD", "FEA"),
  "mafw": ("anger", "contempt", "helplessness"),
  "dfew": ("Happy", "Sad", "Neutral"),
  "avqa": ("yes", "no", "two", "violin"),
  "avqa_thu": ("dog", "cat", "car", "horse"),
}
_EVENTS = ("dog", "Violin, fiddle", "Frying_(food)")
_TYPES = (["Audio", "Counting"], ["Audio-Visual", "Temporal"])


def _label(task, r, right):
  true, other = r.sample(_CLASSES[task], 2)
  tagged = f"<answer>{true}</answer>."
  reference = {"text": str(true) if task.startswith("avqa") else tagged}
  if task == "avqa":
    reference["type"] = str(r.choice(_TYPES))
  if task == "avqa_thu":
    reference["question_type"] = "Which"
  said = true if right else other
  return f"I see and hear it, so <answer>{said}</answer>.", reference


def _spans(r, modality):
  start = r.randrange(0, 8)
  end = r.randrange(start + 1, 11)
  return f"<{modality}>{r.choice(_EVENTS)}, ({start} {end})</{modality}>"


def _events(task, r, right):
  if task == "ave":
    label, start = r.choice(_EVENTS), r.randrange(0, 5)
    end = start + r.randrange(1, 5)
    text = f"event:{label} start_time:{start} end_time:{end}"
    said = f"<event>{label}, ({start} {end})</event>"
    return said if right else "<event>nothing of these, (0 10)</event>", {
      "text": text
    }
  kinds = ("event",) if task == "unav" else ("visual", "audio")
  spans = [_spans(r, r.choice(kinds)) for _ in range(r.randrange(1, 4))]
  text = " ".join(dict.fromkeys(spans))  # a repeated event would be wrong
  said = text if right else f"<{kinds[0]}>another, (0 10)</{kinds[0]}>"
  return said, {"text": text}


def _place(task, r, right):
  x, y = r.randrange(60, 120), r.randrange(60, 120)
  box = (x, y, x + r.randrange(20, 60), y + r.randrange(20, 60))
  said = box if right else (0, 0, 9, 9)
  text = f"It is at [{said[0]},{said[1]},{said[2]},{said[3]}] [{x},{y}]."
  if task == "arig":
    return text, {"text": "x", "top_left": box[:2], "bottom_right": box[2:]}
  reference = {"text": "It is the dog", "a_obj": "dog"}
  if task == "ref_avs":
    reference = {"text": "the dog", "split": r.choice(["test_s", "test_u"])}
    text = f"<answer>true</answer>. {text}"
  reference["mask"] = masks.to_rle(masks.filled_box(box))
  return text, reference


def _caption(r, right):
  def draw():
    return (
      f"A {r.choice(['red', 'blue'])} {r.choice(['ball', 'box', 'disc'])}"
      f" moves {r.choice(['left', 'up'])} while a"
      f" {r.choice(['violin', 'drum', 'bell'])} plays."
    )

  text = draw()
  return text if right else "Nothing of the kind at all.", {"text": text}


def _row(task, i, r, right):
  if task in _CLASSES:
    text, reference = _label(task, r, right)
  elif task in ("ave", "unav", "avvp"):
    text, reference = _events(task, r, right)
  elif task == "avcap":
    text, reference = _caption(r, right)
  else:
    text, reference = _place(task, r, right)
  row = {
    "id": f"{task}/test/{i}",
    "task": task,
    "prompt": "What?",
    "text": text,
    "parsed": None,
    "reference": reference,
    "score": None,
    "error": None,
  }
  if task == "avqa_thu":
    row["question"] = {"question": "?", "options": list(_CLASSES[task])}
  return row


def rows(task: str, rights: list[bool], seed: int = 0) -> list[dict]:
  """Rows of a task; rights[i] says whether row i is right."""
  r = random.Random(seed)
  return [_row(task, i, r, right) for i, right in enumerate(rights)]
