# Sallyport. `make help` lists what there is; two commands do everything: `make demo` and `make test`.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The Node the project pins; any from 22.18 will do: make NODE=node …
NODE ?= node_modules/.bin/node
ARCH := $(shell uname -m | sed 's/x86_64/x64/;s/aarch64/arm64/')
BIOME := node_modules/@biomejs/cli-linux-$(ARCH)/biome
NODE_HEADERS ?= $(CURDIR)/node_modules/node-linux-$(ARCH)
CLANG ?= clang-19
BPF_CFLAGS = -g -O2 -mcpu=v3 -target bpf -Wall -Wextra -Wno-unused-parameter -Werror -I/usr/include/$(shell uname -m)-linux-gnu
BPF_SOURCES := $(wildcard bpf/*.bpf.c)
BPF_OBJECTS := $(BPF_SOURCES:bpf/%.bpf.c=dist/bpf/%.bpf.o)
ADDONS := build/Release/libbpf.node build/Release/netfilter.node
LAYOUTS := src/datapath/layouts.gen.ts
LAYOUT_SELECTION := --maps --variables

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /etc/systemd/system
DESTDIR ?=

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST) | if [ -n "$$NO_COLOR" ]; then sed 's/\x1b\[[0-9;]*m//g'; else cat; fi

##@ Build
setup: node_modules/.installed ## What building and testing need: Debian's packages, the pinned npm ones

packages:
	@packaging/install-packages

node_modules/.installed: package.json package-lock.json | packages
	npm ci --no-audit --no-fund --loglevel=error
	@ln -sf ../node-linux-$(ARCH)/bin/node node_modules/.bin/node # which npm 9 leaves out
	@touch $@

bpf: $(BPF_OBJECTS) ## The kernel programs (dist/bpf)

dist/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/lib/*.h bpf/api/*.h) | node_modules/.installed
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

addon: $(ADDONS) ## The libbpf and netfilter bindings (build/Release/*.node)

$(ADDONS) &: binding.gyp $(wildcard src/libbpf/native/* src/netfilter/native/*) | node_modules/.installed
	@echo "node-gyp configure build"; mkdir -p build
	@$(NODE) node_modules/node-gyp/bin/node-gyp.js configure build --nodedir=$(NODE_HEADERS) --silent > build/addon.log 2>&1 || { cat build/addon.log; exit 1; }
	@touch $(ADDONS) # one of them may have been new enough

layouts: $(BPF_OBJECTS) ## TypeScript layouts of the structs shared with the kernel, from the objects' BTF
	$(NODE) src/libbpf/generate-layouts.ts --out $(LAYOUTS) $(LAYOUT_SELECTION) $(BPF_OBJECTS)

build: bin/sallyport ## All of it, and a runnable bin/sallyport

bin/sallyport: $(BPF_OBJECTS) $(ADDONS) $(shell find src -name '*.ts' -not -name '*.test.ts' 2>/dev/null) packaging/launcher packaging/kubectl-sallyport
	$(NODE) node_modules/typescript/bin/tsc -p tsconfig.build.json
	@find src -name '*.proto' -exec sh -c 'mkdir -p dist/$$(dirname $${1#src/}) && cp $$1 dist/$${1#src/}' _ {} \;
	@mkdir -p bin && install -m 755 packaging/launcher bin/sallyport && install -m 755 packaging/kubectl-sallyport bin/
	@touch $@

dev: build ## From a clean clone to an agent running in the foreground on this machine
	bin/sallyport agent --config examples/agent.yaml

clean: ## Removes what was built; keeps node_modules and downloaded kernels
	rm -rf build dist bin coverage

##@ Use
demo: build ## A Docker host, a second node behind NAT, real agents: what is allowed, denied and held
	@$(NODE) examples/demo/main.ts

install: build ## This node: program, kernel objects, systemd unit (PREFIX, DESTDIR)
	@packaging/install '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)' '$(UNITDIR)'

image: build ## An image of it (build/image): no registry, no Docker needed
	@$(NODE) packaging/image/main.ts

chart: setup ## The Helm chart of it (build/sallyport-VERSION.tgz), made of k8s/base
	@$(NODE) packaging/helm/main.ts

deploy: $(if $(KUBECONFIG),$(if $(IMAGE),build,image),install) ## The same, and starts it; with KUBECONFIG set: that cluster (IMAGE=… from a registry)
	@packaging/deploy '$(NODE)'

undeploy: ## Takes it out of the cluster of KUBECONFIG: enforcement, policies, kinds
	@packaging/deploy '$(NODE)' down

uninstall: ## Takes the node's enforcement and the program away
	@packaging/uninstall '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)' '$(UNITDIR)'

bench: build ## Ratios to nothing, iptables, nftables and a user-space queue (ONLY=crr,rr); writes bench/results
	@$(NODE) bench/main.ts $(if $(ONLY),--only $(ONLY))

##@ Check
test: build ## Everything: pure, kernel, real runtimes, Kubernetes, VMs
	@test/run

test-unit: setup ## Pure tests: no root, no kernel
	@test/run unit

test-kernel: build ## Programs and agent on this kernel (root)
	@test/run kernel

test-runtimes: build ## With real Docker and containerd (root)
	@test/run runtimes

test-cluster: build ## With a real Kubernetes cluster of two nodes (root); TEST_KUBECONFIG=… takes that one
	@test/run cluster

test-vm: build ## The kernel suites on the kernels of test/vm/kernels (root)
	@test/run vm

lint: build ## Types, style, import directions, fresh generated files
	$(NODE) node_modules/typescript/bin/tsc -p tsconfig.json
	$(BIOME) check .
	$(NODE) test/lint/main.ts
	$(NODE) src/libbpf/generate-layouts.ts --check --out $(LAYOUTS) $(LAYOUT_SELECTION) $(BPF_OBJECTS)
	$(NODE) src/model/schema/generate.ts --check
	$(NODE) src/hardening/catalogue/generate.ts --check

format: setup ## Rewrites sources to the house's style
	$(BIOME) check --write .

.PHONY: help setup packages bpf addon layouts build dev clean demo install image chart deploy undeploy uninstall bench test test-unit test-kernel test-runtimes test-cluster test-vm lint format
