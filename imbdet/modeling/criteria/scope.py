"""Over which samples one ranking runs."""

from torch import Tensor

from imbdet.structures import Samples

SCOPES = ("batch", "image")


def scope_arguments(scope: str, samples: Samples) -> dict[str, Tensor]:
    """What a ranking loss is told of its scope.

    Args:
        scope: "batch", one ranking of all samples, or "image", one of each image.
        samples: what is ranked.
    """
    return {"image_idxs": samples.image_idxs} if scope == "image" else {}
