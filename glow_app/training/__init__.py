"""Training a flow on a folder of pictures. Knows nothing of the page."""

from glow_app.training.data import DataError, PackedPictures, from_celeba, from_source
from glow_app.training.loop import TrainConfig, TrainingError, held_out_bits_per_dim, train

__all__ = [
    "DataError",
    "PackedPictures",
    "TrainConfig",
    "TrainingError",
    "from_celeba",
    "from_source",
    "held_out_bits_per_dim",
    "train",
]
