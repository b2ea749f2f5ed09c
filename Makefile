# make demo                 a synthetic drive through the node, over ROS 2
# make demo DRIVE=path      a folder of images, a video or a KITTI raw drive instead
# make test                 the whole suite; ARGS go to pytest
# PYTHON=python3.12 picks the interpreter that .venv is made with

PYTHON ?= python3
DRIVE ?=
OUT ?= demo_out
ARGS ?=

VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test lint clean venv

demo: $(READY)
	@$(VENV)/bin/road_seg demo $(if $(DRIVE),--drive "$(DRIVE)") --out "$(OUT)" $(ARGS)

test: $(READY)
	$(VENV)/bin/python -m pytest $(ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .

clean:
	rm -rf build install log dist *.egg-info .pytest_cache .ruff_cache demo_out
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

venv: $(READY)

$(READY): requirements.txt setup.py
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no $(PYTHON) here: install Python 3.10, 3.11 or 3.12, or name one: make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "$(PYTHON) is `$(PYTHON) -V`, but the pinned packages need 3.10, 3.11 or 3.12: name one, such as make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "Setting up $(VENV): about 7 GB, once."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
