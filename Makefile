# make run starts historia on this machine; make test proves it. docs/contract.md lists what each target promises.

CARGO ?= cargo
TEST_FEATURES := failpoints

.PHONY: run test lint bench proof definitions docs image manifests install

# Builds the release and starts `historia dev` here; Ctrl-C stops all of it, PostgreSQL included. The data stays in
# ./.historia. ARGS="..." goes to the command. LAN=1: HTTPS for phones on the local network as well (docs/operations/lan.md).
run: install
	$(CARGO) build --release --locked --bin historia
	@exec $(if $(LAN),env HISTORIA_HTTP__TLS_LISTEN="$${HISTORIA_HTTP__TLS_LISTEN:-0.0.0.0:8443}") target/release/historia dev $(ARGS)

# Everything, in one profile; the last line is "N passed, N failed, N skipped". CITUS=1: the server of the black-box tests
# stands on a cluster that they start.
test:
	@.ci/install test
	@CARGO="$(CARGO)" $(if $(CITUS),HISTORIA_TEST_CITUS="$(CITUS)") .ci/test --features $(TEST_FEATURES)

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --features $(TEST_FEATURES) --locked -- -D warnings
	$(CARGO) fmt --manifest-path tests/manifests/Cargo.toml --check
	$(CARGO) clippy --manifest-path tests/manifests/Cargo.toml --target-dir target --all-targets --locked -- -D warnings

# PACKAGE: hl7.fhir.r4.core as a folder or a .tgz; writes the facts that the server embeds.
definitions:
	@test -n "$(PACKAGE)" || { echo "usage: make definitions PACKAGE=hl7.fhir.r4.core-4.0.1.tgz" >&2; exit 2; }
	$(CARGO) run --locked --features definitions --bin definitions -- "$(PACKAGE)" fhir-profiles/r4

# docs/documento-tecnico.pdf from docs/documento, then the documentation of the code.
docs:
	@.ci/install docs
	@.ci/docs
	$(CARGO) doc --no-deps --document-private-items --locked

# What is missing on a bare Debian: PostgreSQL's programs and a C compiler. `make test` also brings a browser.
install:
	@.ci/install

# What a request costs beside its floor, on the release build: docs/operations/bench.md. ARGS="--only read --repeats 3".
bench: install
	$(CARGO) bench --locked --bench http -- $(ARGS)

# One test at full size, for SECONDS at most; writes target/proof/NAME.json. Without NAME it tells which there are.
proof: install
	@CARGO="$(CARGO)" $(if $(SECONDS),HISTORIA_TEST_SECONDS="$(SECONDS)") $(if $(SEED),HISTORIA_TEST_SEED="$(SEED)") .ci/proof "$(NAME)"

# The container image middleware-citus:1.0, with docker, podman or buildah: docs/operations/image.md. ARGS="--build-arg RUNTIME=...".
image:
	@.ci/image $(ARGS)

# k8s/todo-en-uno.yaml from its overlay; a test keeps them equal.
manifests:
	@{ echo '# Written by `make manifests` from k8s/overlays/minikube: change it there. The Secrets come from k8s/secretos.sh.'; \
	  echo ---; kubectl kustomize k8s/overlays/minikube; } > target/todo-en-uno.yaml
	@mv target/todo-en-uno.yaml k8s/todo-en-uno.yaml
