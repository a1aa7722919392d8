"""Paths, and every way in which files are written: no other code knows.

What is found under its name is complete. A file is written under another name
beside its own and renamed (`writing` and what calls it); a folder too
(`new_folder`). A process that is killed leaves at most something named
`*.incomplete`, which the next writer of the same name takes over or removes.

  path                          text of a flag or a setting -> a path
  write_bytes, write_text, write_json, write_json_lines, writing, copy
                                one file, whole or not at all
  json_text, json_document, json_line
                                strict JSON, for those that write or send it
  write_together                several files of a folder, the last one last
  new_folder, replace_folder    a folder, whole or not at all
  begun_folder, finish_folder   a folder that several hosts write together
  Growing                       a file that survives interruptions, in parts
  append                        a line at the end of a log
  lock, claim                   one process of many
  make_folder, why_not_writable, remove, listing, find, is_file, is_same, link, size,
  sizes, stamp, stamps, age, touch, absolute
  read_bytes, reading, Ranges   a file, from its beginning, pieces of a large one
  Copies, local_folder          where libraries that know no bucket can read
  scratch, store                the local disk for a while; tensorstore's words

The functions take any path; those that commands hand down are `etils.epath`'s.
A path may be of a bucket, gs://BUCKET/NAME (`buckets`): what holds there
otherwise is said where it does.
"""

from crab_jax.files.folders import begun as begun
from crab_jax.files.folders import begun_folder as begun_folder
from crab_jax.files.folders import finish_folder as finish_folder
from crab_jax.files.folders import make_folder as make_folder
from crab_jax.files.folders import new_folder as new_folder
from crab_jax.files.folders import remove as remove
from crab_jax.files.folders import replace_folder as replace_folder
from crab_jax.files.folders import scratch as scratch
from crab_jax.files.folders import uploaded as uploaded
from crab_jax.files.folders import why_not_writable as why_not_writable
from crab_jax.files.folders import write_together as write_together
from crab_jax.files.growing import Growing as Growing
from crab_jax.files.growing import append as append
from crab_jax.files.growing import part_of as part_of
from crab_jax.files.json_values import json_document as json_document
from crab_jax.files.json_values import json_line as json_line
from crab_jax.files.json_values import json_text as json_text
from crab_jax.files.paths import Path as Path
from crab_jax.files.paths import absolute as absolute
from crab_jax.files.paths import find as find
from crab_jax.files.paths import is_file as is_file
from crab_jax.files.paths import is_remote as is_remote
from crab_jax.files.paths import is_same as is_same
from crab_jax.files.paths import listing as listing
from crab_jax.files.paths import path as path
from crab_jax.files.paths import refusal as refusal
from crab_jax.files.paths import size as size
from crab_jax.files.paths import sizes as sizes
from crab_jax.files.paths import stamp as stamp
from crab_jax.files.paths import stamps as stamps
from crab_jax.files.reads import Copies as Copies
from crab_jax.files.reads import Ranges as Ranges
from crab_jax.files.reads import local_folder as local_folder
from crab_jax.files.reads import read_bytes as read_bytes
from crab_jax.files.reads import reading as reading
from crab_jax.files.reads import store as store
from crab_jax.files.sharing import Locked as Locked
from crab_jax.files.sharing import age as age
from crab_jax.files.sharing import claim as claim
from crab_jax.files.sharing import lock as lock
from crab_jax.files.sharing import touch as touch
from crab_jax.files.writes import copy as copy
from crab_jax.files.writes import link as link
from crab_jax.files.writes import write_bytes as write_bytes
from crab_jax.files.writes import write_json as write_json
from crab_jax.files.writes import write_json_lines as write_json_lines
from crab_jax.files.writes import write_text as write_text
from crab_jax.files.writes import writing as writing
