#!/usr/bin/env bash
# Trains on Cloud TPU VMs, by queued resources.
#
#   launch/tpu_vm.sh COMMAND --project=P --zone=Z --name=N --bucket=B \
#     [--type=v5litepod-64] [--runtime=v2-alpha-tpuv5-lite] [--spot=yes] \
#     [--mounted=yes] [--dry-run] [-- --config=configs/... other options of \
#     train.py]
#
#   create  asks for the machines; they may come much later
#   copy    sends this commit to all workers and installs it there
#   run     starts train.py on all of them and returns; its workdir is runs/N in
#           the bucket, its output log.txt in the home of every worker. With
#           --mounted=yes the workdir is reached through the mounted folder
#           instead of Google's client; data sets always are
#   keep    create, copy, run, then looks every minute: where the machines were
#           taken away, or the run was told to stop before its end, it begins
#           again, and the run resumes from its workdir
#   logs    follows the output of worker 0
#   delete  gives the machines back
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "${BASH_SOURCE%/*}/common.sh"

command=${1:-}
(($#)) && shift
project='' zone='' name='' bucket='' spot=no mounted=no
type=v5litepod-64 runtime=v2-alpha-tpuv5-lite
parse 'project zone name bucket type runtime spot mounted' "$@"
required project zone name bucket
bucket=${bucket#gs://}
check project '[a-z0-9][-a-z0-9.:]*' "a project's id"
check zone "$LABEL" 'a zone, such as us-east5-a'
check name '[a-z]([-a-z0-9]{0,38}[a-z0-9])?' \
  'at most 40 of a-z, 0-9 and -, a letter first'
check bucket '[a-z0-9][-_.a-z0-9]*' "a bucket's name"
check type '[a-z0-9][-a-z0-9]*' 'a type, such as v5litepod-64'
check runtime '[a-z0-9][-.a-z0-9]*' 'a version, such as v2-alpha-tpuv5-lite'
check spot 'yes|no' 'yes or no'
check mounted 'yes|no' 'yes or no'
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
  local flags storage=gs://$bucket
  [[ $mounted == no ]] || storage=../bucket
  flags=$(quoted "${arguments[@]}" "--workdir=$storage/runs/$name")
  # Its exit code is for `keep`; 75 says that it was told to stop and has saved.
  on_all "rm -f status; cd repo || exit; (trap '' HUP; \
TFDS_DATA_DIR=../bucket/tensorflow_datasets .venv/bin/python train.py $flags ; \
echo \$? > ../status) > ../log.txt 2>&1 < /dev/null &"
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
        # It has ended everywhere; `logs` says how.
        on_all 'grep -qx 75 status' || return 0
        start
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
