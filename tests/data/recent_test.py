from crab_jax.data import recent


def test_the_last_values_are_kept_up_to_a_size():
  made = []

  def make(key):
    made.append(key)
    return "x" * key

  function = recent.Recent(make, len, 10)
  for key in (4, 4, 5, 4, 3, 4, 5):
    assert function(key) == "x" * key
  # 5 was the oldest when 3 came.
  assert made == [4, 5, 3, 5]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out():
  made = []
  function = recent.Recent(lambda key: made.append(key) or key, lambda k: k, 10)
  for key in (9, 11, 9, 11):
    assert function(key) == key
  assert made == [9, 11, 11]
