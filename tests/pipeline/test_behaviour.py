"""measure: what is asked for is in the records, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from running import config_of, run_in
from safetensors.torch import load_file

from condenser.errors import ConfigError
from condenser.measure.behaviour.corruptions import CORRUPTIONS
from condenser.pipeline.behaviour.robustness import fitted, other_data
from condenser.pipeline.key import digest
from condenser.runs.records import Record

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
    recipe = (*SMALL, "recipe=[teacher,prune]")
    plain = run_in(tmp_path, *recipe)
    asked = run_in(tmp_path, *recipe, "measure=privacy", "measure.privacy.samples=50")
    for before, after in zip(plain, asked, strict=True):
        assert after["cost/reused"] and before["key"] == after["key"]
        new = ("privacy/", "measure/", "measured")
        same = {key: value for key, value in after.items() if not key.startswith(new)}
        assert same == {**before, "cost/reused": True, "config": after["config"]}
        assert after["privacy/members"] == 50
    made = entries(tmp_path, "privacy")
    assert len(made) == 2
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


def test_all_sections_of_every_stage_and_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("captum", reason="the extra attribution is not installed")
    quick = ("measure.privacy.samples=40", "measure.robustness.images=20")
    quick += ("measure.robustness.attacked=10", "measure.attribution.images=10")
    small = ("data.limit=200", "model@teacher.model=lenet5", "optim.epochs=1")
    recipe = "recipe=[teacher,quantize,export]"
    dense, rounded, file = run_in(tmp_path, *small, recipe, "measure=behaviour", *quick)
    outputs = {"privacy/loss/auc", "robustness/accuracy", "robustness/aurc", "robustness/ood_noise"}
    gradients = {"robustness/fgsm", "robustness/pgd"}
    beside = {"robustness/mce", "churn/changed", "churn/worst_class"}
    seen = {f"attribution/{m}/spearman" for m in ("gradient", "integrated", "gradcam")}
    assert (outputs | gradients) <= {*dense} and not (beside | seen) & {*dense}
    assert (outputs | gradients | beside | seen) <= {*rounded}
    assert (outputs | beside) <= {*file} and not (gradients | seen) & {*file}
    for record in (dense, rounded, file):
        assert record["robustness/images"] == 20
        assert record["robustness/accuracy"] == pytest.approx(
            np.mean([record[f"robustness/severity_{s}"] for s in range(1, 6)])
        )
        assert record["robustness/ece_shift"] == pytest.approx(
            record["robustness/ece"] - record["robustness/ece_clean"]
        )
    errors = [[1 - r[f"robustness/{name}"] for name in CORRUPTIONS] for r in (rounded, dense)]
    assert rounded["robustness/mce"] == pytest.approx(np.divide(*errors).mean())
    assert rounded["attribution/gradient/spearman"] > rounded["attribution/gradient/random"] + 0.2
    assert file["churn/changed"] == pytest.approx(1 - agreement(dense, file, tmp_path))
    assert (tmp_path / "default/test/1-quantize/attribution.png").read_bytes()[1:4] == b"PNG"


def agreement(one: Record, other: Record, runs: Path) -> float:
    """Share of equal answers to the test images, from what the store keeps of both."""
    folders = [runs / ".store" / f"{r['stage']}-{r['key']}" for r in (one, other)]
    answers = [load_file(folder / "test_logits.safetensors")["logits"] for folder in folders]
    return (answers[0].argmax(1) == answers[1].argmax(1)).double().mean().item()


def test_other_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = ("recipe=[teacher]", "measure=robustness", "data.root=null")
    with pytest.raises(ConfigError, match="ood=mnst: unknown; did you mean mnist"):
        run_in(tmp_path, *words, "measure.robustness.ood=[mnst]")
    shown = torch.randint(0, 256, (7, 3, 12, 10)).byte()
    other = fitted(other_data("digits", None), shown)
    assert other.shape == shown.shape and other.dtype == torch.uint8
    assert other[:, 0].equal(other[:, 2])  # grey images
