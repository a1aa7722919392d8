"""The steps of first_hour.py: their commands, and what to expect of them.

Ids of repositories and sizes are those that were known when this was written,
without the released files; what was not known is said to be unknown.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

HUB = "https://huggingface.co"
PROJECT = "Jayson236/Crab_Plus"  # a dataset repository
ANNOTATIONS, ADAPTER = "AVUIE_2.zip", "finetune_weights.bin"
FETCHED = ("annotations", "adapter", "base")
LONG = ("prepare", "train")  # run only when --steps names them
# Computed from the shapes of the parameters, 2 bytes each.
BASE_GIB = {"7b": 16.6, "3b": 8.8}
_TEST_ROWS = 20  # of every test set
# Test sets whose question needs no words of the user's.
_CLIP_TASKS = ("ave", "ks", "ucf", "avvp", "meld", "cremad", "dfew", "mafw")
_UNKNOWN = "not measured on the released files"


@dataclasses.dataclass(frozen=True)
class Step:
  """A step as it is about to run.

  Attributes:
    title: what it does.
    size: what it reads, writes or prints.
    commands: to run in turn.
    time, memory: what they take, and where the figure is from.
    needs: path -> what to do if it is not there.
    made: its result, which is complete if it is there; None: it leaves none.
    before: done before the commands, and its description; None: nothing.
    passed: exit codes beside 0 after which the next step may run.
    hints: exit code -> what to do.
  """

  title: str
  size: str
  commands: list[list[str]]
  time: str = _UNKNOWN
  memory: str = _UNKNOWN
  needs: dict[pathlib.Path, str] = dataclasses.field(default_factory=dict)
  made: pathlib.Path | None = None
  before: tuple[Callable[[], None], str] | None = None
  passed: tuple[int, ...] = ()
  hints: dict[int, str] = dataclasses.field(default_factory=dict)


def _crab(command: str, *words: str) -> list[str]:
  return ["python", "-m", f"crab_jax.{command}", *words]


def _gin(flags: argparse.Namespace) -> list[str]:
  """The recipe, the slice, and settings of the user's."""
  return [
    f"--gin_file=gin/crab_plus_{flags.size}.gin",
    f"--gin_file=gin/mesh/{flags.slice}.gin",
    *(f"--gin_param={setting}" for setting in flags.gin_param),
  ]


def _tasks(flags: argparse.Namespace) -> list[str]:
  return [f"--tasks={flags.tasks}"] if flags.tasks else []


def _model(flags: argparse.Namespace) -> pathlib.Path:
  """The model folder of the base."""
  return flags.weights / flags.size


def _adapter_folder(flags: argparse.Namespace) -> pathlib.Path | None:
  return None if flags.adapter == "none" else flags.weights / "adapter"


def _loaded(flags: argparse.Namespace) -> list[str]:
  """The flags of a command that answers."""
  adapter = _adapter_folder(flags)
  own = [f"--adapter={adapter}"] if adapter else []
  return [f"--checkpoint={_model(flags)}", *own]


def _need_model(flags: argparse.Namespace) -> dict[pathlib.Path, str]:
  needs = {_model(flags): "the step base makes it"}
  if adapter := _adapter_folder(flags):
    needs[adapter] = "the step adapter makes it"
  return needs


def _need_source(flags: argparse.Namespace) -> dict[pathlib.Path, str]:
  return {
    flags.source: f"--fetch=annotations gets the annotations from {PROJECT}; the"
    " media come from the authors of the sets (crab_jax/data/README.md)"
  }


def _fetch(flags: argparse.Namespace) -> Step:
  hub = ["hf", "download", PROJECT, "--repo-type=dataset"]
  commands = []
  if "annotations" in flags.fetch and not flags.source.exists():
    part = f"{flags.source}.part"
    commands += [
      [*hub, ANNOTATIONS, f"--local-dir={flags.work}"],
      ["python", "-m", "zipfile", "-e", str(flags.work / ANNOTATIONS), part],
      # So that a folder that is there is whole.
      ["mv", part, str(flags.source)],
    ]
  if "adapter" in flags.fetch and not pathlib.Path(flags.adapter).exists():
    folder = pathlib.Path(flags.adapter).parent
    commands.append([*hub, ADAPTER, f"--local-dir={folder}"])
  return Step(
    f"from {HUB}/datasets/{PROJECT}"
    if commands
    else "nothing; --fetch names what may be downloaded",
    f"{ANNOTATIONS} about 22 MB, as a third party saw it; {ADAPTER} 1.74 GB"
    " (870,480,512 parameters in bfloat16). The base is downloaded by its own"
    " step. Read the terms first: on the page of the repository, and of the"
    " source corpora in crab_jax/data/README.md",
    commands,
    time="as your line allows",
    memory="little",
  )


def _check(flags: argparse.Namespace) -> Step:
  return Step(
    "are the data there, and as assumed?",
    "writes nothing; a table of files that are there, missing or doubtful, then"
    " hours and GB of the whole preparation",
    [_crab("prepare", f"--source={flags.source}", "--check", *_tasks(flags))],
    needs=_need_source(flags),
    passed=(3,) if flags.accept_doubts else (),
    hints={
      3: "something is missing or not as assumed. --tasks=ave,ks names the sets"
      " that you have; --accept_doubts goes on. Assumptions that fail are worth"
      " a bug report"
    },
  )


def _base(flags: argparse.Namespace) -> Step:
  name = f"Qwen/Qwen2.5-Omni-{flags.size.upper()}"
  fetched = "base" in flags.fetch
  source = name if fetched else flags.base
  return Step(
    f"the base, {source}",
    f"writes {BASE_GIB[flags.size]} GiB. A download is larger, as it holds the"
    f" talker too, and goes to the hub's cache. Licence: {HUB}/{name}",
    [_crab("convert", "base", f"--source={source}", f"--out={_model(flags)}")],
    time="random weights of the 3B's shape, 8.8 GiB: 32 s on one core of an AMD"
    " EPYC, 2026-11-25; without the download",
    memory="0.79 GiB there, 0.21 more than the largest tensor, which has 1.02 GiB"
    " in the 7B",
    needs={}
    if fetched
    else {
      pathlib.Path(
        flags.base
      ): f"--fetch=base gets it from {name}; --base names a copy of yours"
    },
    made=_model(flags),
  )


def _adapter(flags: argparse.Namespace) -> Step:
  out = _adapter_folder(flags)
  if out is None:
    return Step("none: the base alone", "nothing", [], "none", "none")
  return Step(
    f"the official adapter, {flags.adapter}",
    "reads 1.74 GB, 1,940 tensors of the 7B, and writes as much",
    [
      _crab(
        *("convert", "adapter-import", f"--source={flags.adapter}"),
        *(f"--base={_model(flags)}", f"--out={out}"),
      )
    ],
    needs={
      _model(flags): "the step base makes it",
      pathlib.Path(flags.adapter): f"--fetch=adapter gets it from {PROJECT};"
      " --adapter names yours, --adapter=none goes without",
    },
    made=out,
  )


def _inspect(flags: argparse.Namespace) -> Step:
  folders = [_model(flags), _adapter_folder(flags)]
  return Step(
    "what the folders hold; for a bug report",
    "prints sizes by tower, special tokens, the largest |B| of every head. 7B:"
    " 8,931,806,720 parameters, 3B: 4,703,460,352. A tower whose B are all 0 did"
    " not train, which may be so of the towers of the published adapter",
    [
      _crab("convert", "inspect", str(folder))
      for folder in folders
      if folder is not None
    ],
    needs=_need_model(flags),
  )


def _root(source: pathlib.Path) -> pathlib.Path:
  """The folder of the datasets: `source`, or AVUIE_2 inside it."""
  inner = source / "AVUIE_2"
  return inner if inner.is_dir() else source


def _test_sets(
  flags: argparse.Namespace,
) -> Iterator[tuple[pathlib.Path, list[dict]]]:
  """(folder, rows) of every test set that is wanted."""
  for path in sorted(_root(flags.source).glob("*/test.json")):
    if not flags.tasks or path.parent.name in flags.tasks.split(","):
      yield path.parent, json.loads(path.read_text(encoding="utf-8"))


def _one_clip(flags: argparse.Namespace) -> list[str]:
  """What `predict` is asked, about the user's clip or one of a test set.

  Empty if no test set has media.
  """
  if flags.clip:
    return ["--task=ave", f"--video={flags.clip}"]
  sets = {folder.name: (folder, rows) for folder, rows in _test_sets(flags)}
  for task in _CLIP_TASKS:
    folder, rows = sets.get(task, (flags.source, []))
    for row in rows:
      video = folder / "video" / row["video_path"]
      audio = folder / "audio" / row["audio_path"]
      if video.is_file() and audio.is_file():
        return [f"--task={task}", f"--video={video}", f"--audio={audio}"]
  return []


def _clip(flags: argparse.Namespace) -> Step:
  media = _one_clip(flags)
  out = flags.work / "clip"
  needs = {
    pathlib.Path(
      "CLIP"
    ): "no test clip was found; --clip names a video of yours"
  }
  return Step(
    "one clip",
    "writes answers.json and, of places and times, a picture",
    [
      _crab(
        *("predict", *_loaded(flags)),
        *(media or ["--task=ave", "--video=CLIP"]),
        f"--out={out}",
      )
    ],
    time="not measured; it reads the model and compiles before it answers",
    memory=f"more than the base's {BASE_GIB[flags.size]} GiB, on one device: the"
    " 7B fits no chip of 16 GiB. With JAX_PLATFORMS=cpu the host's memory counts",
    needs={**_need_model(flags), **({} if media else needs)},
    made=out / "answers.json",
  )


def _sample(flags: argparse.Namespace, out: pathlib.Path) -> None:
  """Writes a source of the first rows of every test set; media are linked."""
  for folder, rows in _test_sets(flags):
    target = out / folder.name
    target.mkdir(parents=True, exist_ok=True)
    (target / "test.json").write_text(json.dumps(rows[:_TEST_ROWS]))
    for entry in folder.iterdir():
      link = target / entry.name
      if entry.is_dir() and not link.is_symlink():
        link.symlink_to(entry.resolve(), target_is_directory=True)


def _rows(flags: argparse.Namespace) -> Step:
  work = flags.work / "rows"
  source, records = work / "AVUIE_2", work / "records"
  return Step(
    f"{_TEST_ROWS} rows of every test set",
    f"at most {_TEST_ROWS} clips of each of 16 sets, prepared, answered and"
    " scored; report.html. So few rows tell whether answers have the right form,"
    " not how good they are",
    [
      _crab(
        *("prepare", f"--source={source}", f"--out={records}"),
        # What does not decode is counted and named, and the others go on.
        *("--max_bad_share=1", "--max_bad_task_share=1"),
      ),
      _crab(
        *("evaluate", *_gin(flags), *_loaded(flags)),
        *(f"--data={records}", f"--out={work / 'eval'}"),
      ),
    ],
    memory=f"more than the base's {BASE_GIB[flags.size]} GiB, shared by the chips"
    " of this host",
    needs={**_need_model(flags), **_need_source(flags)},
    made=work / "eval/report.html",
    before=(
      lambda: _sample(flags, source),
      f"{source}: {_TEST_ROWS} rows of every test.json, media linked",
    ),
    passed=(4,),
    hints={4: "a task or a row has no score; the report names it, and why"},
  )


def _plan(flags: argparse.Namespace) -> Step:
  out = flags.work / f"plan_{flags.slice}.json"
  return Step(
    f"does the training fit {flags.slice}?",
    "prints memory, FLOPs and an estimate of the time; to be compared with the"
    f" header of gin/mesh/{flags.slice}.gin. Needs crab_jax[tpu] and no TPU",
    [_crab("plan", *_gin(flags), f"--out={out}")],
    time="CI compiles two slices in some six minutes on two cores",
    memory="not measured",
    made=out,
    hints={3: "it does not fit: take another file of gin/mesh"},
  )


def _prepare(flags: argparse.Namespace) -> Step:
  out = pathlib.Path(flags.records)
  return Step(
    "all records",
    "GB and hours as the step check told; stopped, it goes on",
    [
      _crab(
        *("prepare", f"--source={flags.source}", f"--out={out}"),
        *_tasks(flags),
      )
    ],
    time="as the step check told",
    needs=_need_source(flags),
    made=out / "summary.json",
  )


def _train(flags: argparse.Namespace) -> Step:
  header = f"the header of gin/mesh/{flags.slice}.gin tells it, as compiled"
  model = _model(flags)
  return Step(
    "the run",
    "checkpoints, scores and report in --workdir. For a slice of several hosts"
    " give the words behind crab_jax.train to tpu_vm.sh or queued_resource.sh"
    " (launch/README.md)",
    [
      _crab(
        *("train", *_gin(flags)),
        f'--gin_param=Experiment.base="{model}"',
        f'--gin_param=Data.tokenizer="{model}/tokenizer.json"',
        f'--gin_param=Experiment.records="{flags.records}"',
        f"--workdir={flags.workdir}",
      )
    ],
    time=header,
    memory=header,
    needs={
      model: "the step base makes it",
      pathlib.Path(flags.records): "--steps=prepare makes them",
    },
  )


# In the order in which they run.
STEPS: dict[str, Callable[[argparse.Namespace], Step]] = {
  "fetch": _fetch,
  "check": _check,
  "base": _base,
  "adapter": _adapter,
  "inspect": _inspect,
  "clip": _clip,
  "rows": _rows,
  "plan": _plan,
  "prepare": _prepare,
  "train": _train,
}
