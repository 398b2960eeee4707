# Every target sets itself up: `make demo` and `make test` work in a fresh checkout.

PYTHON ?= python3
BIN := .venv/bin

# Containers often set it: then each of the many processes of the tests compiles hpo again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test docs results bench rubbish fuzz chaos clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hpo needs Python 3.11 or newer: make PYTHON=python3.12 install"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# On synthetic X-rays, in the folder demo/: a sweep, a search, the test of its winner, their pages.
demo: install
	$(BIN)/hpo demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy has one core at work: the other begins with the tests.
	$(BIN)/mypy & types=$$!; $(BIN)/pytest --numprocesses 2 --dist worksteal; tests=$$?; \
	wait $$types || { echo "mypy found faults: they are above, among the tests."; exit 1; }; \
	exit $$tests

# The documentation as a site, in the folder site/, with every link checked.
docs: install
	$(BIN)/python docs/site.py build/pages
	$(BIN)/zensical build --strict --config-file mkdocs.yml

# studies/RESULTS.md and SCORES.md from the figures in the .json beside them. With DATA=chest_xray the
# 16 sweeps of the reports are trained first, what is missing of them: hours on two cores.
results: install
	$(BIN)/python -m studies.results --data "$(DATA)"
	$(BIN)/python -m studies.scores

# Timings as ratios within one run; they need real X-rays: make bench DATA=chest_xray
bench: install
	$(BIN)/python -m benchmarks.stack --data $(DATA) --parts epochs
	$(BIN)/python -m benchmarks.commands --data $(DATA)

# 100,000 pieces of rubbish for everything that reads files and texts; about twenty minutes.
rubbish: install
	$(BIN)/python -m benchmarks.rubbish

# 100,000 more, guided by coverage; ten to twenty minutes, on Linux.
fuzz: install
	$(BIN)/pip install --quiet atheris==3.0.0
	$(BIN)/python -m benchmarks.fuzz

# 300 times kill -9, at every write and at random; an hour or two, in the folder chaos/. What is
# done is not done again.
chaos: install
	$(BIN)/python -m benchmarks.chaos

clean:
	rm -rf .venv demo chaos site .mypy_cache .pytest_cache .ruff_cache .hypothesis
