#!/usr/bin/env bash
# Sourced by the project's commands: finds what they need, and installs what a Debian machine lacks.
#   need_commands COMMAND=PACKAGE …    installs the packages whose commands are missing
set -euo pipefail

need_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "missing packages: $*; install them as root: apt-get install $*" >&2; exit 1; }
    root=(sudo)
  fi
  command -v apt-get >/dev/null 2>&1 || { echo "missing packages: $*; install them with your system's package manager" >&2; exit 1; }
  echo "installing $*" >&2
  "${root[@]}" apt-get update -qq >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# What the build needs beside Rust: a C and C++ compiler and make, for librdkafka, zlib, zstd and the allocator.
need_build_tools() {
  command -v cargo >/dev/null 2>&1 || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust with rustup" >&2; exit 1; }
  need_commands cc=gcc c++=g++ make=make
}
