# overlay-nfsd: run it, test it. `make help` lists the targets.
#
# The rule kept here: each target sets up what it needs on a fresh Debian machine, and does nothing
# twice: the virtual environment is renewed only when pyproject.toml changed, and apt-get is called
# only for packages that are missing.

SHELL := /bin/bash
# Where it is set, as in some images, each start of a server would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The same without what only tests need, unless that is there anyway.
RUNNABLE := $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.runnable)

# What `make run` serves. Without LOWER, a small demonstration overlay in DEMO.
# Where that is in a container, on overlayfs, whose directories cannot be layers, it is in memory.
DEMO ?= $(if $(filter overlayfs,$(shell stat -fc %T /var/tmp)),/dev/shm,/var/tmp)/overlay-nfsd-demo
LOWER ?=
UPPER ?=
WORK ?=
EXPORT ?= /
LISTEN ?= 127.0.0.1:2049

# How long `make bench` takes: seconds of each run, and runs of which the median counts.
SECONDS ?= 1
ROUNDS ?= 3

# Where `make install` puts things: DESTDIR is before everything, for whoever makes a package.
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
LIB := $(PREFIX)/lib/overlay-nfsd
UNITS := $(PREFIX)/lib/systemd/system
SYSUSERS := $(PREFIX)/lib/sysusers.d
MAN := $(PREFIX)/share/man
ENABLED := $(DESTDIR)/etc/systemd/system
COMMAND := $(PREFIX)/bin/overlay-nfsd

SOURCES := $(wildcard nfsd overlay index overlay_nfsd.py) tests setup.py
# Modules are compiled in a copy: Python would take what is compiled also when its source has changed.
COMPILED := build/compiled
COPY = tar --create --exclude=./build --exclude=./.git --exclude="*.so" --exclude=./$(VENV) . | \
  tar --extract -C $(COMPILED)
FAST := not conformance and not torture and not slow
# Of these, what starts server after server runs on compiled modules alone, as those run there.
INTERPRETED := $(FAST) and (once or not processes)

# Tests wait much of their time, so there are more of them at a time than processors.
AT_ONCE ?= $(shell expr 2 '*' $$(nproc))
PYTEST = $(abspath $(BIN))/python -m pytest --numprocesses=$(AT_ONCE) --dist=loadscope \
  --no-loadscope-reorder -p tests.distribution --durations=20

.PHONY: help run test check compiled bench growth man clean packages install uninstall deb
.DEFAULT_GOAL := help

help:
	@echo "make run     serve an overlay (root): LOWER=TOP[:NEXT...] UPPER=DIR WORK=DIR"
	@echo "             EXPORT=/NAME LISTEN=ADDR:PORT; without LOWER a demonstration in $(DEMO)"
	@echo "make test    set up what is needed and run every test (root for most of them), the fast ones"
	@echo "             but those of many processes also on what is not compiled; AT_ONCE=4 of them,"
	@echo "             two for each processor"
	@echo "make check   lint, types and the fast tests but those of many processes, in a minute or two"
	@echo "make compiled  a copy in $(COMPILED) with the modules compiled that every call passes through"
	@echo "make bench   measure beside NFS-Ganesha and write docs/benchmarks.md (root, a quarter of an"
	@echo "             hour, a machine that does nothing else): SECONDS=1 ROUNDS=3"
	@echo "make growth  measure what many layers, names and files cost, and write docs/growth.md (root,"
	@echo "             a quarter of an hour)"
	@echo "make man     write the manual pages, docs/man, after a change of options or settings"
	@echo "make install      into PREFIX=$(PREFIX), with units for systemd (root); DESTDIR=DIR"
	@echo "make uninstall    take that away again; the configuration stays"
	@echo "make deb     a Debian package of the same, in build"
	@echo "make clean   remove what these targets made in this directory"

# The packages' __init__.py: an editable install knows the packages that were there at its time.
# It is made anew where the Python that it was made of has gone.
LOST := $(shell test ! -e $(VENV) || $(BIN)/python -c '' 2>/dev/null || echo lost)
.PHONY: lost
$(sort $(STAMP) $(RUNNABLE)): $(LOST) pyproject.toml $(wildcard nfsd/__init__.py overlay/__init__.py index/__init__.py)
	@echo "setting up $(VENV)"
	@packaging/venv.sh "$(PYTHON)" $(VENV)
	@OVERLAY_NFSD_COMPILE=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --editable '.$(if $(filter $(STAMP),$@),[test])'
	@touch $@

$(COMPILED)/.built: $(STAMP) setup.py $(shell find nfsd overlay index -name '*.py')
	@echo "compiling in $(COMPILED): a minute or two"
	@rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	@$(COPY)
	@cd $(COMPILED) && $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	@touch $@

# What is not compiled may have changed.
compiled: $(COMPILED)/.built
	@rm -rf $(COMPILED)/tests
	@$(COPY)

run: $(RUNNABLE)
	@test "$$(id -u)" = 0 || { \
	  echo "make run: the server opens files by handle, which only root may: sudo make run" >&2; \
	  exit 2; }
	@if [ -z "$(LOWER)" ]; then \
	  packaging/demo.sh "$(DEMO)" && \
	  exec $(BIN)/overlay-nfsd serve --lowerdir "$(DEMO)/lower2:$(DEMO)/lower1" \
	    --upperdir "$(DEMO)/upper" --workdir "$(DEMO)/work" --export "$(EXPORT)" --listen "$(LISTEN)"; \
	else \
	  exec $(BIN)/overlay-nfsd serve --lowerdir "$(LOWER)" \
	    $(if $(UPPER),--upperdir "$(UPPER)") $(if $(WORK),--workdir "$(WORK)") \
	    --export "$(EXPORT)" --listen "$(LISTEN)"; \
	fi

packages:
	@bash tests/conformance/packages.sh

test: $(STAMP) packages compiled
	@$(BIN)/python -m tests.conformance.prepare
	@failed=0; set -x; \
	  $(PYTEST) -m "$(INTERPRETED)" || failed=1; \
	  cd $(COMPILED) && $(PYTEST) -m "not once" || failed=1; \
	  exit $$failed

check: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy --strict $(SOURCES)
	$(PYTEST) -q -m "$(FAST) and not processes"

bench: compiled
	@bash tests/conformance/packages.sh bench
	@cd $(COMPILED) && $(abspath $(BIN))/python -m tests.bench --seconds $(SECONDS) --rounds $(ROUNDS) \
	  --report $(abspath docs/benchmarks.md)

growth: compiled
	@cd $(COMPILED) && $(abspath $(BIN))/python -m tests.bench.growth --report $(abspath docs/growth.md)

man: $(STAMP)
	$(BIN)/python -m nfsd.commands.manual docs/man

# A virtual environment of its own, so that nothing else on the machine changes with it, and a
# command that runs it from wherever DESTDIR has gone to.
install:
	@packaging/install.sh "$(PYTHON)" "$(DESTDIR)$(LIB)"
	install -d $(DESTDIR)$(PREFIX)/bin
	printf '#!/bin/sh\nexec %s -I -m nfsd "$$@"\n' $(LIB)/bin/python >$(DESTDIR)$(COMMAND)
	chmod 755 $(DESTDIR)$(COMMAND)
	install -d $(DESTDIR)$(UNITS)
	for unit in service socket; do \
	  sed 's|/usr/bin/overlay-nfsd|$(COMMAND)|' packaging/overlay-nfsd.$$unit \
	    >$(DESTDIR)$(UNITS)/overlay-nfsd.$$unit || exit; \
	done
	install -D -m 644 packaging/overlay-nfsd.sysusers.conf $(DESTDIR)$(SYSUSERS)/overlay-nfsd.conf
	install -D -m 644 packaging/overlay-nfsd.layers.conf \
	  $(DESTDIR)$(PREFIX)/share/doc/overlay-nfsd/overlay-nfsd.layers.conf
	install -D -m 644 packaging/overlay-nfsd.toml \
	  $(DESTDIR)$(PREFIX)/share/doc/overlay-nfsd/overlay-nfsd.toml
	test -e $(DESTDIR)$(SYSCONFDIR)/overlay-nfsd.toml || \
	  install -D -m 644 packaging/overlay-nfsd.toml $(DESTDIR)$(SYSCONFDIR)/overlay-nfsd.toml.example
	for page in $(wildcard docs/man/*.[1-8]); do \
	  install -D -m 644 $$page $(DESTDIR)$(MAN)/man$${page##*.}/$${page##*/} || exit; \
	done
	@test -n "$(DESTDIR)" || ! command -v systemd-sysusers >/dev/null || \
	  systemd-sysusers $(SYSUSERS)/overlay-nfsd.conf
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload
	@echo "installed; write $(SYSCONFDIR)/overlay-nfsd.toml, then: systemctl enable --now overlay-nfsd"

# The account goes, so what is kept for the next installation becomes root's.
uninstall:
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || \
	  systemctl stop overlay-nfsd.socket overlay-nfsd.service 2>/dev/null || true
	rm -f $(ENABLED)/*.wants/overlay-nfsd.service $(ENABLED)/*.wants/overlay-nfsd.socket
	rm -rf $(DESTDIR)$(LIB) $(DESTDIR)$(LIB).new $(DESTDIR)$(LIB).old
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/overlay-nfsd
	rm -f $(DESTDIR)$(COMMAND) $(DESTDIR)$(SYSUSERS)/overlay-nfsd.conf
	rm -f $(DESTDIR)$(UNITS)/overlay-nfsd.service $(DESTDIR)$(UNITS)/overlay-nfsd.socket
	rm -f $(DESTDIR)$(SYSCONFDIR)/overlay-nfsd.toml.example
	rm -f $(foreach page,$(wildcard docs/man/*.[1-8]),$(DESTDIR)$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
	@test -n "$(DESTDIR)" || ! test -d /var/lib/overlay-nfsd || chown root: /var/lib/overlay-nfsd
	@test -n "$(DESTDIR)" || ! id overlay-nfsd >/dev/null 2>&1 || userdel overlay-nfsd
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload

deb:
	@packaging/deb.sh $(abspath build)

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find nfsd overlay index tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
