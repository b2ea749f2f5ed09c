# make demo                 a synthetic drive through the node, over ROS 2
# make demo DRIVE=path      a folder of images, a video or a KITTI raw drive instead
# make test                 the complete suite, on up to four cores; ARGS go to pytest
# make lint                 ruff's checks, its formatting, and mypy
# make docs                 the documentation as a site, in site/
# DISTRO=jazzy              ROS 2 Jazzy's wheels, in .venv-jazzy, instead of Kilted's, in .venv
# PYTHON=python3.12 picks the interpreter that .venv is made with
# ACCELERATOR=cuda or cpu   with or without CUDA's libraries (default: as .venv was made, else cuda if there is an NVIDIA GPU)

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

PYTHON ?= python3
DISTRO ?= kilted
ROS_PINS := requirements-ros-$(DISTRO).txt
VENV := .venv$(if $(filter-out kilted,$(DISTRO)),-$(DISTRO))
MADE_FOR := $(patsubst $(VENV)/.ready-%,%,$(lastword $(sort $(wildcard $(VENV)/.ready-*))))
ACCELERATOR ?= $(or $(MADE_FOR),$(if $(wildcard /proc/driver/nvidia/version /dev/nvidia0),cuda,cpu))
DRIVE ?=
OUT ?= demo_out
ARGS ?=

READY := $(VENV)/.ready-$(ACCELERATOR)
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile --no-deps
# Of pip's hundreds of lines, those of downloads of 10 MB or more, as progress. Warnings and errors go to stderr.
BRIEFLY := sed -un -E \
	's/^ *Downloading ([^-]+)-.*\((([0-9]{2,}\.[0-9]+ M|[0-9.]+ G)B)\)$$/  downloading \1 (\2)/p; s/^Installing collected.*/  installing/p'

DOCS := .venv-docs

.PHONY: demo test lint docs clean venv

demo: $(READY)
	@$(VENV)/bin/road_seg demo $(if $(DRIVE),--drive "$(DRIVE)") --out "$(OUT)" $(ARGS)

test: $(READY)
	$(VENV)/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# A warning, such as for a link that leads nowhere, is an error. The variable silences the theme's notice about MkDocs 2.
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@echo "The site is in site/. To read it: python3 -m http.server --directory site"

$(DOCS)/.ready: requirements-docs.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is `$(PYTHON) -V`, but make docs needs 3.11 or newer: name one, such as make docs PYTHON=python3.12."; exit 1; }
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --disable-pip-version-check --no-deps --quiet -r $<
	@touch $@

clean:
	rm -rf build install log dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache demo_out
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

venv: $(READY)

# The pins are complete, so pip need not look at what packages depend on: PyTorch would bring CUDA to every machine.
$(READY): requirements.txt $(wildcard $(ROS_PINS)) requirements-cuda.txt setup.py tools/cuda_stubs.py
	@test -f $(ROS_PINS) || \
		{ echo "DISTRO is '$(DISTRO)', but must be one of $(patsubst requirements-ros-%.txt,%,$(sort $(wildcard requirements-ros-*.txt)))."; exit 1; }
	@test '$(ACCELERATOR)' = cpu -o '$(ACCELERATOR)' = cuda || \
		{ echo "ACCELERATOR is '$(ACCELERATOR)', but must be cpu or cuda."; exit 1; }
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) is not installed: install Python 3.10, 3.11 or 3.12, or name one: make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "$(PYTHON) is `$(PYTHON) -V`, but the pinned packages need 3.10, 3.11 or 3.12: name one, such as make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "Setting up $(VENV) for $(ACCELERATOR): about $(if $(filter cuda,$(ACCELERATOR)),7,2.4) GB, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.txt -r $(ROS_PINS) $(if $(filter cuda,$(ACCELERATOR)),-r requirements-cuda.txt) | $(BRIEFLY)
	@$(PIP) --quiet --no-build-isolation -e .
	@$(if $(filter cpu,$(ACCELERATOR)),$(VENV)/bin/python tools/cuda_stubs.py)
	@touch $@
