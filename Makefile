# make demo: set up, train PaCa-ViT on digits over photographs, draw what it sees.
# make test: set up and run the tests. Nothing is needed but Python 3.11+.
# make test-slow: the same recipes at larger sizes, minutes each.
# make parity: set up PyTorch and compare with the models of transformers.
# make tpu-compile: set up the TPU's compiler and compile for eight TPU v5e.
# make compile-check: docs/compile-check.md anew, half an hour on two cores.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := runs/demo
CONFIG := configs/paca_vit/digits_on_photos.py:demo

.PHONY: demo test test-slow parity tpu-compile compile-check clean

demo: $(VENV)/.installed
	$(RUN) train.py --config=$(CONFIG) --workdir=$(DEMO)
	$(RUN) eval.py --config=$(CONFIG) --workdir=$(DEMO)
	$(RUN) -m tools.report --workdir=$(DEMO)

test: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/shellcheck .ci/run launch/*.sh launch/train.sbatch
	$(VENV)/bin/hadolint launch/Dockerfile
	$(RUN) -m pytest -n 2

test-slow: $(VENV)/.installed
	$(RUN) -m pytest -m slow

parity: $(VENV)/.parity
	$(RUN) -m pytest tests/parity

tpu-compile: $(VENV)/.tpu-compile
	$(RUN) -m pytest tests/tpu

compile-check: $(VENV)/.tpu-compile
	$(RUN) -m tools.compile_check --output=docs/compile-check.md

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), sys.version'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,test,text,flow,media,brain,chess,weights]'
	touch $@

$(VENV)/.parity: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[parity]'
	touch $@

$(VENV)/.tpu-compile: $(VENV)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[tpu-compile]'
	touch $@

clean:
	rm -rf $(VENV) runs
