# shellcheck shell=bash
# What the scripts of this folder share: their flags, their errors, and the one
# way in which they run a command. To be sourced.
#
# bash 3.2 (macOS) is enough: no associative arrays, no mapfile.

launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
flag_dry_run=false

# A user's mistake: one line, exit code 2.
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Progress goes to stderr; stdout holds what a command answers.
say() {
  printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

# The arguments as one line that any POSIX shell reads back as the same words.
quoted() {
  local word line='' quote="'\\''"
  for word in "$@"; do
    if [[ -z $word || $word == *[!A-Za-z0-9_./:=@%+,-]* ]]; then
      word="'${word//\'/$quote}'"
    fi
    line+=" $word"
  done
  printf '%s\n' "${line# }"
}

# Runs a command; in a dry run only prints it.
run() {
  if [[ $flag_dry_run == true ]]; then
    quoted "$@"
  else
    "$@"
  fi
}

# must WHAT COMMAND...: runs it; if it fails, says so and exits with its code.
must() {
  local what=$1 code=0
  shift
  run "$@" || code=$?
  if ((code)); then
    printf 'error: could not %s (exit code %s)\n' "$what" "$code" >&2
    exit "$code"
  fi
}

# What a slice may be created with, beside its type; a switch has no value.
# shellcheck disable=SC2034  # read by the scripts that source this one
readonly creation_valued="network subnetwork service_account scopes labels \
data_disk gcloud_flag"
# shellcheck disable=SC2034
readonly creation_switches="spot reserved internal_ips"
gcloud_flags=() # those of --gcloud_flag, which may be repeated

# Sets the array `creation` to gcloud's words for NAMES... that have a value.
# gcloud writes them with dashes; what --gcloud_flag gives passes as it is.
set_creation() {
  local name variable
  creation=()
  for name in "$@"; do
    variable="flag_$name"
    case ${!variable:-} in
      '' | false) ;;
      true) creation+=("--${name//_/-}") ;;
      *) creation+=("--${name//_/-}=${!variable}") ;;
    esac
  done
  creation+=(${gcloud_flags[@]+"${gcloud_flags[@]}"})
}

# _set_flag NAME [VALUE]: checks that the script has such a flag.
_set_flag() {
  local name=$1
  case " $_valued $_switches " in
    *" $name "*) ;;
    *) fail "unknown flag --$name (see --help)" ;;
  esac
  if [[ " $_switches " == *" $name "* ]]; then
    (($# == 1)) || fail "--$name takes no value"
    printf -v "flag_$name" true
  else
    (($# == 2)) || fail "--$name needs a value"
    if [[ $name == gcloud_flag ]]; then
      gcloud_flags+=("$2")
    else
      printf -v "flag_$name" %s "$2"
    fi
  fi
}

# parse_flags VALUED SWITCHES ARGUMENTS...
#
# Sets flag_NAME for each --NAME=VALUE, --NAME VALUE (VALUED lists the names) and
# each --NAME (SWITCHES). What follows `--` becomes the array `rest`.
parse_flags() {
  _valued=$1 _switches=$2
  shift 2
  rest=()
  while (($#)); do
    local word=$1
    shift
    case $word in
      --) rest=("$@") && break ;;
      --help | -h) usage && exit 0 ;;
      --*=*)
        local name=${word%%=*}
        _set_flag "${name#--}" "${word#*=}"
        ;;
      --*)
        if [[ " $_valued " == *" ${word#--} "* && $# -gt 0 ]]; then
          _set_flag "${word#--}" "$1" && shift
        else
          _set_flag "${word#--}"
        fi
        ;;
      *) fail "unexpected argument '$word' (see --help)" ;;
    esac
  done
}

# The comment at the head of the calling script is its help.
usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# Stops where --dry_run follows `--`: meant for us or not, nothing may happen.
refuse_late_dry_run() {
  local word
  for word in ${rest[@]+"${rest[@]}"}; do
    case $word in
      --dry_run | --dry_run=* | --dry-run) fail "$word after -- belongs to the" \
        "training, which has no such flag; give --dry_run before --" ;;
    esac
  done
}

# require NAME...: stops unless each of these flags has a value.
require() {
  local name variable
  for name in "$@"; do
    variable="flag_$name"
    [[ -n ${!variable} ]] || fail "--$name is needed (see --help)"
  done
}

# Stops unless the program is there; a dry run needs none.
require_program() {
  if [[ $flag_dry_run == false ]] && ! command -v "$1" >/dev/null; then
    fail "$1 is not on the PATH; $2"
  fi
}

# slice_field SLICE COLUMN: a cell of slices.txt.
slice_field() {
  local cell
  cell=$(awk -v slice="$1" -v column="$2" '
    /^#/ { next }
    !at { for (i = 1; i <= NF; i++) if ($i == column) at = i; next }
    $1 == slice { print $at }' "$launch/slices.txt")
  [[ -n $cell ]] || fail "--slice=$1 is none of: $(
    awk '!/^#/ && $1 != "slice" { printf "%s%s", sep, $1; sep = ", " }' \
      "$launch/slices.txt"
  )"
  printf '%s\n' "$cell"
}

# accelerator_type SLICE: what the Cloud TPU API calls it.
accelerator_type() {
  local type
  type=$(slice_field "$1" accelerator_type) || exit $?
  [[ $type != - ]] || fail "--slice=$1: the Cloud TPU API has no such" \
    "chips; take compute_engine.sh or gke_jobset.py"
  printf '%s\n' "$type"
}

# Stops unless every host of a slice, and the next slice, sees the work
# directory that the arguments name.
require_shared_workdir() {
  local word workdir='' next=false
  for word in "$@"; do
    if [[ $next == true ]]; then workdir=$word next=false; fi
    case $word in
      --workdir=*) workdir=${word#*=} ;;
      --workdir) next=true ;;
    esac
  done
  case $workdir in
    /?* | gs://?*) ;;
    *) fail "the command needs a --workdir that all hosts share and that" \
      "outlives the slice, gs://BUCKET/RUN or an absolute path on a share," \
      "got '$workdir'" ;;
  esac
}
