# make demo    a full run on embedded data, its table and curve
# make test    the whole suite
# make test-fast    the part of it that trains nothing large and starts no process
# make fuzz    what the suite has a part of, whole: hours; N=200 random recipes
# make kills   thirty kills of a run, its export and its report: nothing of them is left to see
# make lint    style and types
# make docs    the pages of docs/ with a reference from docstrings, into site/; every warning is an error
# make zoo     networks of torchvision, timm and transformers halved, in int8, deployed: docs/zoo.md
# make gpu     is the GPU's path right, its step beside the field's, then experiments/QUEUE.md: DATA=FOLDER, 9 minutes; it goes on
# make bench   how fast the training step is, beside a plain PyTorch loop
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# some tests wait for processes of theirs: one worker more than there are cores
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else "auto")')
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test test-fast fuzz kills lint docs zoo bench gpu clean

setup: $(VENV)/installed

$(VENV)/installed: $(wildcard requirements*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; say which with make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r requirements.txt
	@touch $@

demo: setup
	@$(RUN) src/train.py experiment=demo
	@$(RUN) src/report.py runs/demo

test: setup
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist worksteal

test-fast: setup
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal -m "not fuzz and not slow"

fuzz: setup
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal -m fuzz
	@OMP_NUM_THREADS=1 FUZZ=$(or $(N),200) $(RUN) -m pytest -n auto --dist worksteal tests/fuzz tests/hostile/test_values.py

kills: setup
	@OMP_NUM_THREADS=1 KILLS=$${KILLS:-30} $(RUN) -m pytest tests/cli/test_kills.py

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: setup
	@$(RUN) bench/step.py
	@$(RUN) bench/objectives.py
	@$(RUN) bench/bookkeeping.py
	@$(RUN) bench/population.py --sweep

gpu: setup
	@$(RUN) bench/gpu.py $(if $(DATA),--data $(DATA)) $(if $(MINUTES),--minutes $(MINUTES))

zoo: setup
	@OMP_NUM_THREADS=1 $(RUN) bench/zoo.py

clean:
	rm -rf $(VENV) runs site build
