"""The bare answer of each form of target."""

import pytest

from crab_jax.data import targets
from crab_jax.data import tasks


@pytest.mark.parametrize(
  ("task", "target", "answer"),
  [
    (
      "ks",
      "A man strums. I hear strings. So it is <answer>guitar</answer>.",
      "<answer>guitar</answer>.",
    ),
    (
      "a2v",
      "Not <answer>one</answer> but\n<answer>video\ntwo</answer>",
      "<answer>video\ntwo</answer>",
    ),
    (
      "ref_avs",
      "I look. <answer>true</answer>. The red car [1,2,30,40], points"
      " [5, 6],[7,8],[9,10]. That is all.",
      "<answer>true</answer>. The red car [1,2,30,40], points"
      " [5, 6],[7,8],[9,10].",
    ),
    ("ref_avs", "No. <answer>false</answer>", "<answer>false</answer>"),
    (
      "unav",
      "First rain. In sum: <event>rain,(0 3)(5 9)</event> and"
      " <event>dog, (1 2)</event>, no more.",
      "<event>rain,(0 3)(5 9)</event> and <event>dog, (1 2)</event>",
    ),
    (
      "avvp",
      "So <visual>dog,(0 3)</visual><audio>dog,(2 3)</audio>.",
      "<visual>dog,(0 3)</visual><audio>dog,(2 3)</audio>.",
    ),
    (
      "s4",
      "It rings. The bell sounds: [10,20,30,40], [1,2],[3,4],[5,6].",
      "The bell sounds: [10,20,30,40], [1,2],[3,4],[5,6].",
    ),
    (
      "arig",
      "It rings! The bell, <obj>(1,2)(3,4)</obj> or so",
      "<obj>(1,2)(3,4)</obj>",
    ),
    (
      "avqa",
      "Two sound. The answer is 3.5 pipes. ",
      "The answer is 3.5 pipes.",
    ),
    ("avqa", "yes", "yes"),
    ("avcap", "A dog. It barks.", "A dog. It barks."),
  ],
)
def test_forms(task, target, answer):
  assert targets.bare_answer(tasks.Tasks()[task], target) == answer


@pytest.mark.parametrize(
  "task", tasks.Tasks().values(), ids=lambda task: task.name
)
def test_a_bare_answer_stays(task):
  for target in ("yes", "<answer>a</answer>.", "A cat [1,2,3,4], [1,2]."):
    assert targets.bare_answer(task, target) == target
