#!/usr/bin/env bash
# Trains on GPU nodes of a SLURM cluster: one process a GPU.
#
#   launch/slurm.sh --project=ACCOUNT --bucket=/shared/folder --name=N \
#     [--nodes=2] [--gpus-per-node=8] [--time=24:00:00] [--partition=P] \
#     [--dry-run] -- --config=configs/... other options of train.py
#
# To be called where .venv is (README: One GPU), which all nodes must see, as
# they must the folder: the workdir is runs/N in it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "${BASH_SOURCE%/*}/common.sh"

project='' bucket='' name='' partition=''
nodes=2 gpus_per_node=8 time=24:00:00
parse 'project bucket name nodes gpus-per-node time partition' "$@"
required project bucket name
check project '[A-Za-z0-9][-_.A-Za-z0-9]*' 'an account'
check bucket '/.*' 'the full path of a folder'
check name '[A-Za-z0-9][-_.A-Za-z0-9]*' 'letters, digits, -, _ and .'
check nodes "$NUMBER" 'a number from 1'
check gpus-per-node "$NUMBER" 'a number from 1'
check time '([0-9]+-)?[0-9]+(:[0-9]+){0,2}' 'a time, such as 24:00:00 or 2-12'
check partition '([A-Za-z0-9][-_.,A-Za-z0-9]*)?' 'names of partitions'
((${#arguments[@]})) || fail "expected -- --config=... for train.py"

options=("--account=$project" "--job-name=$name" "--nodes=$nodes"
  "--ntasks-per-node=$gpus_per_node" "--gpus-per-node=$gpus_per_node"
  "--time=$time")
[[ -z $partition ]] || options+=("--partition=$partition")
run sbatch "${options[@]}" "${BASH_SOURCE%/*}/train.sbatch" \
  "${arguments[@]}" "--workdir=$bucket/runs/$name"
