"""Registries in which assigners, samplers and losses declare their names and their options."""

from imbdet.methods.registry import (
    ASSIGNERS,
    BOX_LOSSES,
    CLS_LOSSES,
    NEGATIVE_SAMPLERS,
    POSITIVE_SAMPLERS,
    REGISTRIES,
    WEIGHTINGS,
    AssignerMethod,
    BoxLossMethod,
    ClsLossMethod,
    Method,
    Registry,
    SamplerMethod,
    WeightingMethod,
)

__all__ = [
    "ASSIGNERS",
    "BOX_LOSSES",
    "CLS_LOSSES",
    "NEGATIVE_SAMPLERS",
    "POSITIVE_SAMPLERS",
    "REGISTRIES",
    "WEIGHTINGS",
    "AssignerMethod",
    "BoxLossMethod",
    "ClsLossMethod",
    "Method",
    "Registry",
    "SamplerMethod",
    "WeightingMethod",
]
