"""Training a flow on a folder of pictures. Imports nothing of the page (no gradio)."""

from glow_app.training.config import TrainConfig
from glow_app.training.data import PackedPictures, from_celeba, from_source
from glow_app.training.distributed import World, join_world
from glow_app.training.evaluation import held_out_bits
from glow_app.training.loop import train

__all__ = [
    "PackedPictures",
    "TrainConfig",
    "World",
    "from_celeba",
    "from_source",
    "held_out_bits",
    "join_world",
    "train",
]
