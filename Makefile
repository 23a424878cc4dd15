# f2bpipe: `make run` and `make test` are all that a fresh machine with Go and make needs.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X main.version=$(VERSION)

# A test's failure is make's, also where its output is filtered.
SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -c

# What the build needs: libsystemd is reached by cgo, Go's modules by https.
BUILD_PACKAGES := ca-certificates gcc libc6-dev libsystemd-dev pkg-config
# What the tests run against: the real things.
TEST_PACKAGES := fail2ban nftables iproute2 openssh-server openssh-client sshpass systemd-journal-remote python3 ripgrep \
	procps postfix dovecot-imapd rsyslog swaks libio-socket-inet6-perl python3-yaml logrotate
# What only the long proofs need.
SOAK_PACKAGES := lintian rpm debootstrap systemd-container buildah docker-compose qemu-system-x86 busybox-static iptables

# What is installed is what the build then finds.
.NOTPARALLEL:
.PHONY: all build run test soak bench bench-latency bench-peers package ci deps clean

all: build

build: f2bpipe

f2bpipe: FORCE
	$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/f2bpipe

FORCE:

# deps installs what is missing and says what it installs. Nothing to do is silent.
deps:
	@.ci/install $(BUILD_PACKAGES)

run: deps build
	@.ci/demo

test: deps
	@.ci/install $(TEST_PACKAGES)
	$(GO) vet ./...
	$(GO) test ./...

soak: deps
	@.ci/install $(TEST_PACKAGES) $(SOAK_PACKAGES)
	F2BPIPE_KERNEL="$$(.ci/kernel)" F2BPIPE_SOAK=1 F2BPIPE_REQUIRE_NETNS=1 F2BPIPE_REQUIRE_SHARED=1 F2BPIPE_REQUIRE_FAIL2BAN=1 $(GO) test -count=1 -timeout 60m -v ./... | grep -v '^=== '

bench:
	@mkdir -p bench/results
	$(GO) test -run '^$$' -bench . -benchmem ./... | tee bench/results/$$(date -u +%Y-%m-%d).txt

# bench-latency measures log line to kernel, beside nft and Debian's fail2ban.
bench-latency: build
	@mkdir -p bench/results
	$(GO) run ./bench/latency --f2bpipe ./f2bpipe | tee bench/results/$$(date -u +%Y-%m-%d)-latency.txt

# bench-peers runs ripgrep and Debian's fail2ban on the same input in the same run.
bench-peers: deps build
	@.ci/install $(TEST_PACKAGES)
	@mkdir -p bench/results
	bench/peers.py ./f2bpipe | tee bench/results/$$(date -u +%Y-%m-%d)-peers.txt

# package builds the Debian packages, the rpms and the archive into dist/.
package: deps
	packaging/build

ci:
	.ci/run

clean:
	rm -rf f2bpipe bench/corpora dist
