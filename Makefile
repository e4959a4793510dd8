# Two commands do all set-up: `make demo` and `make test`. Both create .venv with tox and let tox do the rest.
PYTHON ?= python3
TOX := .venv/bin/tox
# Parts share two environments, so that PyTorch is installed once for each and not once a part: `test` has what the fast
# tests need, `full` what only slow tests and benchmarks need too. scripts/part.py says what each part runs.
TEST := $(TOX) run -q -e test --notest && $(TOX) exec -q -e test -- python scripts/part.py
FULL := $(TOX) run -q -e full --notest && $(TOX) exec -q -e full -- python scripts/part.py

.PHONY: demo test lowest newest lint rest coverage emulated faults check-demo bench clean

# In two steps: tox says farewell behind the first, so that the report's path is the last line of the second.
demo: $(TOX)
	$(TOX) run -q -e demo --notest
	@$(TOX) exec -qq -e demo -- tunebench demo $(ARGS)

test: $(TOX)
	$(TOX) run -e test -- $(ARGS)

# Fast tests again, with other versions: the lowest that pyproject.toml allows, and newer Pythons where they are here.
lowest: $(TOX)
	$(TOX) run -q -e lowest -- $(ARGS)

newest: $(TOX)
	$(PYTHON) scripts/newest.py $(TOX) $(ARGS)

lint: $(TOX)
	$(TEST) lint

# What `make test` left out, after it.
rest: $(TOX)
	$(FULL) rest $(ARGS)

coverage: $(TOX)
	$(FULL) coverage $(ARGS)

emulated: $(TOX)
	$(FULL) emulated $(ARGS)

faults: $(TOX)
	$(TEST) faults $(ARGS)

check-demo: $(TOX)
	$(TEST) demo $(ARGS)

bench: $(TOX)
	$(FULL) bench $(ARGS)

$(TOX):
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check 'tox>=4.20'

clean:
	rm -rf .venv .tox .pytest_cache .mypy_cache .ruff_cache .coverage*
