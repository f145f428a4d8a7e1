"""This version reads the files of version 0.1: names in checkpoints, records, a config."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from imbdet.config import load_config
from imbdet.records import read_histograms
from imbdet.records.record_columns import SCHEMA
from tests.modeling.conftest import small_config

ASSETS = Path(__file__).parent / "assets"
STATES = json.loads((ASSETS / "states.json").read_text())
OTHERS = ("backbone", "head.", "roi_heads.mask_head", "proposal_generator.rpn_head")


@pytest.fixture(scope="module")
def build():
    from imbdet.modeling import build_model

    return build_model


@pytest.mark.parametrize("name", STATES)
def test_what_a_checkpoint_keeps_has_the_same_name(name, build):
    earlier = STATES[name]
    model = build(small_config(earlier["kind"], *earlier["keys"]))
    state = model.state_dict()
    shapes = {key: list(v.shape) for key, v in state.items() if not key.startswith(OTHERS)}
    assert shapes == earlier["state"]
    for key in shapes:
        state[key] = torch.full_like(state[key], 3)
    model.load_state_dict(state, strict=True)
    assert all((model.state_dict()[key] == 3).all() for key in shapes)


def test_records_are_read():
    (file,) = (ASSETS / "records" / "samples").iterdir()
    table = pq.read_table(file)
    for column in table.schema:  # there may be more by now
        assert column.equals(SCHEMA.field(column.name))  # meanings are prose, and may say more
    assert table.schema.metadata.items() >= SCHEMA.metadata.items()
    histograms = read_histograms(ASSETS / "records" / "histograms")
    assert histograms.pop("num_batches") == 2
    for site in ("rpn", "roi_heads"):
        rows = table.filter(
            [s == site and p for s, p in zip(*columns(table, "site", "is_positive"), strict=True)]
        )
        assert len(rows) == histograms[f"{site}/pos_chosen"].sum() > 0


def columns(table, *names):
    return (table[name].to_pylist() for name in names)


def test_a_config_with_every_key_is_read():
    cfg = load_config(str(ASSETS / "config.yaml"))
    assert yaml.safe_load(cfg.dump()) == yaml.safe_load(load_config().dump())
