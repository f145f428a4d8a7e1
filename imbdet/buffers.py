"""Running quantities that a checkpoint of plain detectron2 does not have."""

from typing import Any

from torch import nn


class KeepsMissingBuffers(nn.Module):
    """Mixin: a persistent buffer that a loaded state lacks keeps its value.

    So that a state of detectron2, which lacks our buffers, loads with ``strict=True``.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            if name not in self._non_persistent_buffers_set:
                state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *args)
