import dataclasses

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.data import windows

_ORDER = (
  "a2v v2a ks ucf meld mer24 cremad mafw dfew avqa avqa_thu ave unav avvp ms3"
  " s4 ref_avs arig avcap"
)


def test_the_order_is_the_canonical_one():
  table = tasks.Tasks()
  assert " ".join(table) == _ORDER
  assert [table.number(name) for name in table] == list(range(19))
  assert [task.stream for task in table.values()] == list(range(19))


def _own(name, **changes):
  return dataclasses.replace(
    tasks.Tasks()["ks"], name=name, stream=None, **changes
  )


def test_own_rows_follow_by_name_and_move_nothing():
  one = tasks.Tasks((_own("zebra"), _own("machine", family="diagnosis")))
  other = tasks.Tasks((*reversed(one.own), _own("nothing")))
  assert list(one)[19:] == ["machine", "zebra"]
  assert one.number("zebra") == 20
  assert other.number("zebra") == 21
  assert one == tasks.Tasks(tuple(reversed(one.own)))
  for name in one:
    assert one[name].seed == other[name].seed
  # Not hash(), which differs from one process to the next.
  assert one["machine"].seed == 7449217589


def test_a_family_of_ones_own_comes_last():
  table = tasks.Tasks((_own("machine", family="diagnosis"), _own("zebra")))
  assert table.families == (*tasks.FAMILIES, "diagnosis")
  assert table.by_family(["machine", "zebra", "meld", "ks"]) == {
    "action": ("ks", "zebra"),
    "emotion": ("meld",),
    "diagnosis": ("machine",),
  }
  assert tasks.family_order("diagnosis") > tasks.family_order("captioning")


def test_unknown_names_are_named():
  tasks.Tasks().require(["ks"], "--tasks")
  with pytest.raises(errors.UserError, match="--tasks: unknown a, b; there"):
    tasks.Tasks().require(["b", "ks", "a"], "--tasks")


def test_seven_families_all_used():
  assert {task.family for task in tasks.Tasks().values()} == set(tasks.FAMILIES)
  assert len(tasks.FAMILIES) == 7


def test_sixteen_sets_have_a_test_split():
  without = {task.name for task in tasks.Tasks().values() if not task.has_test}
  assert without == {"mer24", "unav", "avcap"}


@pytest.mark.parametrize(
  "task", tasks.Tasks().values(), ids=lambda task: task.name
)
def test_a_row_is_consistent(task):
  assert task.window in windows.RULES
  assert (task.visual == "image") == (task.frames == 1)
  assert len(task.media_keys("test")) == len(task.media_keys("train"))
  assert bool(task.reference) == task.has_test
  indexed = task.window in ("one_fifth", "one_tenth")
  assert bool(task.index_key("test")) == indexed


def test_keys_differ_between_train_and_test():
  ref_avs = tasks.Tasks()["ref_avs"]
  assert ref_avs.media_keys("val") == ("image_path", "audio_path")
  assert ref_avs.media_keys("test") == ("visual_path", "audio_path")
  assert ref_avs.question_keys("train") == {"description": "description"}
  assert ref_avs.question_keys("test") == {"description": "object"}
  assert ref_avs.index_key("train") == "idx"
  assert ref_avs.index_key("test") == "frame_idx"
  assert tasks.Tasks()["s4"].index_key("train") is None
