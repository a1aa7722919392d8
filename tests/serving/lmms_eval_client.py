"""Rows of a task of lmms-eval through its class for OpenAI-style servers.

  PYTHON tests/serving/lmms_eval_client.py URL MODEL QUESTION VIDEO...

Run by a Python that has lmms-eval 0.7.3. Prints a JSON list: a video's reply, its
prompt tokens and its new tokens.
"""

import json
import sys

from lmms_eval.api.instance import Instance
from lmms_eval.models.chat.openai import OpenAICompatible


def main(url, model, question, *videos):
  client = OpenAICompatible(
    model_version=model, base_url=f"{url}/v1", api_key="none", max_retries=1,
    pass_video_url=True, num_concurrent=2,
  )  # fmt: skip
  client.task_dict = {"ave": {"test": [{"video": video} for video in videos]}}

  def to_messages(row):
    parts = [
      {"type": "video", "url": row["video"]},
      {"type": "text", "text": question},
    ]
    return [{"role": "user", "content": parts}]

  requests = [
    Instance(
      request_type="generate_until",
      arguments=(
        question, to_messages, {"max_new_tokens": 60}, index, "ave", "test"
      ),
      idx=0,
      metadata={"task": "ave", "doc_id": index, "repeats": 1},
    )
    for index in range(len(videos))
  ]  # fmt: skip
  replies = [
    (
      found.text,
      found.token_counts.input_tokens,
      found.token_counts.output_tokens,
    )
    for found in client.generate_until(requests)
  ]
  print(json.dumps(replies))


if __name__ == "__main__":
  main(*sys.argv[1:])
