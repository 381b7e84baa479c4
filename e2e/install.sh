#!/usr/bin/env bash
# Makes sure the clients and servers of the end-to-end tests are there: installs
# Debian's packages where it may, otherwise says in one line what is missing.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

missing() {
	local tool
	for tool in docker dockerd containerd ctr runc iptables notary notary-server docker-registry skopeo podman curl openssl; do
		command -v "$tool" >/dev/null || printf '%s ' "$tool"
	done
}

tools=$(missing)
if [ -z "$tools" ]; then
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "e2e: missing ${tools% }; on Debian: apt-get install docker.io containerd iptables notary docker-registry skopeo podman curl openssl" >&2
	exit 1
fi

echo "e2e: installing what is missing: ${tools% }"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends \
	docker.io containerd iptables notary docker-registry skopeo podman \
	curl openssl ca-certificates </dev/null >/dev/null

tools=$(missing)
if [ -n "$tools" ]; then
	echo "e2e: still missing after installing Debian's packages: ${tools% }" >&2
	exit 1
fi
