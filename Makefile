# Every command of the project has one name, and it is here. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help bootstrap engines cluster-tools browser dicom-peers demo up test chaos privacy planes test-cluster test-web test-unit lint format proto docs charts images benchmark clean

PYTHON := .venv/bin/python
# Container images often set this one; a platform's dozen processes would compile all they import at every start.
unexport PYTHONDONTWRITEBYTECODE
# Two threads per process: the numbers of the demo and of the tests are the same on every machine.
export OMP_NUM_THREADS ?= 2
# Threads that wait give their core back: several processes share few cores.
export OMP_WAIT_POLICY ?= PASSIVE

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## Install what everything else needs, as the lock files say (a second run is instant)
	@scripts/bootstrap

engines: bootstrap ## Install Kafka, PostgreSQL and an S3 server for ENGINES=real and for the tests
	@scripts/engines

# Where Go's modules cannot be had, the tests of the charts are skipped by that reason.
cluster-tools: bootstrap ## Install helm, helm-unittest, kubeconform and promtool for the tests of the charts and alerts
	@scripts/cluster-tools || echo "cluster-tools: not installed; the tests of the charts and alerts are skipped"

# Where there is none and nobody may install it, this says what to type, and the tests of the pages are skipped by that reason.
browser: bootstrap ## Find Chromium for the tests of the reading room, or install it (as root, by apt-get)
	@scripts/browser || true

# As with the browser.
dicom-peers: bootstrap ## Find Orthanc, dcmtk and the OHIF viewer for the tests of ingest, or install them (apt-get as root, npm)
	@scripts/dicom-peers || true

demo: bootstrap $(if $(filter real,$(ENGINES)),engines) ## Run the whole loop and watch the model get better (ENGINES=real: on Kafka, PostgreSQL, S3)
	@$(PYTHON) -m standalone demo $(if $(filter real,$(ENGINES)),--engines real --data .radloop/demo-real) $(ARGS)

up: bootstrap ## Start the platform on this machine, without the demo's script
	@$(PYTHON) -m standalone up $(ARGS)

# Three files of tests at a time, given out as tests/conftest.py says: most of them wait for something now and then.
test: lint engines cluster-tools browser dicom-peers test-web ## Check the style, then run every test
	@$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: engines ## Kill processes of two planes on real engines while studies and readers keep coming (ARGS="--seed N")
	@$(PYTHON) tests/chaos/planes_under_fire.py $(ARGS)

privacy: engines ## Search all that reaches the control plane, and the site's logs, for identifiers planted everywhere
	@RADLOOP_TWO_PLANES=1 $(PYTHON) -m pytest tests/privacy $(ARGS)

planes: engines ## Take the cloud away from two sites that work, and see it catch up
	@RADLOOP_TWO_PLANES=1 $(PYTHON) -m pytest tests/chaos/test_two_sites.py $(ARGS)

test-cluster: bootstrap ## Install both charts in a cluster and let it do what clusters do (KUBECONFIG, or one made here)
	@scripts/test-cluster $(ARGS)

test-web: bootstrap ## Run the tests of the pages' logic
	@cd services/labeling/web && PATH="$(CURDIR)/.venv/bin:$$PATH" npm test --silent

test-unit: bootstrap ## Run the fast tests only: no sockets, no servers, no training
	@$(PYTHON) -m pytest tests/unit -m "not integration and not e2e and not chaos" $(ARGS)

lint: bootstrap ## Check style and formatting; the import contracts are tests
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --quiet --check .

format: bootstrap ## Rewrite the code as the formatter wants it
	@$(PYTHON) -m ruff check --quiet --fix .
	@$(PYTHON) -m ruff format --quiet .

proto: bootstrap ## Generate the Python classes, the event catalogue and the AsyncAPI document from proto/
	@$(PYTHON) proto/generate.py

docs: bootstrap ## Write the generated tables of the documentation
	@$(PYTHON) docs/generate.py

charts: cluster-tools ## Write what in helm/ is made of something else: schemas, tables, copies, rendered examples
	@$(PYTHON) helm/generate.py

images: ## Build the container images with docker, podman or buildah (ARGS="--base IMAGE ingest")
	@scripts/images $(ARGS)

benchmark: bootstrap ## Measure, and write the tables under docs/benchmarks/
	@$(PYTHON) -m benchmarks $(ARGS)

clean: ## Remove what was built or installed here; data folders such as .radloop stay
	@rm -rf services/labeling/web/node_modules services/labeling/web/dist .venv .bootstrap .triton .engines .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.radloop/*' -prune -exec rm -rf {} +
