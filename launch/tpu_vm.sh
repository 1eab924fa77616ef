#!/usr/bin/env bash
# Trains on Cloud TPU VMs, by queued resources.
#
#   launch/tpu_vm.sh COMMAND --project=P --zone=Z --name=N --bucket=B \
#     [--type=v5litepod-64] [--runtime=v2-alpha-tpuv5-lite] [--spot=yes] \
#     [--dry-run] [-- --config=configs/... other options of train.py]
#
#   create  asks for the machines; they may come much later
#   copy    sends this commit to all workers and installs it there
#   run     starts train.py on all of them and returns; its workdir is runs/N in
#           the bucket, its output log.txt in the home of every worker
#   keep    create, copy, run, then looks every minute: where the machines were
#           taken away it begins again, and the run resumes from its workdir
#   logs    follows the output of worker 0
#   delete  gives the machines back
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "${BASH_SOURCE%/*}/common.sh"

command=${1:-}
(($#)) && shift
project='' zone='' name='' bucket='' spot=no
type=v5litepod-64 runtime=v2-alpha-tpuv5-lite
parse 'project zone name bucket type runtime spot' "$@"
required project zone name bucket
bucket=${bucket#gs://}
place=("--project=$project" "--zone=$zone")
poll_seconds=${POLL_SECONDS:-60}

queued() {
  run gcloud compute tpus queued-resources "$1" "$name" "${place[@]}" "${@:2}"
}

on_all() {
  run gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=all \
    --command="$1"
}

state() {
  gcloud compute tpus queued-resources describe "$name" "${place[@]}" \
    --format='value(state.state)' 2>/dev/null || echo ABSENT
}

create() {
  local options=("--node-id=$name" "--accelerator-type=$type"
    "--runtime-version=$runtime")
  [[ $spot == yes ]] && options+=(--spot)
  queued create "${options[@]}"
}

delete() {
  queued delete --force --quiet
}

copy() {
  local archive
  archive=$(mktemp -d)/repo.tar.gz
  run git -C "${BASH_SOURCE%/*}/.." archive --output="$archive" HEAD
  run gcloud compute tpus tpu-vm scp "$archive" "$name:repo.tar.gz" \
    "${place[@]}" --worker=all
  on_all "mkdir -p repo && tar -xzf repo.tar.gz -C repo && \
bash repo/launch/worker.sh $(quoted "$bucket")"
  rm -rf "${archive%/*}"
}

start() {
  local flags
  flags=$(quoted "${arguments[@]}" "--workdir=../bucket/runs/$name")
  on_all "cd repo && TFDS_DATA_DIR=../bucket/tensorflow_datasets \
nohup .venv/bin/python train.py $flags > ../log.txt 2>&1 < /dev/null &"
}

wait_until_active() {
  local found
  until found=$(state) && [[ $found == ACTIVE ]]; do
    [[ $found != FAILED && $found != SUSPENDED && $found != ABSENT ]] || return
    sleep "$poll_seconds"
  done
}

keep() {
  if [[ $dry_run == yes ]]; then
    create
    copy
    start
    return
  fi
  while true; do
    case $(state) in
      ABSENT) create ;;
      FAILED | SUSPENDED)
        delete
        create
        ;;
    esac
    wait_until_active || continue
    copy
    start
    while [[ $(state) == ACTIVE ]]; do
      if on_all '! pgrep -f "python train.py" > /dev/null'; then
        return # It has ended everywhere; `logs` says how.
      fi
      sleep "$poll_seconds"
    done
  done
}

case $command in
  create | copy | delete) "$command" ;;
  run | keep)
    ((${#arguments[@]})) || fail "expected -- --config=... for train.py"
    [[ $command == keep ]] || start
    [[ $command == run ]] || keep
    ;;
  logs)
    run gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=0 \
      --command='tail -n 50 -f log.txt'
    ;;
  *) fail "found '$command', expected create, copy, run, keep, logs or delete" ;;
esac
