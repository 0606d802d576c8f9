# The commands of this project. `make` without a target lists them.

PYTHON ?= python3
# More arguments for pytest, such as ARGS="-k cron -x".
ARGS ?=
# Shared by `tools`, `run` and the tests. Outside the checkout, so that several can use it.
export VULSWEB_TOOLS_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vulsweb/tools

pip := .venv/bin/pip --disable-pip-version-check
# Stops the program if make is killed.
tied := exec setpriv --pdeathsig TERM

.DEFAULT_GOAL := help
.PHONY: help run demo test e2e bench faults up down upgrade backup restore rotate images-export images-import
.PHONY: zone-up lint format tools lock sbom

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed ## Start everything on this machine; Ctrl-C stops it
	@$(tools-if-needed)
	@$(tied) .venv/bin/vulsweb run

# The mirror has the feeds of this profile.
demo: export EXECUTOR_PROFILE = classic
demo: .venv/installed-dev ## Start everything with a small offline mirror, to try it without internet
	@$(tools-if-needed)
	@$(tied) .venv/bin/python -m tests.mirror -- .venv/bin/vulsweb run

test: .venv/installed-dev ## Run all tests against real servers (ARGS="-k cron" for some)
	@.venv/bin/python -m pytest -n 4 $(ARGS)

e2e: .venv/installed-dev ## Run only the tests of the whole stack with a browser
	@.venv/bin/python -m pytest tests/e2e $(ARGS)

bench: .venv/installed-dev ## Measure what must stay fast, at full size (BENCH_SCALE=0.1 for a tenth)
	@.venv/bin/python -m tests.bench

faults: .venv/installed-dev ## Kill processes of a whole stack for 20 minutes, and count what was lost
	@.venv/bin/python -m tests.faults

up: ## Start the production stack on Docker, or update it to this checkout
	@deploy/up

down: ## Stop the production stack and keep its data
	@deploy/compose down

upgrade: ## Back up the running production stack, then update it to this checkout
	@deploy/upgrade

backup: ## Back up the production stack (FILE=... for another file)
	@deploy/backup $(FILE)

restore: ## Restore a backup: FILE=... (REPLACE=yes to replace existing data)
	@deploy/restore "$(FILE)" $(if $(filter yes,$(REPLACE)),--replace)

rotate: ## Replace the key between Vuls Web and its executor
	@deploy/rotate-executor-key

images-export: ## Save the images of the production stack for a machine without a registry: FILE=...
	@deploy/images export "$(FILE)"

images-import: ## Load the images that images-export saved: FILE=...
	@deploy/images import "$(FILE)"

zone-up: ## Start a remote executor on its machine (first start: FILE=... from deploy/add-executor)
	@deploy/zone-up $(FILE)

lint: .venv/installed-dev ## Check style, types and templates
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/djlint --check vulsweb/templates
	.venv/bin/djlint --quiet --lint vulsweb/templates

format: .venv/installed-dev ## Format code and templates
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/djlint --quiet --reformat vulsweb/templates

tools: ## Build the scanner's tools with Go, once
	@executor/tools/build

compile := .venv/bin/pip-compile --quiet --no-header --strip-extras --generate-hashes \
	--no-emit-index-url --no-emit-find-links --allow-unsafe
sbom: .venv/installed-dev ## Write what the images hold to sbom/, as CycloneDX
	@mkdir -p sbom
	@.venv/bin/cyclonedx-py requirements requirements.lock --output-file sbom/vulsweb.cdx.json
	@.venv/bin/cyclonedx-py requirements executor/requirements.lock --output-file sbom/executor.cdx.json

lock: .venv/installed-dev ## Update the locked versions of all packages, within setup.cfg
	$(compile) --upgrade --extra local --extra test --extra dev -o requirements-dev.lock setup.cfg
	$(compile) --upgrade --extra local -c requirements-dev.lock -o requirements.lock setup.cfg
	$(compile) --upgrade -c requirements-dev.lock -o executor/requirements.lock executor/requirements.in

# Builds the tools if Go is installed and Vuls is not. Vuls Web also starts without them.
define tools-if-needed
if command -v go >/dev/null && ! command -v vuls >/dev/null; then \
	executor/tools/build || echo "The scanner's tools could not be built; starting without them." >&2; \
fi
endef

# pip prints pages of setuptools' remarks about editable installs. They matter only if it fails.
define install-ourselves
$(pip) install --quiet --no-deps --no-build-isolation --editable . >.venv/install.log 2>&1 \
	|| { cat .venv/install.log >&2; exit 1; }
endef

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Vuls Web needs Python 3.11 or later; set PYTHON=... to its path" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "Python cannot create .venv: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/installed: requirements.lock setup.cfg pyproject.toml | .venv/bin/pip
	@echo "Installing Vuls Web into .venv ..."
	@$(pip) install --quiet --require-hashes -r requirements.lock
	@$(install-ourselves)
	@touch $@

.venv/installed-dev: requirements-dev.lock setup.cfg pyproject.toml | .venv/bin/pip
	@echo "Installing Vuls Web and what its tests need into .venv ..."
	@$(pip) install --quiet --require-hashes -r requirements-dev.lock
	@$(install-ourselves)
	@touch $@
