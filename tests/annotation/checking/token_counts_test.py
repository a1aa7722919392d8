"""Tokens of texts."""

import pytest
import tokenizers
from tokenizers import models
from tokenizers import pre_tokenizers

from crab_jax import errors
from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import truths
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.teaching import prompts
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from tests.annotation import sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A tokenizer that has a token for each character that is no space."""
  folder = tmp_path_factory.mktemp("model")
  letters = {chr(code): code for code in range(33, 127)}
  engine = tokenizers.Tokenizer(models.BPE(vocab=letters, merges=[]))
  engine.pre_tokenizer = pre_tokenizers.Whitespace()
  engine.save(str(folder / token_counts.FILE))
  return folder


def test_a_tokenizer_counts_exactly(folder):
  count = token_counts.exact(folder)
  assert count("A dog barks.") == 10
  assert count("") == 0


def _context(**more):
  truth = truths.Truth(answers.Answer("label", label="dog"))
  item = items.Item("a", rows.Row("here"), "ks", truth, {}, None, 10.0)
  return findings.Context(item, tasks.Tasks()["ks"], frozenset(), **more)


def test_the_length_of_a_target_is_that_of_the_tokenizer(folder):
  text = " ".join(["plain words of a sentence"] * 9)
  found = checks.run(text, _context())
  assert "length" not in {finding.code for finding in found}
  found = checks.run(text, _context(count=token_counts.exact(folder)))
  (long,) = [finding for finding in found if finding.code == "length"]
  # 21 letters nine times, and "<answer>dog</answer>.".
  assert long.reason == "shorter: the target has 210 tokens"


def test_a_dry_run_counts_the_text_of_a_request(folder, tmp_path):
  sources.write_media(tmp_path, 1)
  row = {**sources.row("ks", 0), "split": "train"}
  found, _ = schema.parse([("line 1", row)], tasks.Tasks())

  def tokens_in(**settings):
    inputs = run.Inputs(
      found, [], tmp_path, tmp_path / "out", tasks.Tasks(),
      settings_lib.Settings(writer="teacher", **settings),
      settings_lib.Teaching("http://localhost/v1", "m"), dry_run=True,
    )  # fmt: skip
    return run.annotate(inputs, lambda text: None)["all"]["tokens_in"]

  media = 10 * 258 + 5 * 32
  assert tokens_in() == media + 600
  texts = prompts.load(None).texts
  letters = len("".join((texts["system"], texts["reason"], texts["reply"])))
  assert letters * 0.7 < tokens_in(tokenizer=str(folder)) - media < 2 * letters


@pytest.mark.parametrize("text", [None, "{", "[]", '{"model": 1}'])
def test_a_folder_without_a_tokenizer_is_named(tmp_path, text):
  if text is not None:
    (tmp_path / token_counts.FILE).write_text(text)
  with pytest.raises(errors.UserError, match=r"--tokenizer.*tokenizer\.json"):
    token_counts.exact(tmp_path)
