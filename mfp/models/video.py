"""Clip encoder: the picture encoder on every frame, then attention or an LSTM over time."""

from __future__ import annotations

import jax
from flax import linen as nn

from mfp.config import ImageModelConfig, VideoModelConfig
from mfp.models.attention import AdditiveAttention
from mfp.models.image import ImageEncoder
from mfp.models.recurrent import Recurrent


class VideoEncoder(nn.Module):
    """Frames to one vector and the attention weight of each frame."""

    config: VideoModelConfig
    image: ImageModelConfig

    @nn.compact
    def __call__(
        self, pixels_BxFxHxWxC: jax.Array, read_BxF: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """uint8 [B, F, H, W, C], bool [B, F] -> vector [B, hidden], weights [B, F].

        A frame that was not read changes nothing; a clip without frames has a zero vector.
        """
        batch, frames, *picture = pixels_BxFxHxWxC.shape
        # A clip is augmented as a whole: a frame that jumped aside would look like a cut.
        encoder = ImageEncoder(self.image, frames=frames, name="frame")
        folded = pixels_BxFxHxWxC.reshape(batch * frames, *picture)
        vectors, _ = encoder(folded, train=train)
        x_BxFxD = vectors.reshape(batch, frames, vectors.shape[-1])
        if self.config.temporal == "lstm":
            x_BxFxD = Recurrent("lstm", self.config.hidden, name="lstm")(x_BxFxD, read_BxF)
        else:
            x_BxFxD = nn.relu(nn.Dense(self.config.hidden, name="project")(x_BxFxD))
        return AdditiveAttention(self.config.hidden, name="attention")(x_BxFxD, read_BxF)
