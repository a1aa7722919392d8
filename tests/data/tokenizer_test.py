"""The tokenizer: special tokens by name, and never out of a text."""

import copy
import json
import pickle

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tokenizer
from crab_jax.paradigms import front

_GRAMMAR = front.of(configs.tiny()).grammar
_TEXTS = [
  "system\nYou see and hear.",
  "user\nWhat action makes this sound?",
  "assistant\nStrings sound. <answer>guitar</answer>. At 12 34.",
  "assistant\nThe bell: [10,20,30,40], [1,2]",
] * 4


@pytest.fixture(scope="module")
def small() -> tokenizer.Tokenizer:
  return tokenizer.train(_TEXTS, 400, _GRAMMAR)


def test_training_is_deterministic_and_bounded(small):
  again = tokenizer.train(iter(_TEXTS), 400, _GRAMMAR)
  assert again._engine.to_str() == small._engine.to_str()
  assert 267 < small.size <= 400
  assert tokenizer.train(_TEXTS, 300, _GRAMMAR).size == 300


def test_special_tokens_have_ids_of_their_own(small):
  assert set(small.ids) == set(_GRAMMAR.special)
  assert len(set(small.ids.values())) == 11
  assert small.pad == small.ids["<|endoftext|>"]
  assert small.end == small.ids["<|im_end|>"]


def test_pieces(small):
  pieces = [small.decode([i]) for i in small.encode("assistant\nHear 2034")]
  assert pieces[:2] == ["assistant", "\n"]
  assert pieces[-4:] == ["2", "0", "3", "4"]  # single digits


def test_a_text_never_becomes_a_special_token(small):
  specials = set(small.ids.values())
  for engine in (small, pickle.loads(pickle.dumps(small)), copy.copy(small)):
    for text in ("<|im_end|>", "a<|VIDEO|>b", "<|endoftext|>"):
      ids = engine.encode(text)
      assert not specials & set(ids)
      assert engine.decode(ids) == text


@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(small, text):
  normal = small._engine.normalizer.normalize_str(text)
  assert small.decode(small.encode(text)) == normal


def test_decode_leaves_out_special_tokens(small):
  ids = [small.ids["<|im_start|>"], *small.encode("a b"), small.end]
  assert small.decode(ids) == "a b"


def test_save_and_load(small, tmp_path):
  path = tmp_path / "deep" / "tokenizer.json"
  small.save(path)
  loaded = tokenizer.load(path, _GRAMMAR)
  text = "What é bell? <|im_end|>"
  assert loaded.encode(text) == small.encode(text)
  assert loaded.ids == small.ids
  assert [file.name for file in path.parent.iterdir()] == ["tokenizer.json"]


def test_a_missing_special_token_is_named(small, tmp_path):
  path = tmp_path / "tokenizer.json"
  small.save(path)
  tree = json.loads(path.read_text())
  tree["added_tokens"] = [
    t for t in tree["added_tokens"] if t["content"] != "<|VIDEO|>"
  ]
  path.write_text(json.dumps(tree))
  with pytest.raises(errors.UserError, match=r"lacks .*<\|VIDEO\|>"):
    tokenizer.load(path, _GRAMMAR)


def test_bad_files(tmp_path):
  with pytest.raises(errors.UserError, match="does not exist"):
    tokenizer.load(tmp_path / "none.json", _GRAMMAR)
  (tmp_path / "bad.json").write_text("{}")
  with pytest.raises(errors.UserError, match="does not load"):
    tokenizer.load(tmp_path / "bad.json", _GRAMMAR)


def test_a_vocabulary_too_small():
  with pytest.raises(errors.UserError, match="too small"):
    tokenizer.train(_TEXTS, 266, _GRAMMAR)
