# Everything here needs only Python 3.11 to 3.13 with venv, and a clone. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/digits
BENCH_ARGS ?=
MUTATION_ARGS ?=

BIN := $(VENV)/bin
# The stamps record what was installed; setup.py is the only file that says what that is.
ENV_STAMP := $(VENV)/.installed-test
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-benchmark

PYTEST = $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile
# Tests whose verdict could depend on how a processor adds: likelihoods, estimators, replicas.
NUMERICAL_TESTS := tests/distributions tests/likelihoods tests/ground_truth tests/evaluation \
  tests/models tests/networks tests/conformance tests/test_noise.py tests/test_objectives.py \
  tests/test_replicas.py

export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help env test test-slow test-portable coverage mutations dist demo lint types bench bench-heads bench-replicas bench-serving bench-hierarchy bench-sequence clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(ENV_STAMP) ## make the environment (PYTHON=python3.12 VENV=.venv to choose)

test: $(ENV_STAMP) ## run the test suite, without the tests marked slow
	$(PYTEST)

test-slow: $(ENV_STAMP) ## run only the tests marked slow
	$(PYTEST) -m slow

test-portable: $(ENV_STAMP) ## run the numerical tests with the kernels of other x86 processors
	OPENBLAS_CORETYPE=Haswell ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) $(NUMERICAL_TESTS)
	# OpenBLAS takes the kernels it is told to, also where the processor cannot run them.
	if grep -qw avx512vl /proc/cpuinfo; then OPENBLAS_CORETYPE=SkylakeX $(PYTEST) $(NUMERICAL_TESTS); \
	else echo "The kernels of SkylakeX are left out: this processor has no AVX-512."; fi
	env -u OPENBLAS_CORETYPE TF_ENABLE_ONEDNN_OPTS=0 $(PYTEST) $(NUMERICAL_TESTS)

coverage: $(DEV_STAMP) ## run both suites and report which lines and branches they reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=2 --dist=loadfile -m "slow or not slow"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutations: $(ENV_STAMP) ## break the code in known ways and list what no test notices (hours; MUTATION_ARGS=...)
	$(BIN)/python benchmarks/mutations.py $(MUTATION_ARGS)

dist: $(DEV_STAMP) ## build the source archive and the wheel, and check them
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

demo: $(ENV_STAMP) ## train three variants on embedded real digits, sample, compare (< 5 min)
	PATH="$(abspath $(BIN)):$$PATH" launch/demo.sh "$(WORKDIR)"

lint: $(DEV_STAMP) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck .ci/run launch/*.sh launch/*.sbatch
	$(BIN)/kubernetes-validate --strict --quiet launch/kubernetes/*.yaml
	$(BIN)/hadolint launch/kubernetes/Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

types: $(DEV_STAMP) ## check types
	$(BIN)/python -m mypy

bench: $(BENCH_STAMP) ## training speed against an equal PyTorch model (BENCH_ARGS=...)
	$(BIN)/python benchmarks/throughput.py $(BENCH_ARGS)

bench-heads: $(ENV_STAMP) ## step time and peak memory of every likelihood (BENCH_ARGS=...)
	$(BIN)/python benchmarks/heads.py $(BENCH_ARGS)

bench-replicas: $(ENV_STAMP) ## equality, collectives and cost of several replicas (BENCH_ARGS=...)
	$(BIN)/python benchmarks/replicas.py $(BENCH_ARGS)

bench-serving: $(ENV_STAMP) ## latency of a served model against the Keras model (BENCH_ARGS=...)
	$(BIN)/python benchmarks/serving.py $(BENCH_ARGS)

bench-hierarchy: $(ENV_STAMP) ## trace time, memory and step of the hierarchy (BENCH_ARGS=...)
	$(BIN)/python benchmarks/hierarchy.py $(BENCH_ARGS)

bench-sequence: $(ENV_STAMP) ## trace time, memory, step and rollouts of videos (BENCH_ARGS=...)
	$(BIN)/python benchmarks/sequence.py $(BENCH_ARGS)

clean: ## remove the environment and caches; what runs wrote stays
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11 to 3.13 is needed, this is %d.%d; " \
	  "name another one: make PYTHON=python3.12 ..." % v)'
	@$(PYTHON) -m venv "$(VENV)" || { rm -f $@; \
	  echo "venv is missing: apt-get install python3-venv, or make PYTHON=..."; exit 1; }

$(ENV_STAMP): setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@# With its dependencies it would install a second TensorFlow.
	$(BIN)/python -m pip install --quiet --no-deps "tensorflow-serving-api>=2.19,<2.22"
	@touch $@

$(DEV_STAMP): $(ENV_STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

$(BENCH_STAMP): $(ENV_STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[benchmark]"
	@touch $@
