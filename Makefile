# Two commands: `make demo` shows the library at work, `make test` checks it. Both make .venv when it is absent.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where original files of public data sets lie; a sibling folder with them spares the downloads.
export SPARSELABELS_DATA ?= $(realpath ../shared/data)
ifeq ($(SPARSELABELS_DATA),)
unexport SPARSELABELS_DATA
endif
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint docs examples bench wheels clean

demo: $(STAMP)
	$(BIN)/python -m recsys_ssl demo --output demo-output

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in the folder site; a warning is an error. Nothing is read from a network.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

examples: $(STAMP)
	ls examples/*.py | OMP_NUM_THREADS=1 xargs -P 2 -I SCRIPT $(BIN)/python SCRIPT --fast

# Every table anew, beside the rows that are there; it goes on where it was cut off.
bench: $(STAMP)
	mkdir -p build/benchmarks
	set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; \
		BENCHMARK_RESULTS=$(CURDIR)/build/benchmarks $(BIN)/python $$script; done
	$(BIN)/python benchmarks/fallen_ratios.py build/benchmarks

# Wheel and sdist, and the wheel with each extra in an empty environment.
wheels: $(STAMP)
	$(BIN)/python -m pip install --quiet twine
	$(BIN)/python .ci/wheels.py

clean:
	rm -rf $(VENV) demo-output site dist build .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Compiled on all cores, where pip takes one; what has another Python's syntax is passed over.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[all,dev,docs]'
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib 2>/dev/null || true
	touch $@
