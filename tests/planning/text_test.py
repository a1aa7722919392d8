"""What is printed of a plan."""

import dataclasses

from crab_jax.planning import report
from crab_jax.planning import text
from tests.planning import made_plan


def test_what_is_executed_is_told_apart():
  found = made_plan.plan()
  ratio = report.executed_over_model(found)
  assert ratio == 1.2e14 * 16 / found.model_flops.total
  said = "\n".join(text.lines(found, report.Job()))
  assert f"{ratio:.2f} times" in said
  assert "repeated for the backward pass 25%" in said
  assert "ESTIMATES" in said
  assert "fits" in said
  assert found.chip.source in said


def test_several_slices_are_said():
  found = made_plan.plan()
  assert "slices" not in "\n".join(text.lines(found, report.Job()))
  found = dataclasses.replace(
    found,
    slices=2,
    costs=dataclasses.replace(found.costs, from_slices=5e8, slice_calls=67),
    times=dataclasses.replace(found.times, slices=0.25),
  )
  said = "\n".join(text.lines(found, report.Job()))
  assert said.startswith("2 x v5e:4x4 (16 chips)")
  assert "between slices         0.50 GB in     67 calls" in said
  assert "between slices 0.25)" in said


def test_a_plan_that_does_not_fit_says_so():
  found = made_plan.plan(peak=20 * made_plan.GIB, fits=False)
  assert not found.memory.fits
  assert "DOES NOT FIT" in "\n".join(text.lines(found, report.Job()))
  assert "does not fit" in text.row(found, report.Job())
  values = report.as_json(found, report.Job())
  assert values["fits"] is False
  assert "estimates" not in values
