"""One step along the score: what a model that was trained on noisy images needs at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from models.glow import Glow

__all__ = ["denoise"]


def denoise(model: Glow, x: Tensor, sigma: float) -> Tensor:
    r"""The expected clean image given a noisy one, by Tweedie's formula (TarFlow, section 2.4).

    .. math:: \hat x = x + \sigma_x^2 \nabla_x \log p(x)

    Args:
        model: trained on images with Gaussian noise; with dequantised ones it means little.
        x: images (N, C, H, W) on [0, 1], as :meth:`Glow.g` returns them.
        sigma: deviation of the training noise for images on [-1, 1], so half of it on [0, 1].

    Returns:
        Images like ``x``; it takes about three times as long as decoding them.
    """
    with torch.enable_grad():
        noisy = x.detach().clone().requires_grad_()
        (score,) = torch.autograd.grad(model.log_prob(noisy).sum(), noisy)
    return x.detach() + (sigma / 2) ** 2 * score
