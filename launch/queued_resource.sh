#!/usr/bin/env bash
# Trains on a queued resource until the training is done: asks for the slice,
# waits in the queue, copies, installs and starts; after a preemption, a failure
# or a reboot it does so again, and the same command goes on from the newest
# checkpoint in its --workdir.
#
#   queued_resource.sh train  --name=N --zone=Z --slice=v5e_16 [--spot]
#                             [--setup=COMMAND] [--keep] -- TRAIN_ARGUMENTS...
#   queued_resource.sh status --name=N --zone=Z
#   queued_resource.sh delete --name=N --zone=Z    ends the costs
#
# The slice is deleted when the training is done or given up; --keep leaves it.
# `tpu_vm.sh logs|status|stop` work on it by the same name. Ending this loop
# (Ctrl-C) ends neither the slice nor the training; the same line goes on.
#
# --setup: a shell command for every new host, see tpu_vm.sh; must bear
#         repetition.
# --slice: a row of slices.txt. --runtime_version replaces the row's.
# --poll: seconds between two looks (60).
# --max_failures: failed requests, crashes and silent hosts before it gives up
#         (5); preemptions do not count.
# --reservation: of the project, with --reserved. --valid_until: how long the
#         request may wait, e.g. 6h.
# --internal_ips: no external addresses; run this in the same network.
# --spot, --network, --subnetwork, --service_account, --scopes,
#         --labels, --data_disk, --gcloud_flag=FLAG: see tpu_vm.sh create.
# --project: the Google Cloud project; otherwise gcloud's own setting.
# --dry_run: prints the commands of a run without preemption instead.
#
# Exit code: 0 trained to the end; 2 a mistake in the arguments, here or found
# by the training; 1 given up; otherwise gcloud's own.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=command_line.sh
. "$(dirname "${BASH_SOURCE[0]}")/command_line.sh"

flag_name='' flag_zone='' flag_project='' flag_slice='' flag_runtime_version=''
flag_setup='' flag_poll=60 flag_max_failures=5 flag_keep=false
flag_internal_ips=false

readonly training_mistake='failed 2' # the door's exit code for a user's mistake

readonly patience=10 # looks at a slice that does not answer, or half stopped

answered=false  # has gcloud told us a state yet?
requested=false # did we, or an earlier loop, have a slice?
started=false   # has this loop started the training on the slice that is there?
failures=0
silent=0
stopping=0

# gcloud_tpus GROUP VERB FLAGS...: on our name, zone and project.
gcloud_tpus() {
  local group=$1 verb=$2
  shift 2
  run gcloud ${release:+"$release"} compute tpus "$group" "$verb" "$flag_name" "$@" \
    --zone="$flag_zone" ${flag_project:+"--project=$flag_project"} --quiet
}

# vm VERB ARGUMENTS...: tpu_vm.sh on our slice.
vm() {
  local verb=$1 passed=()
  shift
  [[ $flag_dry_run == false ]] || passed+=(--dry_run)
  [[ $flag_internal_ips == false ]] || passed+=(--internal_ips)
  "$launch/tpu_vm.sh" "$verb" --name="$flag_name" --zone="$flag_zone" \
    ${flag_project:+"--project=$flag_project"} \
    ${passed[@]+"${passed[@]}"} "$@"
}

create() {
  local type version release=''
  # Only the alpha release of the command knows --reservation (gcloud 528).
  [[ -z ${flag_reservation:-} ]] || release=alpha
  type=$(accelerator_type "$flag_slice")
  version=$(slice_field "$flag_slice" runtime_version)
  # shellcheck disable=SC2086 # words
  set_creation $creation_switches network subnetwork service_account scopes \
    labels data_disk reservation valid_until_duration
  gcloud_tpus queued-resources create --node-id="$flag_name" \
    --accelerator-type="$type" \
    --runtime-version="${flag_runtime_version:-$version}" \
    ${creation[@]+"${creation[@]}"} --async
}

delete() {
  gcloud_tpus queued-resources delete --force
}

queue_state() {
  gcloud_tpus queued-resources describe --format='value(state.state)'
}

node_state() {
  gcloud_tpus tpu-vm describe --format='value(state)'
}

# asked COMMAND...: what it answers; NONE if gcloud knows no such thing; its exit
# code, and what it says, if there is no answer.
asked() {
  local errors answer code=0
  errors=$(mktemp)
  answer=$("$@" 2>"$errors") || code=$?
  if ((code)) && grep -q NOT_FOUND "$errors"; then
    answer=NONE code=0
  elif ((code)); then
    cat "$errors" >&2
  fi
  rm -f "$errors"
  printf '%s\n' "$answer"
  return "$code"
}

# Is the slice still ours, one look later? When hosts break off or come to an
# end because of a preemption, that shows a little before the state does.
still_there() {
  sleep "$flag_poll"
  [[ $(asked queue_state) == ACTIVE && $(asked node_state) == READY ]]
}

# Copies, installs and starts: all that a slice in any condition needs.
launch_training() {
  vm copy && vm install ${flag_setup:+--setup="$flag_setup"} &&
    vm run -- "${rest[@]}"
}

# What the hosts say, in a word: running, finished, mistake, stopping, stopped or
# broken. A stop comes to all hosts of a slice, not to all at the same moment.
verdict() {
  local words
  words=$(sed -n 's/^crab_jax@[^ ]* //p' <<<"$1")
  if grep -qx "$training_mistake" <<<"$words"; then
    echo mistake
  elif grep -qx stopped <<<"$words" && grep -qx running <<<"$words"; then
    echo stopping
  elif grep -qx stopped <<<"$words"; then
    echo stopped
  elif [[ -z $words ]] || grep -qvEx 'running|finished' <<<"$words"; then
    echo broken
  elif grep -qx running <<<"$words"; then
    echo running
  else
    echo finished
  fi
}

# Ends the loop: what the training said last, then no slice, unless --keep.
finish() {
  local code=$1
  shift
  say "$*"
  if [[ $(asked node_state) == READY ]]; then
    vm logs --lines=30 --once >&2 || true
  fi
  if [[ $flag_keep == true ]]; then
    say "--keep: $flag_name is still there and costs money"
  else
    asked delete >&2 || say "could not delete $flag_name, it may cost money:" \
      "look with 'gcloud compute tpus queued-resources list'"
  fi
  exit "$code"
}

count_failure() {
  failures=$((failures + 1))
  say "$*; failure $failures of at most $flag_max_failures"
  if ((failures >= flag_max_failures)); then
    finish 1 "giving up on $flag_name"
  fi
}

# Without a request the next look makes a new one.
drop_slice() {
  started=false
  asked delete >&2 || say "could not delete $flag_name yet"
}

# Starts anew, at the next look, on the slice that is there or on the next one.
begin_again() {
  if still_there; then
    count_failure "$*"
    vm stop >&2 || true # the hosts that still wait for the others
  fi
  started=false
}

look_at_silence() {
  silent=$((silent + 1))
  say "no answer from $flag_name, $silent of at most $patience"
  if ((silent >= patience)); then
    silent=0
    count_failure "$flag_name is there and does not answer"
    drop_slice
  fi
}

# Begun again now, the hosts that still run would be started twice.
look_at_the_rest() {
  stopping=$((stopping + 1))
  if ((stopping >= patience)); then
    stopping=0
    say "some hosts were stopped and some were not: stopping these too"
    vm stop >&2 || true
  fi
}

look_at_training() {
  local answer
  if [[ $started == false ]]; then
    say "$flag_name is there: copying, installing, starting"
    started=true
    launch_training >&2 || begin_again "could not start the training"
    return
  fi
  if ! answer=$(asked vm status); then
    look_at_silence
    return
  fi
  silent=0
  case $(verdict "$answer") in
    running) ;;
    finished)
      if still_there; then
        finish 0 "the training is done"
      fi
      ;;
    mistake)
      finish 2 "the training refuses its arguments or its data"
      ;;
    stopping) look_at_the_rest ;;
    stopped)
      stopping=0
      say "the training was stopped, it goes on from its checkpoint"
      started=false
      ;;
    broken)
      printf '%s\n' "$answer" >&2
      begin_again "the training broke off"
      ;;
  esac
}

look_at_node() {
  local state
  state=$(asked node_state) || return 0
  case $state in
    READY) look_at_training ;;
    PREEMPTED | TERMINATED)
      say "$flag_name was preempted"
      drop_slice
      ;;
    *) say "the node of $flag_name is $state" ;;
  esac
}

ask_for_slice() {
  local code=0
  say "asking for $flag_slice as $flag_name"
  create || code=$?
  if ((code)) && [[ $requested == false ]]; then
    printf 'error: the request was refused (exit code %s)\n' "$code" >&2
    exit "$code"
  fi
  requested=true
  ((code == 0)) || count_failure "the request was refused"
}

look() {
  local state code=0
  state=$(asked queue_state) || code=$?
  if ((code)); then
    # Later it may be the network of this machine; the training goes on.
    [[ $answered == true ]] || exit "$code"
    say "no answer from gcloud"
    return
  fi
  answered=true
  [[ $state == NONE ]] || requested=true
  case $state in
    NONE) ask_for_slice ;;
    ACTIVE) look_at_node ;;
    SUSPENDED)
      say "$flag_name was preempted"
      drop_slice
      ;;
    FAILED)
      gcloud_tpus queued-resources describe --format='value(state)' >&2 || true
      count_failure "the request failed"
      drop_slice
      ;;
    *) say "$flag_name is $state" ;;
  esac
}

plan() {
  echo '# ask for the slice'
  create
  echo "# every $flag_poll s, until the request is ACTIVE and the node READY"
  queue_state
  node_state
  echo '# then'
  launch_training
  echo "# every $flag_poll s, until all hosts have finished"
  queue_state
  node_state
  vm status
  echo '# in the end'
  vm logs --lines=30 --once
  [[ $flag_keep == true ]] || delete
}

train() {
  require slice
  ((${#rest[@]})) || fail "train needs the training's arguments after --"
  require_shared_workdir "${rest[@]}"
  accelerator_type "$flag_slice" >/dev/null
  [[ $flag_poll =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
    fail "--poll=$flag_poll is no number of seconds"
  [[ $flag_max_failures =~ ^[1-9][0-9]*$ ]] ||
    fail "--max_failures=$flag_max_failures is no number above 0"
  if [[ $flag_dry_run == true ]]; then
    plan
    return
  fi
  trap 'say "this loop ends; $flag_name and its training go on and cost money:" \
    "the same line goes on, $0 delete ends both"; exit 130' INT
  while true; do
    look
    sleep "$flag_poll"
  done
}

verb=${1:-}
case $verb in
  train)
    valued="slice runtime_version setup poll max_failures reservation"
    valued+=" valid_until $creation_valued"
    switches="keep $creation_switches"
    ;;
  status | delete) valued='' switches='' ;;
  --help | -h) usage && exit 0 ;;
  *) fail "unknown command '$verb' (see --help)" ;;
esac
shift
parse_flags "name zone project $valued" "dry_run $switches" "$@"
if [[ $verb != train ]] && ((${#rest[@]})); then
  fail "$verb takes nothing after --"
fi
refuse_late_dry_run
require name zone
# gcloud's name of it; "6h": the request fails if it waits so long.
# shellcheck disable=SC2034 # set_creation reads it
flag_valid_until_duration=${flag_valid_until:-}
require_program gcloud "install the Google Cloud CLI"
case $verb in
  train) train ;;
  status) must "describe $flag_name" queue_state ;;
  delete) must "delete $flag_name" delete ;;
esac
