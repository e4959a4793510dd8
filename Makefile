# Two commands do all set-up: `make demo` and `make test`. Both create .venv with tox and let tox do the rest.
PYTHON ?= python3
TOX := .venv/bin/tox

.PHONY: demo test lint coverage emulated faults bench clean

demo: $(TOX)
	$(TOX) run -q -e demo -- $(ARGS)

test: $(TOX)
	$(TOX) run -e test -- $(ARGS)

lint: $(TOX)
	$(TOX) run -e lint

coverage: $(TOX)
	$(TOX) run -e coverage -- $(ARGS)

emulated: $(TOX)
	$(TOX) run -q -e emulated -- $(ARGS)

faults: $(TOX)
	$(TOX) run -q -e faults -- $(ARGS)

bench: $(TOX)
	$(TOX) run -q -e bench -- $(ARGS)

$(TOX):
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check 'tox>=4.20'

clean:
	rm -rf .venv .tox .pytest_cache .mypy_cache .ruff_cache .coverage*
