"""One self-contained page about a run; needs neither torch nor detectron2."""

from imbdet.report.writing import write_report, write_suspects_page

__all__ = ["write_report", "write_suspects_page"]
