"""Ref-AVS: whether the described instrument is in view, and where.

A description names an instrument by its sound ("the instrument that sounds")
or by colour and sound ("the red instrument that is silent"). Each clip has
one description that fits and one that fits nothing. Which forms are drawn how
often (`_FITTING`, `_NULL`) makes true and false equally likely for each form,
so the words alone do not decide.

Test records are of three kinds: test_s (combinations seen in training),
test_u (held out of it) and test_n (nothing fits; the mask is empty).
"""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes
from crab_jax.synthetic import segmentation

_SECONDS = 10
_NOUNS = ("instrument", "thing", "one")
_FORMS = ("any sounds", "colour sounds", "colour is silent")
# Share of the clips whose sound comes from an instrument in view.
_IN_VIEW = 0.75
# Shares of the forms, in view and out of view. With the share above, each
# form is as often among the fitting as among the null descriptions.
_FITTING = {True: (0.25, 0.45, 0.30), False: (0.0, 0.0, 1.0)}
_NULL = {True: (0.0, 11 / 30, 19 / 30), False: (0.75, 0.25, 0.0)}


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """Two records a clip: one description that fits and one that does not."""
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  for row in range(0, count, 2):
    unseen = split == "test" and row % 4 == 2
    _add_clip(out, rng, split, row // 2, unseen, count - row)
  return out


def _add_clip(out, rng, split, number, unseen, most) -> None:
  """Adds a clip with its records, at most `most`."""
  scene = scene_of(rng, split, unseen)
  add(out, rng, split, number, scene, (True, False)[:most])


def scene_of(rng, split: str, held_out: bool | None = None) -> scenes.Scene:
  """Instruments at rest and a sound, of one of them or of another."""
  things = segmentation.things_at_rest(rng, split, held_out)
  in_view = bool(rng.random() < _IN_VIEW)
  names = [thing.name for thing in things]
  heard = attributes.choose(
    rng, names if in_view else scenes.others(rng, names)
  )
  sounds = (scenes.Sound(heard, 0, _SECONDS),)
  return scenes.scene(rng, _SECONDS, things, sounds)


def add(out, rng, split: str, number: int, scene, fitting) -> None:
  """Adds a scene, a record for each of `fitting`: whether its words fit."""
  heard, unseen = scene.sounds[0].name, any(t.held_out for t in scene.things)
  vid = f"{split}_{number:04d}"
  masks = []
  for fid, fits in enumerate(fitting):
    form, target = _description(rng, scene.things, heard, fits)
    masks.append(
      (f"ref_avs/REFAVS/gt_mask/{vid}/fid_{fid}", target.name if fits else None)
    )
    _add(out, rng, split, vid, fid, scene, form, target, fits, unseen)
  folder = f"ref_avs/REFAVS/media/{vid}"
  out.jobs.append(plans.RefFolder(scene, (folder,), tuple(masks)))


def _description(rng, things, heard: str, fits: bool):
  """A form and the thing it speaks of (None: no thing of the sound)."""
  sounding = [t for t in things if t.name == heard]
  silent = [t for t in things if t.name != heard]
  shares = (_FITTING if fits else _NULL)[bool(sounding)]
  form = _FORMS[int(rng.choice(len(_FORMS), p=shares))]
  if form == "any sounds":
    return form, sounding[0] if fits else None
  true_of = sounding if form == "colour sounds" else silent
  false_of = silent if form == "colour sounds" else sounding
  return form, attributes.choose(rng, true_of if fits else false_of)


def _words(rng, form: str, target) -> str:
  """The description: "The red instrument that sounds"."""
  noun = attributes.choose(rng, _NOUNS)
  if form == "any sounds":
    return f"The {noun} that sounds"
  verb = "sounds" if form == "colour sounds" else "is silent"
  return f"The {target.colour} {noun} that {verb}"


def _add(out, rng, split, vid, fid, scene, form, target, fits, unseen) -> None:
  second = int(rng.integers(_SECONDS))
  words = _words(rng, form, target)
  folder = f"REFAVS/media/{vid}"
  picture = f"{folder}/frames/{second}.jpg"
  record = {"vid": vid, "fid": fid, "uid": f"{vid}_{fid}_{second}"}
  record["audio_path"] = f"{folder}/audio.wav"
  if tasks.is_test(split):
    kind = ("test_u" if unseen else "test_s") if fits else "test_n"
    record |= {"visual_path": picture, "object": words}
    record |= {"frame_idx": second, "split": kind}
  else:
    record |= {"image_path": picture, "description": words, "idx": second}
    style = phrasing.style(rng)
    record["output"] = _target(style, scene, form, target, fits)
  out.add(
    record,
    answer=phrasing.box(target.box) if fits else "false",
    question=words.lower(),
    sight=scenes.sight(scene.things),
    hearing=[scene.sounds[0].name],
    held_out=unseen,
  )


def _target(style: phrasing.Style, scene, form: str, target, fits: bool) -> str:
  """The reasoning begins with the thing that the description names."""
  heard = scene.sounds[0].name
  sounds = f"{style.hearing} a {heard}."
  if form == "any sounds":
    judged = [
      f"{phrasing.coloured(thing)}"
      f" {thing.quarter} {phrasing.verdict(thing.name == heard)}"
      for thing in scene.things
    ]
    reason = f"{sounds} {style.sight} {phrasing.join(judged)}"
  else:
    reason = (
      f"{sounds} The {target.colour} one is a {target.name}"
      f" {phrasing.verdict(target.name == heard)}"
    )
  end = (
    f", it is {phrasing.found(target)}: {segmentation.grounding(target)}."
    if fits
    else ", it is not there."
  )
  return f"{reason}, {style.hence} {phrasing.answer(str(fits).lower())}{end}"
