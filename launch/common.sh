# shellcheck shell=bash
# What the launchers share: options and what they may be, errors, --dry-run.

LC_ALL=C # ranges such as a-z mean these letters

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
        [[ $_option =~ ^[a-z-]+$ && $_known == *" $_option "* ]] ||
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

# A whole number from 1 to 99,999.
# shellcheck disable=SC2034
NUMBER='[1-9][0-9]{0,4}'
# What names of Google Cloud and Kubernetes begin and end with.
# shellcheck disable=SC2034
LABEL='[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?'

# check name expression what: fails unless the option's value is, as a whole,
# what the regular expression says.
check() {
  local _name=${1//-/_}
  [[ ${!_name} =~ ^($2)$ ]] ||
    fail "--$1: found $(printf %q "${!_name}"), expected $3"
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
