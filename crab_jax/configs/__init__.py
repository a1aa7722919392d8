"""Every setting of crab_jax: frozen dataclasses, checked when they are made.

The classes know nothing of gin; `gin_utils` binds them. A field's comment
gives its unit and its legal range; a contradiction raises ValueError with the
names of the fields concerned. `tiny`, `qwen2_5_omni_3b` and `qwen2_5_omni_7b`
are the three model sizes.

The names are handed on here, and only here, because a gin file says
`configs.Mesh`: where a class lies is no business of a user's file.
"""

from crab_jax.configs.decoding import Evaluation as Evaluation
from crab_jax.configs.encoder_projector import BeatsAudio as BeatsAudio
from crab_jax.configs.encoder_projector import ClipVision as ClipVision
from crab_jax.configs.experiment import Experiment as Experiment
from crab_jax.configs.ilora import ILora as ILora
from crab_jax.configs.mask_training import MaskTraining as MaskTraining
from crab_jax.configs.parallelism import Hosts as Hosts
from crab_jax.configs.parallelism import Mesh as Mesh
from crab_jax.configs.pipeline import Data as Data
from crab_jax.configs.pipeline import Rows as Rows
from crab_jax.configs.presets import (
  clip_beats_llama2_7b as clip_beats_llama2_7b,
)
from crab_jax.configs.presets import clip_beats_qwen2_7b as clip_beats_qwen2_7b
from crab_jax.configs.presets import qwen2_5_omni_3b as qwen2_5_omni_3b
from crab_jax.configs.presets import qwen2_5_omni_7b as qwen2_5_omni_7b
from crab_jax.configs.presets import tiny as tiny
from crab_jax.configs.presets import tiny_clip_beats as tiny_clip_beats
from crab_jax.configs.qwen2_5_omni import AudioTower as AudioTower
from crab_jax.configs.qwen2_5_omni import VisionTower as VisionTower
from crab_jax.configs.sam2 import SAM2_SIZES as SAM2_SIZES
from crab_jax.configs.sam2 import Sam2 as Sam2
from crab_jax.configs.schedule import Optimizer as Optimizer
from crab_jax.configs.schedule import Stage as Stage
from crab_jax.configs.serving import Serving as Serving
from crab_jax.configs.slots import Slots as Slots
from crab_jax.configs.sources import Preparation as Preparation
from crab_jax.configs.sources import World as World
from crab_jax.configs.study import Transfer as Transfer
from crab_jax.configs.thinker import Decoder as Decoder
from crab_jax.configs.thinker import Model as Model
from crab_jax.configs.units import COORDINATE_SIZE as COORDINATE_SIZE
from crab_jax.configs.units import HEARD_SAMPLES as HEARD_SAMPLES
from crab_jax.configs.units import SAMPLE_RATE as SAMPLE_RATE
from crab_jax.configs.units import AudioUnits as AudioUnits
from crab_jax.configs.units import VisionUnits as VisionUnits
from crab_jax.configs.upkeep import Logging as Logging
from crab_jax.configs.upkeep import Saving as Saving
from crab_jax.configs.upkeep import Validation as Validation
