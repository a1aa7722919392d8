r"""Answers the questions of AV-UIE v2 about one clip of your own.

  python -m crab_jax.predict --checkpoint=runs/base/base \
    --adapter=runs/base/adapter --video=clip.mp4 --task=ave --out=answers

An mp4 with a sound track needs no --audio. --task=all asks whatever fits the
media. Prints the answers; writes {out}/answers.json and, where an answer has
a place or times, {out}/{task}.jpg. --gates draws {out}/{task}_gates.png: which
head of the adapter served which token.
"""

import pathlib

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors
from crab_jax import plotting
from crab_jax.data import clip as clip_lib
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import answer_files
from crab_jax.evaluation import decode
from crab_jax.evaluation import folder
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.report import pictures
from crab_jax.routers import plots as router_plots
from crab_jax.routers import sequence_gates
from crab_jax.routers import statistics as router_statistics

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_VIDEO = flags.DEFINE_string("video", None, "A file with frames.")
_AUDIO = flags.DEFINE_string(
  "audio", None, "A file with sound; without it the video's sound track."
)
_IMAGE = flags.DEFINE_string(
  "image", None, "A picture; without it the middle frame of the video."
)
_TASK = flags.DEFINE_string("task", None, "A dataset's question, or all.")
_QUESTION = flags.DEFINE_string(
  "question", None, "For avqa and avqa_thu; for ref_avs a description."
)
_OPTIONS = flags.DEFINE_list("options", [], "For avqa_thu, by commas.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_LONGEST = flags.DEFINE_integer(
  "max_new_tokens", 160, "Tokens of an answer at most.", 1
)
_GATES = flags.DEFINE_bool(
  "gates", False, "Draws the router's gates along each answer."
)

_PICTURE = 448  # pixels of a side


def _path(flag: flags.FlagHolder) -> pathlib.Path | None:
  return pathlib.Path(flag.value) if flag.value else None


def _clip() -> clip_lib.Clip:
  return clip_lib.Clip(
    video=_path(_VIDEO),
    image=_path(_IMAGE),
    audio=_path(_AUDIO),
    question=_QUESTION.value,
    options=tuple(_OPTIONS.value),
  )


def _chosen(clip: clip_lib.Clip) -> list[tasks.Task]:
  """The tasks to ask; prints those that `all` leaves out, and why."""
  if _TASK.value == "all":
    misfits = {task: clip_lib.misfit(clip, task) for task in tasks.TASKS}
    for task, why in misfits.items():
      if why:
        print(f"{task.name}: left out, {why}")
    found = [task for task, why in misfits.items() if not why]
    if not found:
      raise errors.UserError(
        "no task fits: give --video, or --image and --audio"
      )
    return found
  if _TASK.value not in tasks.BY_NAME:
    raise errors.UserError(
      f"--task={_TASK.value}: there are all, {', '.join(tasks.BY_NAME)}"
    )
  task = tasks.BY_NAME[_TASK.value]
  if why := clip_lib.misfit(clip, task):
    raise errors.UserError(f"--task={task.name}: {why}")
  return [task]


def _maker(model: folder.Model) -> samples.SampleMaker:
  template = model.chat_template
  data = configs.Data(
    chat_template=str(template) if template else None,
    # One position for every audio token, as the released models count.
    positions_per_second=configs.MEL_FRAME_RATE / (2 * model.config.audio.pool),
  )
  return samples.sample_maker(model.tokenizer, data, model.config)


def _records(
  clip: clip_lib.Clip, chosen: list[tasks.Task], maker: samples.SampleMaker
) -> dict[str, records.Record]:
  """The clip as a record of each task; every one can be asked."""
  config = configs.Preparation(frame_size=maker.model.vision.frame_size)
  asked = {task.name: clip_lib.record(clip, task, config) for task in chosen}
  for name, record in asked.items():
    try:
      maker.prompt_lengths(record)
    except samples.SampleError as error:
      raise errors.UserError(f"--task={name}: {error}") from error
  return asked


def _answerer(
  model: folder.Model, maker: samples.SampleMaker
) -> decode.Answerer:
  return decode.Answerer(
    model.config,
    model.params,
    maker,
    model.tokenizer,
    configs.Evaluation(batch=1, max_new_tokens=_LONGEST.value),
  )


def _picture(
  clip: clip_lib.Clip, record: records.Record, answer: answers.Answer
):
  """The frame with its box, or the timeline; None where nothing can be drawn."""
  if answer.box or answer.points:
    task = tasks.BY_NAME[record.task]
    # Sharper than what the model sees.
    frame = clip_lib.frame(clip, task, _PICTURE)
    return pictures.place(
      frame, said_box=answer.box, points=answer.points, size=_PICTURE
    )
  if answer.events:
    seconds = max(10.0, *(event.end for event in answer.events))
    return pictures.timeline(record.frames, answer.events, seconds)
  return None


def _draw_gates(
  model: folder.Model,
  maker: samples.SampleMaker,
  record: records.Record,
  text: str,
) -> tuple[dict, dict[str, bytes]]:
  """What answers.json says of the gates along an answer, and their picture."""
  if not text.strip():  # no tokens of an answer: the prompt's are no news
    return {"gates": None}, {}
  along = sequence_gates.along(model.config, model.params, maker, record, text)
  name = f"{record.task}_gates.png"
  drawn = router_plots.gates_along(along.gates, along.kinds, record.task)
  said = {"gates": along.by_kind(), "gates_picture": name}
  return said, {name: plotting.png(drawn)}


def main() -> None:
  for flag in (_CHECKPOINT, _TASK, _OUT):
    if not flag.value:
      raise errors.UserError(f"--{flag.name} is needed (see --help)")
  clip = _clip()
  chosen = _chosen(clip)
  model = folder.load(pathlib.Path(_CHECKPOINT.value), _path(_ADAPTER))
  if _GATES.value and not router_statistics.has_router(model.config):
    raise errors.UserError(
      "--gates: there is no router to look at; give --adapter with one of"
      " several heads"
    )
  maker = _maker(model)
  asked = _records(clip, chosen, maker)
  found, drawn = [], {}
  for row in _answerer(model, maker).answers(asked.values()):
    name = row["task"]
    if row["error"]:
      raise errors.UserError(f"{name}: {row['error']}")
    answer = answers.parse(name, row["text"])
    print(f"{name}: {' '.join(row['text'].split())}")
    line = {"task": name, "text": row["text"], "answer": answer.to_json()}
    if (picture := _picture(clip, asked[name], answer)) is not None:
      line["picture"] = f"{name}.jpg"
      drawn[line["picture"]] = pictures.jpeg(picture, 90)
    if _GATES.value:
      gates, picture = _draw_gates(model, maker, asked[name], row["text"])
      line |= gates
      drawn |= picture
    found.append(line)
  out = pathlib.Path(_OUT.value)
  try:
    answer_files.write(out, drawn, found)
  except OSError as error:
    raise errors.UserError(f"cannot write {out}: {error}") from error
  print(f"written: {out / answer_files.FILE}")


if __name__ == "__main__":
  cli.run(main)
