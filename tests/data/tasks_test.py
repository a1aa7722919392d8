import pytest

from crab_jax.data import tasks
from crab_jax.data import windows

_ORDER = (
  "a2v v2a ks ucf meld mer24 cremad mafw dfew avqa avqa_thu ave unav avvp ms3"
  " s4 ref_avs arig avcap"
)


def test_the_order_is_the_canonical_one():
  assert " ".join(task.name for task in tasks.TASKS) == _ORDER
  assert [task.number for task in tasks.TASKS] == list(range(19))
  assert list(tasks.BY_NAME) == _ORDER.split()


def test_seven_families_all_used():
  assert {task.family for task in tasks.TASKS} == set(tasks.FAMILIES)
  assert len(tasks.FAMILIES) == 7


def test_sixteen_sets_have_a_test_split():
  without = {task.name for task in tasks.TASKS if not task.has_test}
  assert without == {"mer24", "unav", "avcap"}


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.name)
def test_a_row_is_consistent(task):
  assert task.window in windows.RULES
  assert (task.kind == "image") == (task.frames == 1)
  assert len(task.media_keys("test")) == len(task.media_keys("train"))
  assert bool(task.reference) == task.has_test
  indexed = task.window in ("one_fifth", "one_tenth")
  assert bool(task.index_key("test")) == indexed


def test_keys_differ_between_train_and_test():
  ref_avs = tasks.BY_NAME["ref_avs"]
  assert ref_avs.media_keys("val") == ("image_path", "audio_path")
  assert ref_avs.media_keys("test") == ("visual_path", "audio_path")
  assert ref_avs.question_keys("train") == {"description": "description"}
  assert ref_avs.question_keys("test") == {"description": "object"}
  assert ref_avs.index_key("train") == "idx"
  assert ref_avs.index_key("test") == "frame_idx"
  assert tasks.BY_NAME["s4"].index_key("train") is None
