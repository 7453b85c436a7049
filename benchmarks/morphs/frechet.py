"""Fréchet distance between two sets of feature vectors."""

from __future__ import annotations

import numpy as np

__all__ = ["frechet_distance"]


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """The squared 2-Wasserstein distance between two normal distributions fitted to the sets.

    ‖μ₁ - μ₂‖² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), Dowson & Landau 1982; as Heusel et al. 2017 use it.
    Biased upwards for few vectors: only values of equally large sets may be compared.

    Args:
        features, reference: (N, K) and (M, K), N and M ≥ 2.
    """
    shift = features.mean(axis=0) - reference.mean(axis=0)
    c1, c2 = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (features, reference))
    # The eigenvalues of C₁C₂ are those of the symmetric C₁^½ C₂ C₁^½, and real.
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(min=0)).sum()
    return float(shift @ shift + np.trace(c1) + np.trace(c2) - 2 * cross)
