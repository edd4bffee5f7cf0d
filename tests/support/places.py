"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC, CONF, EXPERIMENTS = ROOT / "src", ROOT / "conf", ROOT / "experiments"
GOLDENS, STANDINS = ROOT / "tests/golden", ROOT / "tests/support/standins"

# conf/model's networks of inputs that are no images, by the first word of their names
SPEECH = ("bc_resnet", "ds_cnn", "tc_resnet")
ITEMS = ("mf", "two_towers", "neumf", "sasrec")
IDS = ("decoder_", "translator_", "bag", "bilstm", "fasttext", "text_", *ITEMS)
SEQUENCES = (*IDS, *SPEECH)
