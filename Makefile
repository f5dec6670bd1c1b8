# make demo    the whole path on drawn street scenes: split ... promote, through the compiled Kubeflow pipeline
# make test    the tests, with the set-up they need
# make check   what CI runs: format, lint, types, architecture, tests

PYTHON ?= python3
UV := 0.13.9
BIN := .venv/bin
DEMO := demo
SEED ?= 0

TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stage1-tools/bin
KUSTOMIZE := v5.8.1
HELM := v3.21.4
MINIO := v0.0.0-20260212201848-7aac2a2c5b7c

.PHONY: demo test check lint setup browser minio cluster-tools lock clean

demo: .venv/.ready
	$(BIN)/stage1 data synth $(DEMO)/scenes-$(SEED) --seed $(SEED)
	$(BIN)/python -m pipelines run --data $(DEMO)/scenes-$(SEED)/labels.csv --preset demo --seed $(SEED) \
	  --out $(DEMO)/run-$(SEED) --store $(DEMO)/store --channel demo-$(SEED) --set split.salt=demo-$(SEED) --set tracking.uri=sqlite:///$(DEMO)/mlflow.db

test: .venv/.ready browser minio cluster-tools
	PATH="$$PATH:$(TOOLS)" $(BIN)/pytest -n 2 --dist loadgroup

check: lint test

lint: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/.ready

# The versions in requirements.txt, and this checkout in place.
.venv/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stage1 needs Python 3.11 or newer; say make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$(UV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# The report is tested in a real browser.
browser:
	@command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; \
	} || { echo "The report's tests need chromium on the PATH; install your system's package."; exit 1; }

# Object storage is tested against a real server.
minio:
	@command -v minio >/dev/null || test -x $(TOOLS)/minio || { \
	  command -v go >/dev/null && echo "building a MinIO server once (about two minutes)" && \
	  GOBIN=$(TOOLS) GOFLAGS=-buildvcs=false go install github.com/minio/minio@$(MINIO) 2>/dev/null; \
	} || { echo "The storage tests need a minio server on the PATH, or Go to build one."; exit 1; }

# The cluster's side is tested against a real Kubernetes API server on its etcd; its module needs replace directives.
cluster-tools:
	@command -v etcd >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y etcd-server >/dev/null; \
	} || { echo "The cluster's tests need etcd on the PATH; install your system's package."; exit 1; }
	@command -v kube-apiserver >/dev/null || test -x $(TOOLS)/kube-apiserver || { \
	  command -v go >/dev/null && echo "building a Kubernetes API server once (about four minutes)" && cd tests/servers/tools/apiserver && \
	  GOBIN=$(TOOLS) GOFLAGS=-buildvcs=false go install k8s.io/kubernetes/cmd/kube-apiserver 2>/dev/null; \
	} || { echo "The cluster's tests need kube-apiserver on the PATH, or Go to build one."; exit 1; }
	@command -v helm >/dev/null || test -x $(TOOLS)/helm || { \
	  command -v go >/dev/null && echo "building Helm once (about a minute)" && \
	  GOBIN=$(TOOLS) GOFLAGS=-buildvcs=false go install helm.sh/helm/v3/cmd/helm@$(HELM) 2>/dev/null; \
	} || { echo "The chart's tests need helm on the PATH, or Go to build one."; exit 1; }
	@command -v kustomize >/dev/null || test -x $(TOOLS)/kustomize || { \
	  command -v go >/dev/null && echo "building Kustomize once (about a minute)" && \
	  GOBIN=$(TOOLS) GOFLAGS=-buildvcs=false go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE) 2>/dev/null; \
	} || { echo "The manifests' tests need kustomize on the PATH, or Go to build one."; exit 1; }

# Pins for every platform; carries no registry address.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --all-extras pyproject.toml -o requirements.txt

clean:
	rm -rf .venv $(DEMO) runs build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
