"""A model over several devices answers as on one."""

import dataclasses

import numpy as np
import pytest

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.training import generation_sharding
from crab_jax.training import sharding
from tests.data import small_records
from tests.models import random_parameters

_MODEL = small_records.MODEL


@pytest.fixture(scope="module")
def subject():
  records = [small_records.record("meld", i, "test") for i in range(5)]
  tokenizer = small_records.small_tokenizer(records)
  return records, tokenizer, random_parameters.draw(_MODEL)


def _texts(subject, layout):
  records, tokenizer, params = subject
  answerer = decode.Answerer(
    _MODEL,
    layout.shard(params),
    samples.sample_maker(tokenizer, small_records.DATA, _MODEL, tasks.Tasks()),
    tokenizer,
    configs.Evaluation(batch=3, max_new_tokens=4),
    layout,
  )
  return {row["id"]: row["text"] for row in answerer.answers(records)}


def _with_kv_heads(count):
  decoder = dataclasses.replace(_MODEL.decoder, heads=4, kv_heads=count)
  return dataclasses.replace(_MODEL, decoder=decoder)


@pytest.mark.slow
@pytest.mark.parametrize(
  "config",
  [
    configs.Mesh(),
    configs.Mesh(strategy="mesh"),
    configs.Mesh(strategy="mesh", tensor=4),
  ],
)
def test_all_devices_answer_as_one(subject, config):
  alone = _texts(subject, generation_sharding.one_device())
  assert len(alone) == 5
  layout = generation_sharding.local(config, _MODEL)
  assert layout.mesh.size == 8
  assert _texts(subject, layout) == alone


@pytest.mark.parametrize(
  ("kv_heads", "shape"),
  [
    (4, {"data": 2, "fsdp": 1, "tensor": 4}),
    (2, {"data": 4, "fsdp": 1, "tensor": 2}),
    (1, {"data": 1, "fsdp": 8, "tensor": 1}),
  ],
)
def test_devices_share_the_heads_if_they_can(kv_heads, shape):
  config = configs.Mesh(strategy="mesh", fsdp=8)
  layout = generation_sharding.local(config, _with_kv_heads(kv_heads))
  assert dict(layout.mesh.shape) == shape


def test_parts_and_rows():
  whole = generation_sharding.local(configs.Mesh(), _MODEL)
  assert dict(whole.mesh.shape) == {"data": 8, "fsdp": 1, "tensor": 1}
  assert whole.whole_rows(9) == 16
  split = generation_sharding.local(
    configs.Mesh(strategy="mesh", tensor=4), _MODEL
  )
  assert dict(split.mesh.shape) == {"data": 2, "fsdp": 1, "tensor": 4}
  assert split.whole_rows(9) == 10
  assert generation_sharding.one_device().whole_rows(9) == 9
  specs = sharding.parameter_specs(
    _MODEL, split.mesh.shape, sharding.rules_of(configs.Mesh())
  )
  table = np.zeros((_MODEL.decoder.vocabulary, _MODEL.decoder.width))
  tree = {"model": {"embed_tokens": {"weight": table}}}
  placed = split.shard(tree)["model"]["embed_tokens"]["weight"]
  assert placed.sharding.spec == specs["model/embed_tokens/weight"]
  assert placed.addressable_shards[0].data.size * 4 == table.size
