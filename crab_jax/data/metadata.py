"""features.json and dataset_info.json, for tensorflow_datasets to read.

`tfds.folder_dataset.write_metadata` would need TensorFlow to check the data;
this writes the same two files through what it calls before.
"""

from crab_jax import files
from crab_jax.data import records
from crab_jax.data import task_files
from crab_jax.data import tasks

INFO = "dataset_info.json"
# What `tfds.core.MetadataDict` is stored as: the row of the table of tasks.
ROW = "metadata.json"


def write_row(root: files.Path, task: tasks.Task) -> None:
  """Writes the row that the records of a dataset were made by."""
  folder = records.folder(root, task.name)
  files.write_json(folder / ROW, task_files.to_json({task.name: task}))


def write(root: files.Path, task: tasks.Task, splits: dict[str, dict]) -> None:
  """Writes the metadata of one dataset.

  Args:
    root: the folder of the prepared datasets.
    task: its row of the table of tasks.
    splits: split -> counts, with "shard_records" (the records of each shard)
      and "bytes".
  """
  # Not above: those who only read are spared its half a second.
  import tensorflow_datasets as tfds

  write_row(root, task)  # first: where INFO is, the row is
  folder = records.folder(root, task.name)
  identity = tfds.core.dataset_info.DatasetIdentity(
    name=records.NAME,
    version=tfds.core.Version(records.VERSION),
    data_dir=str(folder),
    module_name="",
    config_name=task.name,
    config_description=f"{task.name}, of the family {task.family}",
  )
  info = tfds.core.DatasetInfo(
    builder=identity,
    features=records.features(),
    description="AV-UIE v2, prepared by crab_jax: frames and audio as fed.",
  )
  info.set_file_format(tfds.core.FileFormat.TFRECORD)
  template = tfds.core.ShardedFileTemplate(
    dataset_name=records.NAME, data_dir=folder, filetype_suffix="tfrecord"
  )
  rows = [
    tfds.core.SplitInfo(
      name=name,
      shard_lengths=counts["shard_records"],
      num_bytes=counts["bytes"],
      filename_template=template,
    )
    for name, counts in splits.items()
  ]
  info.set_splits(tfds.core.splits.SplitDict(rows))
  info.write_to_directory(folder)
