"""Audio files as waveforms: any rate, several channels, silence, and what is no audio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import run_in

from condenser.data import Arrays, DataModule, Noise, TimeShift, audiofolder, fsdd, uniform
from condenser.deploy.predict import Model, check
from condenser.errors import CondenserError

soundfile = pytest.importorskip("soundfile")


def tone(hertz: float, rate: int = 8000, seconds: float = 0.4) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def write(path: Path, wave: np.ndarray, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype="PCM_16")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Ten clips of each of two words that differ in their pitch."""
    for number in range(10):
        for word, hertz in (("high", 1500), ("low", 300)):
            write(tmp_path / f"words/{word}/{number}.wav", tone(hertz + 20 * number))
    return tmp_path / "words"


def loaded(splits: Any) -> torch.Tensor:
    parts = [splits.train, splits.test]
    assert all(isinstance(part, Arrays) for part in parts)
    return torch.cat([part.images for part in parts]).flatten(1)


def test_other_rates_and_channels_become_one(words: Path) -> None:
    wave = tone(440, 16000)
    write(words / "low/other.flac", wave, 16000)
    write(words / "high/both.wav", np.stack([tone(1000), np.zeros(3200)], axis=1))
    splits = audiofolder(words, seconds=0.5)
    assert splits.classes == ["high", "low"] and len(loaded(splits)) == 22
    assert splits.train.images.shape[-1] == 4000
    rows = loaded(splits)
    for expected in (tone(440), tone(1000) / 2):
        error = (rows[:, 100:3100] - torch.from_numpy(expected)[100:3100]).abs().amax(1)
        assert error.min() < 2e-3
    assert splits.notes == ("files of 16000 Hz are resampled to 8000 Hz",)


def test_silence_and_long_clips_are_kept_and_named(words: Path) -> None:
    write(words / "low/quiet.wav", np.zeros(4000))
    write(words / "low/long.wav", tone(300, seconds=2))
    notes = audiofolder(words, seconds=1).notes
    assert notes == (
        "1 file is silent, every sample 0: low/quiet.wav",
        "1 file is cut to the first 1 s: low/long.wav",
    )


def test_what_is_no_audio_is_named(words: Path) -> None:
    (words / "low/a.wav").write_text("no audio")
    write(words / "low/b.wav", np.zeros(0))
    soundfile.write(words / "low/c.wav", np.full(10, np.nan), 8000, subtype="FLOAT")
    (words / "low/d.wav").symlink_to("nowhere")
    with pytest.raises(CondenserError) as caught:
        audiofolder(words)
    said = str(caught.value)
    assert "4 files are no audio that can be used: low/a.wav (Format not recognised" in said
    assert "low/b.wav (no samples), low/c.wav (NaN or infinite values), low/d.wav (No such" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0}, "data.source.seconds=0: must be > 0"),
        ({"rate": 10}, "data.source.rate=10: must be samples a second"),
    ],
)
def test_wrong_settings_are_named(words: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CondenserError, match=message):
        audiofolder(words, **settings)


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    for word in ("a", "b"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "x.png").write_bytes(b"")
    with pytest.raises(CondenserError, match="must be a folder of audio files for each class"):
        audiofolder(tmp_path)
    with pytest.raises(CondenserError, match=r"FSDD/recordings/DIGIT_SPEAKER_TAKE.wav"):
        fsdd(tmp_path)


def test_fsdds_takes_0_to_4_are_the_test_set(tmp_path: Path) -> None:
    for digit in range(3):
        for take in (0, 4, 5, 12):
            write(tmp_path / f"FSDD/recordings/{digit}_ann_{take}.wav", tone(100 * (digit + take)))
    splits = fsdd(tmp_path)
    assert (len(splits.train.targets), len(splits.test.targets)) == (6, 6)
    assert splits.test.targets.bincount().tolist() == [2, 2, 2] and len(splits.classes) == 10


def test_augmentations_depend_on_seed_sample_and_view_alone() -> None:
    waves, index = torch.randn(6, 1, 1, 500), torch.arange(6)
    for augment in (TimeShift(50), Noise(0, 10)):
        made = augment(waves, uniform(3, index, 1, 0, augment.draws))
        some = torch.tensor([4, 1])
        alone = augment(waves[some], uniform(3, some, 1, 0, augment.draws))
        assert torch.equal(made[some], alone) and not torch.equal(made, waves)
        assert not torch.equal(made, augment(waves, uniform(3, index, 2, 0, augment.draws)))


def test_a_shift_moves_and_noise_is_as_loud_as_it_says() -> None:
    waves = torch.arange(1.0, 9.0).view(1, 1, 8)
    shift = TimeShift(3)
    ends = [shift(waves, torch.tensor([[u]])).flatten().tolist() for u in (0.0, 0.999, 0.5)]
    assert ends[0] == [4, 5, 6, 7, 8, 0, 0, 0] and ends[1] == [0, 0, 0, 1, 2, 3, 4, 5]
    assert ends[2] == waves.flatten().tolist()
    loud = torch.stack([torch.ones(1, 20_000), torch.zeros(1, 20_000)])
    made = Noise(6, 26)(loud, torch.tensor([[0.5, 0.1, 0.2], [0.5, 0.3, 0.4]]))
    power = (made - loud).square().mean((1, 2))
    assert 10 * power[0].log10() == pytest.approx(-16, abs=0.2) and power[1] == 0


def test_padding_stays_zero_in_batches(words: Path) -> None:
    settings = {"batch_size": 4, "mean": [0.0], "std": [1.0], "augment": [TimeShift(10)]}
    data = DataModule("words", lambda root: audiofolder(root, seconds=0.5), words, **settings)
    batch = next(iter(data.train_dataloader()))
    assert (batch.image[..., 3300:] == 0).all() and batch.image[..., 100:3000].any()


def test_from_files_to_a_file_that_was_measured(words: Path, tmp_path: Path) -> None:
    run = [
        *("data=audiofolder", f"data.root={words}", "data.source.seconds=0.5", "optim.epochs=1"),
        *("optim.batch_size=8", "recipe=[student,quantize,export]", "data.limit=null"),
        *("student.model.width=8", "student.model.blocks=1", "export.measure=false"),
    ]
    records = run_in(tmp_path / "runs", *run)
    assert [record["stage"] for record in records] == ["student", "quantize", "export"]
    bundle = tmp_path / "runs/default/test/bundle"
    facts = json.loads((bundle / "model.json").read_text())
    assert facts["input"]["audio"] == {"rate": 8000, "channels": "their mean"}
    model = Model(bundle)
    first = sorted(words.glob("*/*.wav"))[0]
    assert model.load(first).shape == (1, *facts["input"]["image"])
    assert check(model) == 0 and model.classify(first)[0][0] in ("high", "low")
    write(tmp_path / "other.wav", tone(300, 16000), 16000)
    with pytest.raises(ValueError, match="other.wav: 16000 samples a second; must be 8000"):
        model.load(tmp_path / "other.wav")


def test_an_interrupted_epoch_of_waveforms_goes_on_where_it_stopped(words: Path) -> None:
    settings = {"batch_size": 4, "mean": [0.0], "std": [1.0], "augment": [TimeShift(9), Noise()]}
    whole, again = (
        DataModule("words", lambda root: audiofolder(root, seconds=0.5), words, **settings)
        for _ in range(2)
    )
    batches = list(whole.train_dataloader())
    loader = again.train_dataloader()
    loader.load_state_dict({"epoch": 0, "step": 2})
    for before, after in zip(batches[2:], loader, strict=True):
        assert torch.equal(before.image, after.image) and torch.equal(before.index, after.index)
