# make test   everything that must hold before a commit, within minutes
# make test-slow  what takes longer: very large files and directories
# make demo   two releases published, served, installed, upgraded and rolled back, in a folder
# make bench  the C tool and larix side by side, in a long while; see bench/__main__.py
# make conformance  the installed tests of the C tool, run with larix
# make fuzz   each parser of foreign bytes under atheris, three minutes long
# make deb    a Debian package, for the release that has this Python, in dist/
# make dev    lint and the fast tests, in seconds: after each change
# make lint   ruff and mypy alone
# Each target makes .venv itself, and installs the Debian packages it needs when run by root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# ostree: the reference implementation, the judge of our formats; python3-gi: GLib's own GVariant; nginx: a real web server;
# locales: those with other encodings; tinyproxy: a real proxy; selinux: labels.
DEBIAN_SETUP := python3-venv
DEBIAN_TEST := $(DEBIAN_SETUP) ostree python3-gi nginx-light attr cpio xz-utils bzip2 e2fsprogs locales openssl tinyproxy python3-selinux selinux-policy-default

FAST := $(addprefix tests/test_,architecture.py formats.py trees.py layouts.py bootentry.py bootloaders.py docs.py)

.PHONY: demo dev test test-slow bench conformance fuzz deb lint setup test-setup clean

# mmdebstrap makes better releases for the demo, but is not needed; ostree is asked when it is there.
demo: setup
	@[ "$$(id -u)" != 0 ] || sh tools/debian-packages mmdebstrap ostree || true
	@$(BIN)/python -m demo

test: test-setup
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $$((2 * $$(nproc))) -m "not slow"

# One after the other: some want gigabytes of disk and memory.
test-slow: test-setup
	$(BIN)/pytest -m slow

bench: test-setup
	@[ "$$(id -u)" != 0 ] || sh tools/debian-packages mmdebstrap
	$(BIN)/python -m bench

conformance: test-setup
	@[ "$$(id -u)" != 0 ] || sh tools/debian-packages ostree-tests mmdebstrap parallel
	$(BIN)/python -m tests.conformance

fuzz: test-setup
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds=180

deb: setup
	sh tools/make-deb $(VENV)

dev: lint
	$(BIN)/pytest -n $$(nproc) $(FAST)

lint: setup
	$(BIN)/ruff check src tests demo bench tools
	$(BIN)/ruff format --check src tests demo bench tools
	$(BIN)/mypy

setup: $(VENV)/.made

test-setup:
	@sh tools/debian-packages $(DEBIAN_TEST)
	@$(MAKE) --no-print-directory setup

$(VENV)/.made: pyproject.toml
	@sh tools/debian-packages $(DEBIAN_SETUP)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
