# shellcheck shell=bash
# What the launchers share: options, errors and --dry-run.

dry_run=no
# shellcheck disable=SC2034 # what follows `--`, for those who source this
arguments=()

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# parse 'names of options' "$@": sets a variable for each --name=value; all that
# follows `--` goes to `arguments`.
parse() {
  # No local variable has the name of an option.
  local _known=" $1 " _option
  shift
  while (($#)); do
    _option=${1%%=*}
    _option=${_option#--}
    case $1 in
      --dry-run) dry_run=yes ;;
      --)
        shift
        # shellcheck disable=SC2034
        arguments=("$@")
        return
        ;;
      --*=*)
        [[ $_known == *" $_option "* ]] ||
          fail "no option --$_option; expected one of:$_known--dry-run"
        printf -v "${_option//-/_}" %s "${1#*=}"
        ;;
      *) fail "found '$1', expected --name=value; options of train.py follow --" ;;
    esac
    shift
  done
}

# required names...: fails unless each has a value.
required() {
  local _option
  for _option in "$@"; do
    [[ -n ${!_option} ]] || fail "--${_option//_/-} is missing"
  done
}

# run command...: runs it, or prints it under --dry-run.
run() {
  if [[ $dry_run == yes ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# quoted words...: one string that a remote shell reads as these words.
quoted() {
  local all
  printf -v all '%q ' "$@"
  echo "${all% }"
}
