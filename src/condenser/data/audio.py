"""Audio files in one folder per class, and spoken digits, as waveforms in memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condenser.data.extras import EXTRAS
from condenser.data.samples import Arrays, Splits, splits_of
from condenser.data.torchvision_sets import folder
from condenser.data.tree import AUDIO, Tree, listed
from condenser.errors import ConfigError, DamagedError, shown
from condenser.files import reading

RECORDING = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
LONGEST = 60.0  # seconds of a clip
RATES = range(1000, 200_001)


def audiofolder(
    root: str | Path | None,
    rate: int = 8000,
    seconds: float = 1.0,
    test_fraction: float = 0.2,
) -> Splits:
    """root/train/CLASS/*.wav, and val and test or one of them alike; or root/CLASS/*.wav.

    Splits are those of ``imagefolder``. Files are .wav, .flac, .ogg and others of libsndfile;
    several channels become their mean; a clip begins at its file's begin, and is cut or padded with
    zeros to ``seconds``. Files of another rate are resampled (polyphase).

    Raises:
        ConfigError: the folder is not one of these; soundfile is not installed.
        DamagedError: files that cannot be read, are empty, or hold NaN; it names them.
    """
    path = folder(root)
    found = Tree(path, root, AUDIO).parts()
    parts = {part: labelled(classes) for part, classes in found.items()}
    return waveforms(
        path, root, parts, list(next(iter(found.values()))), rate, seconds, test_fraction
    )


def fsdd(root: str | Path | None, rate: int = 8000, seconds: float = 1.0) -> Splits:
    """3,000 spoken digits of 6 people, 8 kHz; takes 0 to 4 of each are the test set.

    Source: Jackson et al., Free Spoken Digit Dataset,
    https://github.com/Jakobovski/free-spoken-digit-dataset

    Raises:
        ConfigError: no FSDD/recordings/DIGIT_SPEAKER_TAKE.wav under the root.
        DamagedError: as ``audiofolder``.
    """
    place = folder(root) / "FSDD" / "recordings"
    found = {
        path.name: name
        for path in sorted(place.glob("*.wav"))
        if (name := RECORDING.fullmatch(path.name))
    }
    if not found:
        allowed = "a folder that holds FSDD/recordings/DIGIT_SPEAKER_TAKE.wav"
        raise ConfigError("data.root", root, allowed, "it is not there")
    parts: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for path, name in found.items():
        parts["test" if int(name[3]) < 5 else "train"][path] = int(name[1])
    return waveforms(place, root, parts, [str(digit) for digit in range(10)], rate, seconds)


def labelled(classes: Mapping[str, list[str]]) -> dict[str, int]:
    """File → number of its class."""
    return {path: number for number, files in enumerate(classes.values()) for path in files}


def waveforms(
    folder: Path,
    root: object,
    parts: Mapping[str, Mapping[str, int]],
    classes: list[str],
    rate: int,
    seconds: float,
    test_fraction: float = 0.2,
) -> Splits:
    """`Splits` of the files of each part, relative to ``folder``, with their classes' numbers."""
    if not 0 < seconds <= LONGEST:
        raise ConfigError("data.source.seconds", seconds, f"> 0 and <= {LONGEST:g}")
    if rate not in RATES:
        raise ConfigError("data.source.rate", rate, f"samples a second, {RATES[0]} to {RATES[-1]}")
    paths = [path for files in parts.values() for path in files]
    waves, warnings = read(folder, root, paths, rate, seconds)
    made, start = {}, 0
    for part, files in parts.items():
        end = start + len(files)
        targets = torch.tensor(list(files.values()))
        made[part] = Arrays(waves[start:end, None], targets, {"rate": rate})
        start = end
    return splits_of(made, classes, notes=warnings, test_fraction=test_fraction)


def read(
    folder: Path, root: object, paths: Iterable[str], rate: int, seconds: float
) -> tuple[Tensor, tuple[str, ...]]:
    """float32 (N, samples), zero padded, of these files; warnings."""
    soundfile = library()
    clips: list[tuple[str, np.ndarray, int, bool]] = []
    bad = {}
    for path in paths:
        try:
            clips.append((path, *heard(soundfile, folder / path, seconds)))
        except (DamagedError, OSError, soundfile.LibsndfileError) as error:
            bad[path] = getattr(error, "strerror", None) or str(error).partition(": ")[2]
    refuse(root, bad)
    length = round(seconds * rate)
    waves = torch.zeros(len(clips), length)
    for row, (_, wave, found, _) in enumerate(clips):
        made = torch.from_numpy(resampled(wave, found, rate)[:length])
        waves[row, : len(made)] = made
    silent = [path for path, wave, _, _ in clips if not wave.any()]
    cut = [path for path, _, _, longer in clips if longer]
    rates = {found for _, _, found, _ in clips}
    return waves, tuple(notes(silent, cut, rates, rate, seconds))


def heard(soundfile: Any, path: Path, seconds: float) -> tuple[np.ndarray, int, bool]:
    """The begin of a file as float32 (samples,), its rate, whether there is more of it.

    Raises:
        DamagedError: it is empty, or holds NaN or infinite values.
    """
    with reading(path) as handle, soundfile.SoundFile(handle) as file:
        wanted = math.ceil(seconds * file.samplerate)
        wave = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
        if not len(wave):
            raise DamagedError(f"{path}: no samples")
        if not np.isfinite(wave).all():
            raise DamagedError(f"{path}: NaN or infinite values")
        return wave, file.samplerate, file.frames > wanted


def resampled(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    """By a polyphase filter: scipy.signal.resample_poly."""
    if rate == to:
        return wave
    from scipy.signal import resample_poly

    share = Fraction(to, rate)
    return resample_poly(wave, share.numerator, share.denominator).astype(np.float32)


def refuse(root: object, bad: Mapping[str, str]) -> None:
    """DamagedError that lists the files that cannot be used, and why."""
    if bad:
        files = [f"{path} ({why})" for path, why in sorted(bad.items())]
        what = "1 file is no audio" if len(bad) == 1 else f"{len(bad):,} files are no audio"
        raise DamagedError(f"data.root={shown(root)}: {what} that can be used: {listed(files)}")


def notes(
    silent: list[str], cut: list[str], rates: set[int], to: int, seconds: float
) -> Iterator[str]:
    """Warnings of what is kept, though it may not be meant."""
    if silent:
        yield f"{counted(silent)} silent, every sample 0: {listed(silent, 3)}"
    if cut:
        yield f"{counted(cut)} cut to the first {seconds:g} s: {listed(cut, 3)}"
    if others := sorted(rate for rate in rates if rate != to):
        yield f"files of {', '.join(map(str, others))} Hz are resampled to {to} Hz"


def counted(files: list[str]) -> str:
    return "1 file is" if len(files) == 1 else f"{len(files):,} files are"


def library() -> Any:
    """soundfile, or how to install it."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, libsndfile is not
        hint = f"for audio: pip install {EXTRAS['audio']['soundfile']}"
        raise ConfigError("data", "audio", "installed", hint) from error
    return soundfile
