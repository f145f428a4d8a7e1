"""How a part of a detector hands over what its samples paid."""

from collections.abc import Callable

from torch import nn

from imbdet.records import SampleRecord


class RecordsSamples(nn.Module):
    """Mixin: gives the record of each training batch to ``record_sink``, if one is set.

    Attributes:
        record_sink: called with each record; None, the default, is off.
    """

    record_sink: Callable[[SampleRecord], None] | None = None

    def record(self, samples: SampleRecord) -> None:
        """Hand a record over."""
        if self.record_sink is not None:
            self.record_sink(samples)
