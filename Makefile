# tflite-edge: every target sets up what it needs; nothing has to be installed first but Python.
#
#   make convert MODEL=mobilenet    train, convert and verify a model: build/mobilenet/
#                                   TARGET=emulator:pi4 proves it on an emulated Raspberry Pi
#   make search MODEL=mobilenet     the best recipes within limits: build/search-mobilenet/
#                                   ARGS="--max-bytes 100k --max-drop 1 --trials 12" are the limits
#   make package MODEL=mobilenet TARGET=pi4    one archive that installs offline: dist/
#   make report MODEL=mobilenet     a page about it: build/mobilenet/report.html
#   make test                       run all tests
#   make check                      lint, types, import contracts
#   make bench                      measure what benchmarks/ measures
#   make clean                      remove build/ and the virtual environment
#
# PYTHON=python3.11 chooses the interpreter (3.10 to 3.13), ARGS="--max-drop 2" adds options to convert.

MODEL ?= mobilenet
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help convert search package report test check bench clean
help:
	@sed -n 's/^#   //p' Makefile

convert: $(READY)
	$(if $(filter emulator:%,$(TARGET)),$(BIN)/tflite-edge emulator install $(TARGET:emulator:%=%))
	$(BIN)/tflite-edge convert models/$(MODEL).toml -o build/$(MODEL) $(if $(TARGET),--on $(TARGET)) $(ARGS)

search: $(READY)
	$(BIN)/tflite-edge search models/$(MODEL).toml -o build/search-$(MODEL) $(ARGS)

package: $(READY)
	test -f build/$(MODEL)/manifest.json || $(MAKE) convert TARGET= ARGS=
	$(BIN)/tflite-edge package build/$(MODEL) --for $(or $(TARGET),pi4) -o dist $(ARGS)

report: $(READY)
	test -f build/$(MODEL)/manifest.json || $(MAKE) convert TARGET= ARGS=
	$(BIN)/tflite-edge report build/$(MODEL) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf build $(VENV)

$(READY): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $$($(PYTHON) --version 2>&1) cannot run TensorFlow 2.21"; \
	    echo "  do: make PYTHON=python3.11 $(MAKECMDGOALS)   (3.10 to 3.13)"; exit 4; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[convert,runtime,quantizer,search,ethos-u,sign,dev]'
	@touch $@
