# make demo: set up, train PaCa-ViT on digits over photographs, draw what it sees.
# make test: set up and run the quick tests. Nothing is needed but Python 3.11+.
# make test-all: those and the second tier, test-full, which starts processes or
#   compiles the papers' sizes; .ci/run runs both.
# make test-slow: the same recipes at larger sizes, minutes each.
# make test-newest: the quick tests with the newest versions that setup.py admits.
# Another Python: make test PYTHON=python3.13 (its folder is .venv-3.13).
# make parity: set up PyTorch and compare with the models of transformers.
# make test-export: set up ONNX and LiteRT and export every task to each format.
# make test-playground: set up Chromium (Debian, as root) and test the page of
#   tools/playground in it.
# make test-gcs: set up Google's client and a server of its storage on this
#   machine, and train, resume and evaluate in a bucket there.
# make tpu-compile: set up the TPU's compiler and compile for eight TPU v5e.
# make docs: build the site from docs/ and the docstrings, into site/.
# make compile-check: docs/compile-check.md anew, half an hour on two cores.

PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
NEWEST := $(VENV)-newest
EXTRAS := demo,test,text,flow,media,brain,chess,weights,detection,stablehlo,docs
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
RUN := $(VENV)/bin/python
DEMO := runs/demo
CONFIG := configs/paca_vit/digits_on_photos.py:demo

.PHONY: demo lint test test-all test-full test-slow test-newest parity
.PHONY: tpu-compile
.PHONY: test-export test-playground test-gcs compile-check docs clean

demo: $(VENV)/.installed
	$(RUN) train.py --config=$(CONFIG) --workdir=$(DEMO)
	$(RUN) eval.py --config=$(CONFIG) --workdir=$(DEMO)
	$(RUN) -m tools.report --workdir=$(DEMO)
	@echo 'Play with it: $(RUN) -m tools.playground --workdir=$(DEMO)'

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/shellcheck .ci/run launch/*.sh launch/train.sbatch \
	  benchmarks/gpu.sh
	$(VENV)/bin/hadolint launch/Dockerfile

test: lint
	$(RUN) -m pytest -n 2

test-all: test test-full

test-full: $(VENV)/.installed
	$(RUN) -m pytest -n 2 --no-loadscope-reorder -m 'full and not slow'

test-slow: $(VENV)/.installed
	$(RUN) -m pytest -m slow

test-newest: $(NEWEST)/.installed
	$(NEWEST)/bin/python -m pytest -n 2

parity: $(VENV)/.parity
	$(RUN) -m pytest tests/parity

test-export: $(VENV)/.export
	rm -f $(VENV)/export.jsonl
	EXPORT_CELLS=$(VENV)/export.jsonl $(RUN) -m pytest -m full \
	  tests/test_tools_export_formats.py
	$(RUN) -m benchmarks.export --cells=$(VENV)/export.jsonl

test-playground: $(VENV)/.playground
	$(RUN) -m pytest -m 'full or not full' tests/test_tools_playground*.py

test-gcs: $(VENV)/.gcs
	$(RUN) -m pytest -m full tests/test_train_in_bucket.py

tpu-compile: $(VENV)/.tpu-compile
	$(RUN) -m pytest tests/tpu

compile-check: $(VENV)/.tpu-compile
	$(RUN) -m tools.compile_check --output=docs/compile-check.md

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), sys.version'
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt \
	  --editable '.[$(EXTRAS)]'
	touch $@

# No constraints: what pip chooses within setup.py's bounds today.
$(NEWEST)/.installed: setup.py
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python $(PIP_INSTALL) --upgrade --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/.parity: $(VENV)/.installed
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --editable '.[parity]'
	touch $@

# Two packages come without what they ask for (docs/export.md).
$(VENV)/.export: $(VENV)/.installed
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --editable '.[onnx,litert]'
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --no-deps \
	  jax2onnx litert-converter
	touch $@

$(VENV)/.playground: $(VENV)/.installed
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --editable '.[browser]'
	{ command -v chromium && command -v chromedriver; } || \
	  { apt-get update && apt-get install --yes chromium chromium-driver; }
$(VENV)/.gcs: $(VENV)/.installed
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --editable '.[gcs,gcs-test]'
	touch $@

$(VENV)/.tpu-compile: $(VENV)/.installed
	$(RUN) $(PIP_INSTALL) --constraint constraints.txt --editable '.[tpu-compile]'
	touch $@

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

clean:
	rm -rf .venv* runs site
