"""Names of tensors, for people."""

from crab_jax.weights import names


def test_listing_joins_layers():
  found = [f"a.{i}.b" for i in (0, 1, 2, 5)] + ["c", "d.7.e.0.f"]
  assert names.listing(found) == "a.{0-2,5}.b, c, d.7.e.0.f"
