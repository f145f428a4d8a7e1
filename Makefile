# make setup     bring everything into .tools/ and .venv/ (nothing outside this folder but the tool's cache)
# make test      set up, then run the test suite
# make coverage  the same, and list the lines that no test reaches
# make demo      set up, then train, evaluate, analyse, find suspects and report on a synthetic data set,
#                or go on with it; MODEL=retinanet, faster_rcnn or another detector that README.md names
# make lint      set up, then check style and types
# make types     set up, then check types alone
# make docs      set up, then build the pages of docs/ as a site in site/
# make lock      renew requirements.lock from pyproject.toml
# make clean     remove the environment
#
# PYTHON=<python>                  which Python (3.10 or newer) the environment is made from
# DETECTRON2=<folder or wheel>     use this detectron2 instead of the locked one; DETECTRON2= goes back
# Both are remembered.

PYTHON ?= $(or $(shell cat .tools/python 2>/dev/null),python3)
DETECTRON2 ?= $(shell cat .tools/detectron2 2>/dev/null)
MODEL ?= retinanet
UV := .tools/bin/uv
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(CURDIR)/.venv

.DELETE_ON_ERROR:
.PHONY: setup test coverage demo lint types docs lock clean FORCE

setup: .venv/.ready

# One thread for each of several processes: most tests are too small for more.
test coverage: export OMP_NUM_THREADS := 1
coverage: COVERAGE := --cov
test coverage: setup
	.venv/bin/python -m pytest $(COVERAGE) --numprocesses auto --maxprocesses 4 $(ARGS)

demo: setup
	.venv/bin/imbdet demo $(MODEL) $(ARGS)

lint: types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

docs: export NO_MKDOCS_2_WARNING := 1
docs: setup
	.venv/bin/mkdocs build --strict

lock: $(UV)
	$(UV) pip compile pyproject.toml --group detectron2 --group dev --extra programs --extra tide --extra timm --extra search \
		--universal --python-version 3.10 --upgrade --generate-hashes --quiet --no-header -o requirements.lock

clean:
	rm -rf .venv .tools

# The choices of Python and detectron2 are remembered, so that they hold for later calls.
.tools/python: FORCE
	@mkdir -p .tools
	@echo '$(PYTHON)' | cmp -s - $@ || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo \
			"imbdet needs Python 3.10 or newer, and '$(PYTHON)' is not: name one by PYTHON=..."; exit 1; }; \
		echo '$(PYTHON)' > $@; }

.tools/detectron2: FORCE
	@mkdir -p .tools
	@test -z '$(DETECTRON2)' -o -e '$(DETECTRON2)' || { echo "DETECTRON2: there is no '$(DETECTRON2)'"; exit 1; }
	@echo '$(DETECTRON2)' | cmp -s - $@ || echo '$(DETECTRON2)' > $@

# uv, alone in a folder of its own, so that the user's Python stays as it is.
$(UV): .tools/python requirements-uv.lock
	@$(PYTHON) -m venv .tools || \
		{ echo "'$(PYTHON)' cannot make environments; on Debian: apt install python3-venv"; exit 1; }
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $@

.venv/pyvenv.cfg: $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv

.venv/.ready: .venv/pyvenv.cfg requirements.lock pyproject.toml setup.py .tools/detectron2
	$(UV) pip sync --quiet --require-hashes requirements.lock
ifneq ($(strip $(DETECTRON2)),)
	$(UV) pip uninstall --quiet pb1-detectron2
	$(UV) pip install --quiet --no-config setuptools wheel
	$(UV) pip install --quiet --no-config --no-build-isolation "$$(realpath '$(DETECTRON2)')"
endif
	$(UV) pip install --quiet --no-deps --editable .
	@touch $@
