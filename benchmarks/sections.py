"""What the benchmarks share: sections of measurements that print tables."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

# A section measures and returns rows; its docstring is the table's title.
Section = Callable[[argparse.Namespace], list[dict[str, Any]]]


def section_parser(
    description: str | None, sections: Mapping[str, Section], *, cpu_only: bool = False
) -> argparse.ArgumentParser:
    """A parser with the options that :func:`run_sections` reads."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections))
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each process")
    if cpu_only:
        parser.set_defaults(device="cpu")
    else:
        parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser


def run_sections(
    sections: Mapping[str, Section], args: argparse.Namespace, **setting: Any
) -> dict[str, Any]:
    """Run the sections that the command line names, and print their tables.

    Args:
        sections: sections by name.
        args: command line with ``only``, ``threads``, ``device`` and ``json``.
        setting: further facts about the measurement.

        Returns:
            The rows of each section, and the "setting".
    """
    torch.set_num_threads(args.threads)
    setting = {
        "command": " ".join(sys.argv),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.machine(),
        "threads": args.threads,
        **setting,
    }
    print(tabulate(setting.items(), tablefmt="plain"))
    results: dict[str, Any] = {"setting": setting}
    for name in args.only:
        results[name] = sections[name](args)
        print(f"\n{sections[name].__doc__}")
        print(tabulate(results[name], headers="keys", floatfmt=",.3f", intfmt=","), flush=True)
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))
    return results
