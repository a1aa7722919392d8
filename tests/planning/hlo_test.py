"""The reader of compiled programs; `costs_test` reads whole ones."""

import pytest

from crab_jax.planning import hlo


def test_text_without_a_program_is_refused():
  with pytest.raises(ValueError, match="entry"):
    hlo.parse("HloModule empty\n")
