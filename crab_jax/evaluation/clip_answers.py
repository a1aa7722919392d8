"""Answers the questions of AV-UIE v2 about one clip of the user's own.

A model folder and a clip in; answers.json and a picture an answer out.
"""

import dataclasses

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import clip as clip_lib
from crab_jax.data import encodings
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import answer_files
from crab_jax.evaluation import decode
from crab_jax.evaluation import folder
from crab_jax.evaluation.masking import clip_masks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.report import pictures
from crab_jax.evaluation.scoring import masks
from crab_jax.routers import sequence_gates
from crab_jax.training import generation_sharding

ALL = "all"  # the name that stands for every task that fits
_PICTURE = 448  # pixels of a side


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked.

  Attributes:
    clip: the media, and the question where a task takes one.
    task: the name of a task, or `ALL`.
    max_new_tokens: tokens of an answer at most.
    gates: also draw the router's gates along each answer.
    masks: the folder of a mask model, which draws what answers point at.
  """

  clip: clip_lib.Clip
  task: str
  max_new_tokens: int
  gates: bool
  masks: files.Path | None = None


def run(
  request: Request,
  checkpoint: files.Path,
  adapter: files.Path | None,
  out: files.Path,
  given: tasks.Tasks | None = None,
) -> None:
  """Answers a request; prints the answers and writes the folder `out`.

  Args:
    request: what is asked.
    checkpoint: a model folder.
    adapter: an adapter folder for it, or None.
    out: the folder to write.
    given: the table of the command's task file; None: it has none.

  Raises:
    UserError: whatever a user can cause.
  """
  # Before the model is read, which takes minutes at 7B.
  table = folder.tasks_of(checkpoint, adapter)
  if given is not None:
    table = table.joined(given, f"the checkpoint {checkpoint}", "the task file")
  chosen = _chosen(request, table)
  pen = clip_masks.ClipMasks(request.masks) if request.masks else None
  model = folder.load(checkpoint, adapter)
  folder.require_numbers(model, table)
  if request.gates and not model.config.routes:
    raise errors.UserError(
      "--gates: the model has no router; give --adapter with one of"
      " several heads"
    )
  found, drawn = _answer(request, chosen, model, table, pen)
  try:
    answer_files.write(out, drawn, found)
  except OSError as error:
    raise errors.UserError(f"cannot write {out}: {error}") from error
  print(f"written: {out / answer_files.FILE}")


def _chosen(request: Request, table: tasks.Tasks) -> list[tasks.Task]:
  """The tasks to ask; prints those that `all` leaves out, and why."""
  if request.task == ALL:
    return _fitting(request.clip, table)
  if request.task not in table:
    raise errors.UserError(
      f"--task={request.task}: there are {ALL}, {', '.join(table)}"
    )
  task = table[request.task]
  if why := clip_lib.misfit(request.clip, task):
    raise errors.UserError(f"--task={task.name}: {why}")
  return [task]


def _fitting(clip: clip_lib.Clip, table: tasks.Tasks) -> list[tasks.Task]:
  misfits = {task: clip_lib.misfit(clip, task) for task in table.values()}
  for task, why in misfits.items():
    if why:
      print(f"{task.name}: left out, {why}")
  found = [task for task, why in misfits.items() if not why]
  if not found:
    raise errors.UserError("no task fits: give --video, or --image and --audio")
  return found


def _answer(
  request: Request,
  chosen: list[tasks.Task],
  model: folder.Model,
  table: tasks.Tasks,
  pen: clip_masks.ClipMasks | None,
) -> tuple[list[dict], dict[str, bytes]]:
  """The rows of answers.json, and the pictures by file name."""
  maker = folder.sample_maker(model, table)
  asked = _records(request.clip, chosen, maker)
  found, drawn = [], {}
  rows = list(_answerer(request, model, maker).answers(asked.values()))
  for row in rows:
    if row["error"]:
      raise errors.UserError(f"{row['task']}: {row['error']}")
  said = [(table[row["task"]], row["text"]) for row in rows]
  regions = pen.of_answers(request.clip, said) if pen else {}
  for row in rows:
    name = row["task"]
    answer = answers.parse(table[name], row["text"])
    print(f"{name}: {' '.join(row['text'].split())}")
    line = {"task": name, "text": row["text"], "answer": answer.to_json()}
    if "cut" in row:
      print(f"{name}: cut off by {_limit(row['cut'], request, model)}")
      line["cut"] = row["cut"]
    region = regions.get(name)
    if region is not None:
      line["mask"] = masks.to_rle(region)
    if (
      picture := _picture(
        request.clip, table[name], asked[name], answer, region
      )
    ) is not None:
      line["picture"] = f"{name}.jpg"
      drawn[line["picture"]] = pictures.jpeg(picture, 90)
    if request.gates:
      gates, picture = _draw_gates(model, maker, asked[name], row["text"])
      line |= gates
      drawn |= picture
    found.append(line)
  return found, drawn


def _limit(name: str, request: Request, model: folder.Model) -> str:
  """The limit that cut an answer off, for people."""
  if name == "context":
    return f"the model's context of {model.config.decoder.context} tokens"
  return f"--max_new_tokens={request.max_new_tokens}"


def _records(
  clip: clip_lib.Clip, chosen: list[tasks.Task], maker: samples.SampleMaker
) -> dict[str, records.Record]:
  """The clip as a record of each task; every one can be asked."""
  config = configs.Preparation(frame_size=maker.model.vision.frame_size)
  asked = {task.name: clip_lib.record(clip, task, config) for task in chosen}
  for name, record in asked.items():
    if said := unheard(record):
      print(f"{name}: {said}")
    try:
      # Before the model answers anything: all questions are checked first.
      maker.prompt_lengths(record)
    except samples.SampleError as error:
      raise errors.UserError(f"--task={name}: {error}") from error
  return asked


def unheard(record: records.Record) -> str | None:
  """How much of a long sound the model does not hear; None: it hears all."""
  rate, limit = configs.SAMPLE_RATE, configs.HEARD_SAMPLES
  samples = encodings.audio_samples(record.audio)
  if samples <= limit:
    return None
  return (
    f"the model hears the first {limit // rate} s of {samples / rate:.1f} s of"
    " sound"
  )


def _answerer(
  request: Request, model: folder.Model, maker: samples.SampleMaker
) -> decode.Answerer:
  """Along all devices of the host, which share the heads."""
  mesh = configs.Mesh(strategy="mesh")
  layout = generation_sharding.local(mesh, model.config)
  return decode.Answerer(
    model.config,
    layout.shard(model.params),
    maker,
    model.tokenizer,
    configs.Evaluation(batch=1, max_new_tokens=request.max_new_tokens),
    layout,
  )


def _picture(
  clip: clip_lib.Clip,
  task: tasks.Task,
  record: records.Record,
  answer: answers.Answer,
  region: np.ndarray | None = None,
):
  """The frame with its box and its mask, or the timeline; None: neither."""
  if answer.box or answer.points or region is not None:
    # Sharper than what the model sees.
    frame = clip_lib.frame(clip, task, _PICTURE)
    return pictures.grounding(
      frame,
      said_box=answer.box,
      points=answer.points,
      size=_PICTURE,
      said=region,
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
  if not text.strip():  # an answer without tokens has no gates of its own
    return {"gates": None}, {}
  # Not above: matplotlib takes half a second, and few ask for the gates.
  from crab_jax import plotting
  from crab_jax.routers import plots as router_plots

  along = sequence_gates.along(model.config, model.params, maker, record, text)
  name = f"{record.task}_gates.png"
  drawn = router_plots.gates_along(along.gates, along.kinds, record.task)
  said = {"gates": along.by_kind(), "gates_picture": name}
  return said, {name: plotting.png(drawn)}
