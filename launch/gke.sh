#!/usr/bin/env bash
# Trains on a TPU slice of a GKE cluster, as a JobSet.
#
#   launch/gke.sh COMMAND --project=P --cluster=C --location=L --name=N \
#     --bucket=B --image=I [--accelerator=tpu-v5-lite-podslice] \
#     [--topology=8x8] [--chips-per-host=4] [--slices=1] [--dry-run] \
#     [-- --config=configs/... other options of train.py]
#
#   apply   starts the run; its workdir is runs/N in the bucket
#   print   prints the manifest
#   logs    follows the output of the first process
#   delete  ends the run; applied again, it resumes
#
# The cluster has JobSet, a node pool of that topology, and the Cloud Storage
# FUSE driver; its service account `default` may write to the bucket. The image
# is built from launch/Dockerfile with EXTRAS=demo,tpu.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "${BASH_SOURCE%/*}/common.sh"

command=${1:-}
(($#)) && shift
project='' cluster='' location='' name='' bucket='' image=''
accelerator=tpu-v5-lite-podslice topology=8x8 chips_per_host=4 slices=1
parse "project cluster location name bucket image accelerator topology \
chips-per-host slices" "$@"
required project cluster location name bucket image
bucket=${bucket#gs://}
chips=$((${topology//x/*}))
((chips % chips_per_host == 0)) ||
  fail "--topology=$topology: $chips chips are not hosts of $chips_per_host"

# The options of train.py as a list of YAML strings.
flags() {
  local flag list=''
  for flag in "${arguments[@]}" "--workdir=/bucket/runs/$name"; do
    list+=", '${flag//\'/\'\'}'"
  done
  echo "$list"
}

manifest() {
  local text
  text=$(< "${BASH_SOURCE%/*}/jobset.yaml")
  text=${text//@NAME@/$name}
  text=${text//@BUCKET@/$bucket}
  text=${text//@IMAGE@/$image}
  text=${text//@ACCELERATOR@/$accelerator}
  text=${text//@TOPOLOGY@/$topology}
  text=${text//@HOSTS@/$((chips / chips_per_host))}
  text=${text//@CHIPS@/$chips_per_host}
  text=${text//@SLICES@/$slices}
  echo "${text//@FLAGS@/$(flags)}"
}

credentials() {
  run gcloud container clusters get-credentials "$cluster" \
    "--location=$location" "--project=$project"
}

case $command in
  print) manifest ;;
  apply)
    ((${#arguments[@]})) || fail "expected -- --config=... for train.py"
    credentials
    manifest | if [[ $dry_run == yes ]]; then
      echo kubectl apply --filename=-
      cat
    else
      kubectl apply --filename=-
    fi
    ;;
  logs)
    credentials
    run kubectl logs --follow \
      "--selector=jobset.sigs.k8s.io/jobset-name=$name,\
batch.kubernetes.io/job-completion-index=0"
    ;;
  delete)
    credentials
    run kubectl delete jobset "$name"
    ;;
  *) fail "found '$command', expected apply, print, logs or delete" ;;
esac
