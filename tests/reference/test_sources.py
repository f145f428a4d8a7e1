"""Declarations that are read from the sources are those of the imported modules."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imbdet
import imbdet.cli.config
from imbdet import methods
from imbdet.cli import main
from imbdet.config import load_config
from imbdet.config_files.keys import leaves
from imbdet.modeling.site_keys import ROI_HEADS, RPN
from imbdet.reference.declared_keys import FAMILIES
from imbdet.reference.declared_methods import read_registries
from imbdet.reference.default_values import default_config
from imbdet.reference.pieces import list_pieces
from imbdet.reference.sources import read_source

CONFIGS = Path(imbdet.__file__).parents[1] / "configs"


def test_defaults_are_those_of_a_config():
    assert list(leaves(default_config())) == list(leaves(load_config()))


def test_without_detectron2_imbdets_keys_are_known(monkeypatch, capsys):
    def read_imbdet_alone(package, file):
        return read_source(package, file) if package == "imbdet" else ""

    default_config.cache_clear()
    for module in (imbdet.reference.default_values, imbdet.cli.config):
        monkeypatch.setattr(module, "read_source", read_imbdet_alone)
    try:
        assert main(["config", "explain", "MODEL.CARL.K"]) == 0
        assert main(["config", "explain", "SOLVER.STEPS"]) == 2
    finally:
        default_config.cache_clear()
    out, err = capsys.readouterr()
    assert out.startswith("MODEL.CARL.K: 1.0 (at least 0)\n")
    assert "those of detectron2, which is not installed" in err


def test_every_registry_has_keys_that_name_its_methods():
    assert [family.registry for family in FAMILIES] == list(methods.REGISTRIES)
    defaults = dict(leaves(load_config()))
    nodes = {node for site in (ROI_HEADS, RPN) for node in site.nodes}
    for family in FAMILIES:
        assert set(family.nodes) <= nodes
        assert all(key in defaults for key in family.keys)


@pytest.mark.parametrize("registry", methods.REGISTRIES)
def test_methods_that_are_read_are_those_that_register(registry):
    registered = {
        name: dataclasses.replace(method, call=None)
        for name, method in methods.REGISTRIES[registry]
    }
    assert dict(read_registries()[registry]) == registered


@pytest.mark.parametrize("registry", methods.REGISTRIES)
def test_summaries_refer_to_nothing_that_stands_elsewhere(registry):
    summaries = [method.summary for _, method in methods.REGISTRIES[registry]]
    assert not [text for text in summaries if re.search(r"\b(such (?!as\b)|these\b)", text)]


def test_pieces_are_described_and_set_what_their_files_say():
    pieces = {piece.name: piece for piece in list_pieces()}
    assert set(pieces) == {p.stem for p in CONFIGS.glob("*.yaml") if p.stem[:5] != "Base-"}
    assert all(piece.description and piece.keys for piece in pieces.values())
    both = {"MODEL.CLS_LOSS.NAME": "ghm_c", "MODEL.BOX_LOSS.NAME": "ghm_r"}  # one by its base
    assert both.items() <= pieces["Loss-GHM"].keys.items()
    assert pieces["PISA"].address == "imbdet://PISA.yaml"


def test_the_list_of_methods_imports_no_heavy_library():
    code = (
        "import sys; from imbdet.cli import main; main(['methods']); "
        "main(['config', 'explain', 'MODEL.CARL', 'SOLVER.STEPS']); "
        "heavy = {'torch', 'detectron2', 'numpy', 'fvcore', 'matplotlib'} & sys.modules.keys(); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
