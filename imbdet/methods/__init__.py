"""How a method declares its name and its options: registries of assigners, samplers and losses."""

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
