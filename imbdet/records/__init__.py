"""What is kept of a sample; it needs torch alone."""

from imbdet.records.sample_record import SampleRecord

__all__ = ["SampleRecord"]
