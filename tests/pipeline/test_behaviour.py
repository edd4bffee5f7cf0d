"""measure: what is asked for is in the records, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running import config_of, run_in

from condenser.errors import ConfigError
from condenser.pipeline.key import digest

SMALL = ("data.limit=200", "model@teacher.model=mlp_32", "optim.epochs=2")
MEMORISED = (
    *("data.limit=60", "model@teacher.model=mlp_128", "optim.epochs=20", "optim.lr=0.02"),
    *("optim.batch_size=60", "recipe=[teacher]", "measure=privacy", "measure.privacy.shadows=2"),
)


def entries(runs: Path, word: str) -> dict[Path, int]:
    """Entries of the store, and when they were made."""
    found = (runs / ".store").glob(f"{word}-*")
    return {path: path.stat().st_mtime_ns for path in found if path.is_dir()}


def test_an_overfitted_network_gives_its_members_away(tmp_path: Path) -> None:
    (record,) = run_in(tmp_path, *MEMORISED)
    assert record["privacy/members"] == 60 == record["privacy/others"]
    assert record["privacy/loss/auc"] > 0.6 and record["privacy/lira/auc"] > 0.7
    assert record["measure/privacy/shadows"] == 2 and "measure/privacy/shadows" in record.settings
    assert len(entries(tmp_path, "shadow")) == 2 and len(entries(tmp_path, "privacy")) == 1


def test_a_stage_is_the_same_with_and_without_and_measured_once(tmp_path: Path) -> None:
    recipe = (*SMALL, "recipe=[teacher,prune,export]", "export.threads=1")
    plain = run_in(tmp_path, *recipe)
    asked = run_in(tmp_path, *recipe, "measure=privacy", "measure.privacy.samples=50")
    for before, after in zip(plain, asked, strict=True):
        assert after["cost/reused"] and before["key"] == after["key"]
        new = ("privacy/", "measure/", "measured")
        same = {key: value for key, value in after.items() if not key.startswith(new)}
        assert same == {**before, "cost/reused": True, "config": after["config"]}
        assert after["privacy/members"] == 50
    made = entries(tmp_path, "privacy")
    assert len(made) == 3  # of the deployed file too
    again = run_in(tmp_path, *recipe, "measure=privacy", "measure.privacy.samples=50")
    assert made == entries(tmp_path, "privacy")
    assert [r["privacy/loss/auc"] for r in again] == [r["privacy/loss/auc"] for r in asked]


def test_a_run_that_asks_for_none_is_known_as_before() -> None:
    config = config_of("data=digits")
    before = {key: value for key, value in config.items() if key != "measure"}
    assert digest(config) == digest(before) != digest(config_of("data=digits", "measure=privacy"))


def test_the_cost_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path, *SMALL, "recipe=[teacher]", "measure=privacy", "measure.privacy.shadows=2")
    lines = capsys.readouterr().out.splitlines()
    told = [i for i, line in enumerate(lines) if line.startswith("measure: privacy takes about")]
    assert len(told) == 1 and "400 samples, 1 networks; 2 reference networks" in lines[told[0]]
    assert all("teacher" not in line for line in lines[: told[0]])


def test_reference_networks_come_in_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"measure.privacy.shadows=3: must be even"):
        run_in(tmp_path, "recipe=[teacher]", "measure=privacy", "measure.privacy.shadows=3")


def test_data_of_several_labels_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (40, 8, 8), np.uint8), rng.integers(0, 2, (40, 3))
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    words = ("data=arrays", f"data.root={tmp_path}/mine.npz", "data.limit=null", "recipe=[student]")
    with pytest.raises(ConfigError, match="measure=privacy: must be none for data that is multi"):
        run_in(tmp_path / "runs", *words, "measure=privacy")
