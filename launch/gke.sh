#!/usr/bin/env bash
# Trains on a TPU slice of a GKE cluster, as a JobSet.
#
#   launch/gke.sh COMMAND --project=P --cluster=C --location=L --name=N \
#     --bucket=B --image=I [--accelerator=tpu-v5-lite-podslice] \
#     [--topology=8x8] [--chips-per-host=4] [--slices=1] [--mounted=yes] \
#     [--dry-run] [-- --config=configs/... other options of train.py]
#
#   apply   starts the run; its workdir is runs/N in the bucket, with
#           --mounted=yes reached through the mounted folder instead of Google's
#           client; data sets always are
#   print   prints the manifest
#   logs    follows the output of the first process
#   delete  ends the run; applied again, it resumes
#
# The cluster has JobSet, a node pool of that topology, and the Cloud Storage
# FUSE driver; its service account `default` may write to the bucket. The image
# is built from launch/Dockerfile with EXTRAS=demo,tpu,gcs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "${BASH_SOURCE%/*}/common.sh"

command=${1:-}
(($#)) && shift
project='' cluster='' location='' name='' bucket='' image=''
accelerator=tpu-v5-lite-podslice topology=8x8 chips_per_host=4 slices=1 mounted=no
parse "project cluster location name bucket image accelerator topology \
chips-per-host slices mounted" "$@"
required project cluster location name bucket image
bucket=${bucket#gs://}
check project '[a-z0-9][-a-z0-9.:]*' "a project's id"
check cluster "$LABEL" "a cluster's name"
check location "$LABEL" 'a region or zone, such as us-east5-a'
check name '[a-z]([-a-z0-9]{0,38}[a-z0-9])?' \
  'at most 40 of a-z, 0-9 and -, a letter first'
check bucket '[a-z0-9][-_.a-z0-9]*' "a bucket's name"
check image '[A-Za-z0-9][-_./:@A-Za-z0-9]*' 'an image, such as host/name:tag'
check accelerator "$LABEL" 'a type, such as tpu-v5-lite-podslice'
check topology "$NUMBER(x$NUMBER){1,2}" 'numbers of chips, such as 8x8 or 2x2x4'
check chips-per-host "$NUMBER" 'a number from 1'
check slices "$NUMBER" 'a number from 1'
check mounted 'yes|no' 'yes or no'
chips=$((${topology//x/*}))
((chips % chips_per_host == 0)) ||
  fail "--topology=$topology: $chips chips are not hosts of $chips_per_host"

# The options of train.py as YAML strings, a comma before each. Kubernetes would
# put variables in the place of $(NAME), and reads $$ as $.
flags() {
  local storage=gs://$bucket
  [[ $mounted == no ]] || storage=/bucket
  python3 - "${arguments[@]}" "--workdir=$storage/runs/$name" << 'EOF'
import re, sys
escapes = {'"': '\\"', '\\': '\\\\'}
for flag in sys.argv[1:]:
  try:
    flag.encode()
  except UnicodeEncodeError:
    sys.exit(f'gke.sh: {flag!a}: expected UTF-8')
  special = r'\$(?=\$|\([A-Z_][A-Z0-9_]*\))|(?<=\$)\$'
  flag = re.sub(special, '$$', flag)
  text = ''.join(
    escapes.get(c, c if c.isprintable() else f'\\U{ord(c):08x}') for c in flag
  )
  print(f', "{text}"', end='')
EOF
}

manifest() {
  local text list
  list=$(flags) || exit 2
  text=$(< "${BASH_SOURCE%/*}/jobset.yaml")
  text=${text//@NAME@/"$name"}
  text=${text//@BUCKET@/"$bucket"}
  text=${text//@IMAGE@/"$image"}
  text=${text//@ACCELERATOR@/"$accelerator"}
  text=${text//@TOPOLOGY@/"$topology"}
  text=${text//@HOSTS@/$((chips / chips_per_host))}
  text=${text//@CHIPS@/$chips_per_host}
  text=${text//@SLICES@/$slices}
  # Last, since what stands in it is the user's; quoted, or & would be special.
  echo "${text//@FLAGS@/"$list"}"
}

credentials() {
  run gcloud container clusters get-credentials "$cluster" \
    "--location=$location" "--project=$project"
}

case $command in
  print) manifest ;;
  apply)
    ((${#arguments[@]})) || fail "expected -- --config=... for train.py"
    text=$(manifest)
    credentials
    run kubectl apply --filename=- <<< "$text"
    [[ $dry_run == no ]] || echo "$text"
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
