#!/usr/bin/env bash
# Sets a TPU VM up: launch/tpu_vm.sh runs it on every worker, in its home.
#
# The bucket appears as the folder ~/bucket, where data sets are read, and runs
# are with --mounted=yes; others are reached by the extra `gcs`. A bucket with
# hierarchical namespace renames folders at once, as mounted runs want it.
set -euo pipefail
bucket=$1

if ! command -v gcsfuse > /dev/null; then
  key=/usr/share/keyrings/cloud.google.asc
  url=https://packages.cloud.google.com/apt
  curl -fsSL "$url/doc/apt-key.gpg" | sudo tee "$key" > /dev/null
  echo "deb [signed-by=$key] $url gcsfuse-$(lsb_release -cs) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list > /dev/null
  sudo apt-get update -q
  sudo apt-get install -qy gcsfuse
fi
mkdir -p ~/bucket
mountpoint -q ~/bucket ||
  gcsfuse --implicit-dirs --rename-dir-limit=1000000 "$bucket" ~/bucket

# The images' own Python may be older than 3.11.
command -v ~/.local/bin/uv > /dev/null ||
  curl -LsSf https://astral.sh/uv/install.sh | sh
cd ~/repo
[[ -d .venv ]] || ~/.local/bin/uv venv --python=3.11 .venv
~/.local/bin/uv pip install --python=.venv/bin/python \
  --constraint=constraints.txt --editable='.[demo,tpu,gcs]'
