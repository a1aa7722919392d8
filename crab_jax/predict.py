r"""Answers the questions of AV-UIE v2 about one clip of your own.

  python -m crab_jax.predict --checkpoint=runs/base/base \
    --adapter=runs/base/adapter --video=clip.mp4 --task=ave --out=answers

An mp4 with a sound track needs no --audio. Matching compares two candidates:
--audio, --video and --other_video for a2v, --video, --audio and --other_audio
for v2a. --task=all asks whatever fits the
media. Prints the answers; writes {out}/answers.json and, where an answer has
a position or times, {out}/{task}.jpg. With --masks a mask model draws what
answers of s4, ms3 and ref_avs point at: into the picture, and into answers.json
as a run-length code. --gates draws {out}/{task}_gates.png: which
head of the adapter served which token.
"""

from absl import flags

from crab_jax import cli

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_VIDEO = flags.DEFINE_string("video", None, "A file with frames.")
_AUDIO = flags.DEFINE_string(
  "audio", None, "A file with sound; without it the video's sound track."
)
_IMAGE = flags.DEFINE_string(
  "image", None, "A picture; without it the middle frame of the video."
)
_OTHER_VIDEO = flags.DEFINE_string(
  "other_video", None, "The second of two videos that are compared."
)
_OTHER_AUDIO = flags.DEFINE_string(
  "other_audio", None, "The second of two sounds that are compared."
)
_TASK = flags.DEFINE_string("task", None, "A dataset's question, or all.")
_QUESTION = flags.DEFINE_string(
  "question", None, "For avqa and avqa_thu; for ref_avs a description."
)
_OPTIONS = flags.DEFINE_list("options", [], "For avqa_thu, by commas.")
_TASK_FILE = cli.define_task_file_flag()
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_LONGEST = flags.DEFINE_integer(
  "max_new_tokens", 160, "Tokens of an answer at most.", 1
)
_COMPILED = cli.define_compiled_flag()
_MASKS = flags.DEFINE_string(
  "masks", None, "A folder of convert sam2: places that answers name are drawn."
)
_GATES = flags.DEFINE_bool(
  "gates", False, "Draws the router's gates along each answer."
)


def main() -> None:
  checkpoint, task = cli.required_path(_CHECKPOINT), cli.required(_TASK)
  out = cli.required_path(_OUT)
  # After the flags: these import jax, which takes seconds.
  from crab_jax.data import clip
  from crab_jax.evaluation import clip_answers
  from crab_jax.evaluation.scoring import scores
  from crab_jax.training import compilation

  compilation.keep(_COMPILED.value)
  other = clip.Clip(video=cli.path(_OTHER_VIDEO), audio=cli.path(_OTHER_AUDIO))
  request = clip_answers.Request(
    clip.Clip(
      video=cli.path(_VIDEO),
      image=cli.path(_IMAGE),
      audio=cli.path(_AUDIO),
      question=_QUESTION.value,
      options=tuple(_OPTIONS.value),
      other=other if other != clip.Clip() else None,
    ),
    task,
    max_new_tokens=_LONGEST.value,
    gates=_GATES.value,
    masks=cli.path(_MASKS),
  )
  clip_answers.run(
    request,
    checkpoint,
    cli.path(_ADAPTER),
    out,
    scores.own_tasks(cli.path(_TASK_FILE)),
  )


if __name__ == "__main__":
  cli.run(main)
